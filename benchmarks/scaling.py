"""One worker and two, on the same cores as the load: python -m benchmarks.scaling

Each round runs both, in turns; printed are medians and their ratio. Nothing is pinned: on two
cores the second worker shares its core with the load, and with Redis where sessions are kept there.
The CPU seconds of everybody tell why the ratio is what it is.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass

from benchmarks.calls import sums
from benchmarks.client import free_port, wait_for_answer
from benchmarks.contestants import HERE, Contestant
from benchmarks.load import Measured, prepare_process
from benchmarks.processes import cpu_s
from benchmarks.scenario import repeat_calls

CONNECTIONS = 16
ALL_UP_S = 1.0  # for the other workers, after the first answer


@dataclass
class Run:
    """One measurement, with the CPU that the servers took."""

    measured: Measured
    server_cpu_s: float
    wall_s: float


def serve(workers: int, store: str, state: str, token: str) -> Contestant:
    """A server with this many workers; not pinned."""
    command = [
        sys.executable, "-m", "mcpd", "serve", "--state-dir", state, "--port", "PORT",
        "--app", f"{HERE / 'peers' / 'demo.py'}:app", "--store", store, "--workers", str(workers),
    ]  # fmt: skip
    if store == "memory":
        command.append("--no-handshake")
    return Contestant(f"{workers}", command, path="/mcp/", token=token, cores="0-1")


def run(contestant: Contestant, *, modern: bool, seconds: float) -> Run:
    """Start, warm, measure, stop."""
    contestant.start(free_port())
    try:
        wait_for_answer(contestant)
        time.sleep(ALL_UP_S)
        session = not modern
        repeat_calls(contestant, sums, session, connections=CONNECTIONS, seconds=1)
        assert contestant.process is not None
        before, began = cpu_s(contestant.process.pid), time.monotonic()
        measured = repeat_calls(contestant, sums, session, connections=CONNECTIONS, seconds=seconds)
        spent = cpu_s(contestant.process.pid) - before
        return Run(measured, spent, time.monotonic() - began)
    finally:
        contestant.terminate()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    arguments = parser.parse_args()
    prepare_process(core=None)
    state = tempfile.mkdtemp(prefix="mcpd-scaling-")
    token = subprocess.run(
        [sys.executable, "-m", "mcpd", "token", "create", "--sub", "b", "--new-secret",
         "--state-dir", state],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    port = free_port()
    redis = subprocess.Popen(
        [str(shutil.which("redis-server")), "--port", str(port), "--save", "", "--dir", state],
        stdout=subprocess.DEVNULL,
    )
    try:
        for label, store, modern in (
            ("stateless calls (2026-07-28)", "memory", True),
            ("calls in a session, Redis", f"redis://127.0.0.1:{port}/0", False),
        ):
            compare(label, store, state, token, modern=modern, arguments=arguments)
    finally:
        redis.kill()
        redis.wait()


def compare(
    label: str, store: str, state: str, token: str, *, modern: bool, arguments: argparse.Namespace
) -> None:
    """One line of the table."""
    runs: dict[int, list[Run]] = defaultdict(list)
    for _ in range(arguments.rounds):
        for workers in (1, 2):
            contestant = serve(workers, store, state, token)
            runs[workers].append(run(contestant, modern=modern, seconds=arguments.seconds))
    rate = {n: statistics.median(r.measured.per_second for r in found) for n, found in runs.items()}
    busy = {
        n: statistics.median(r.server_cpu_s / r.wall_s for r in found) for n, found in runs.items()
    }
    each = {n: busy[n] / rate[n] * 1e6 for n in runs}
    failed = sum(r.measured.failed for found in runs.values() for r in found)
    print(
        f"{label}: {rate[1]:,.0f} and {rate[2]:,.0f} requests/s, ratio {rate[2] / rate[1]:.2f};"
        f" servers used {busy[1]:.2f} and {busy[2]:.2f} cores,"
        f" {each[1]:.0f} and {each[2]:.0f} µs of CPU a request; {failed} failed"
    )


if __name__ == "__main__":
    main()
