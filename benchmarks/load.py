"""wrk as load: many connections, varying arguments, on a core of its own."""

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.client import MODERN, call, headers, open_session
from benchmarks.contestants import Contestant

LOAD_CORE = "1"
CONNECTIONS = 16
VARIANTS = 64  # bodies of several lengths, so that heads differ; ids that no two in flight share

_SCRIPT = """
local requests, next = {}, 0
init = function(args)
%s
end
request = function()
  next = next %% #requests + 1
  return requests[next]
end
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of wrk."""

    per_second: float
    p99_ms: float
    failed: int


def measure(
    contestant: Contestant, *, modern: bool, seconds: float, core: str | None = LOAD_CORE
) -> Measured:
    """Run wrk once against a running contestant; ``core`` None: on any."""
    given = {**headers(contestant), **MODERN} if modern else open_session(contestant)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(
            _SCRIPT % "\n".join(_request(contestant, given, n, modern) for n in range(VARIANTS))
        )
        script.flush()
        url = f"http://127.0.0.1:{contestant.port}{contestant.path}"
        pinned = [] if core is None else ["taskset", "-c", core]
        done = subprocess.run(
            [*pinned, "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s",
             "--latency", "-s", script.name, url],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    return _read(done.stdout)


def _request(contestant: Contestant, given: dict[str, str], number: int, modern: bool) -> str:
    body = call(number * 37 % 1000, 10 ** (number % 4), modern=modern, request_id=number + 1)
    fields = ", ".join(f"[{name!r}]={value!r}" for name, value in given.items())
    return (
        f"requests[{number + 1}] = wrk.format('POST', {contestant.path!r}, {{{fields}}}, {body!r})"
    )


def _read(text: str) -> Measured:
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    assert rate is not None, text
    assert p99 is not None, text
    scale = {"us": 0.001, "ms": 1.0, "s": 1000.0}[p99[2]]
    return Measured(float(rate[1]), float(p99[1]) * scale, int(failed[1]) if failed else 0)


def wrk_is_there() -> bool:
    """Whether wrk can be run."""
    return any((Path(folder) / "wrk").exists() for folder in ("/usr/bin", "/usr/local/bin"))
