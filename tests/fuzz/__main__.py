"""Fuzz for a given time: ``python -m tests.fuzz --seconds 120``.

Each target gets its share of the time, in turns. What fails is printed with its seed and written to
a file, from which ``--again`` tries it. Exit code 1: something failed.
"""

import argparse
import ast
import faulthandler
import logging
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.runner import Failure, attempt, run_examples, run_seed
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

TURN_S = 5.0  # of one target, at most; short runs have shorter turns
PER_SEED = 150  # inputs: a run of one seed is what can be repeated
HANG_S = 300  # for one seed: the stack is shown after that, and the run ends
MARK = "# input: "


def main() -> int:
    """Run as the arguments say."""
    arguments = parse_arguments()
    faulthandler.enable()
    logging.getLogger("mcpd").addHandler(logging.NullHandler())  # a target that cares listens
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    chosen = [t for t in TARGETS if not arguments.target or t.name in arguments.target]
    if arguments.again:
        return try_again(arguments.again)
    if arguments.seed is not None and arguments.seconds is None:
        return run_once(chosen, arguments.seed)
    begun = random.randrange(2**32) if arguments.seed is None else arguments.seed
    print(f"first seed {begun}; {len(chosen)} targets", flush=True)
    run = Run(arguments.failures)
    run.spread(chosen, begun, arguments.seconds or 60.0)
    return run.report()


def parse_arguments() -> argparse.Namespace:
    """The command's arguments."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, help="how long, over all targets (60)")
    parser.add_argument("--target", action="append", help="only this one; repeatable")
    parser.add_argument("--seed", type=int, help="begin here; without --seconds: this seed alone")
    parser.add_argument("--failures", type=Path, default=Path("fuzz-failures.txt"), metavar="FILE")
    parser.add_argument("--again", type=Path, metavar="FILE", help="try the inputs of this file")
    return parser.parse_args()


@dataclass
class Run:
    """What was done, and what was found."""

    path: Path
    tried: Counter[str] = field(default_factory=Counter)
    failures: dict[str, Failure] = field(default_factory=dict)

    def spread(self, targets: list[Target], number: int, seconds: float) -> None:
        """Turns until the time is over; each has a seed of its own."""
        end = time.monotonic() + seconds
        turn_s = min(TURN_S, seconds / len(targets) / 2)
        for target in targets:
            for failure in run_examples(target):
                self.keep(failure)
        while time.monotonic() < end:
            for target in random.Random(number).sample(targets, len(targets)):
                until = min(end, time.monotonic() + turn_s)
                while time.monotonic() < until:
                    self._turn(target, number, until)
                    number += 1

    def _turn(self, target: Target, number: int, until: float) -> None:
        faulthandler.dump_traceback_later(HANG_S, exit=True)
        failure = run_seed(
            target,
            number,
            PER_SEED,
            passes=self.failures.__contains__,
            tried=self.tried,
            until=until,
        )
        faulthandler.cancel_dump_traceback_later()
        if failure is not None:
            self.keep(failure)

    def keep(self, failure: Failure) -> None:
        """Print and write the first failure of each kind."""
        if failure.key in self.failures:
            return
        self.failures[failure.key] = failure
        seed = "no seed" if failure.seed is None else f"seed {failure.seed}"
        text = f"# {failure.target}, {seed}\n"
        text += "".join(f"# {line}\n" for line in failure.text.splitlines())
        text += f"{MARK}{(failure.target, failure.value)!r}\n\n"
        print(text, flush=True)
        with self.path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)

    def report(self) -> int:
        """Inputs for each target, and whether all is well."""
        for name, count in sorted(self.tried.items()):
            print(f"{count:9d} {name}")
        print(f"{sum(self.tried.values()):9d} inputs, {len(self.failures)} failures")
        if self.failures:
            print(f"written to {self.path}; try them with --again {self.path}")
        return 1 if self.failures else 0


def run_once(targets: list[Target], number: int) -> int:
    """One seed, as a longer run had it."""
    failures = [run_seed(target, number, PER_SEED) for target in targets]
    for failure in failures:
        if failure is not None:
            print(f"{failure.target}: {failure.value!r}\n{failure.text}")
    return 1 if any(failures) else 0


def try_again(path: Path) -> int:
    """The inputs of a file of failures."""
    by_name, failed = {target.name: target for target in TARGETS}, 0
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith(MARK):
            name, value = ast.literal_eval(line.removeprefix(MARK))
            error = attempt(by_name[name], value)
            failed += error is not None
            print(f"{name}: {'passes' if error is None else repr(error)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
