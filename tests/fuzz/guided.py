"""One target, guided by which code its inputs reach: ``python -m tests.fuzz.guided TARGET``.

For long runs; it needs ``atheris`` (``pip install atheris``), which nothing else does. The inputs
are drawn as always, from bytes that libFuzzer mutates. What fails is written to a file.
"""

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

import atheris  # type: ignore[import-not-found]
from hypothesis import HealthCheck, given, settings

with atheris.instrument_imports(include=["mcpd", "h11", "jwt"]):
    from tests.fuzz.__main__ import Run
    from tests.fuzz.runner import attempt, failure_of
    from tests.fuzz.targets import TARGETS

MAX_BYTES = 8192  # of what is drawn from


def main() -> None:
    """Run for the given time; it does not end at what it finds."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.guided", description=__doc__)
    parser.add_argument("target", choices=[target.name for target in TARGETS])
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--failures", type=Path, default=Path("fuzz-failures.txt"), metavar="FILE")
    arguments = parser.parse_args()
    logging.getLogger("mcpd").addHandler(logging.NullHandler())
    target = next(target for target in TARGETS if target.name == arguments.target)
    run = Run(arguments.failures)

    @settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(target.inputs)
    def check(value: Any) -> None:
        error = attempt(target, value)
        if error is not None:
            run.keep(failure_of(target, None, value, error))

    options = [f"-max_total_time={arguments.seconds}", f"-max_len={MAX_BYTES}", "-len_control=0"]
    atheris.Setup([sys.argv[0], *options], check.hypothesis.fuzz_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
