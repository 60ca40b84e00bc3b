"""A real server under mixed load, restarted and killed: python -m benchmarks.soak

It ends with 1 if a call that was acknowledged was lost, or anything was answered as it must not be.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import trio

from benchmarks.load import prepare_process
from benchmarks.soak.plot import draw
from benchmarks.soak.run import Soak
from benchmarks.soak.trend import trends, write_csv


def main() -> None:
    """Run, write, and tell."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--restart-every", type=float, metavar="MINUTES", default=None,
                        help="default: 5, and less in a run of less than 40 minutes")  # fmt: skip
    parser.add_argument("--kill-every", type=int, default=3, metavar="N",
                        help="each Nth restart is a kill -9; 0: none")  # fmt: skip
    parser.add_argument("--workers", type=int, default=1, help="more than one takes --redis")
    parser.add_argument("--redis", action="store_true", help="sessions in Redis, not in SQLite")
    parser.add_argument("--load", type=float, default=0.5, help="part of what the server can do")
    parser.add_argument("--csv", type=Path, default=Path("build/soak.csv"))
    parser.add_argument("--plot", type=Path, default=Path("build/soak.svg"))
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.workers > 1 and not arguments.redis:
        parser.error("--workers needs --redis")
    prepare_process(core=None if arguments.workers > 1 else 1)
    folder = Path(tempfile.mkdtemp(prefix="mcpd-soak-"))
    soak = Soak(folder, arguments)
    try:
        trio.run(soak.run)
    finally:
        soak.server.close()
        for path in (arguments.csv, arguments.plot):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_csv(arguments.csv, soak.samples)
        title = f"{soak.describe()}, {arguments.minutes:g} minutes"
        arguments.plot.write_text(draw(soak.samples, soak.restarts(), title))
    shutil.rmtree(folder, ignore_errors=True)
    sys.exit(tell(soak))


def tell(soak: Soak) -> int:
    """Print the outcome; the exit code."""
    judge = soak.judge
    kills = sum(name == "SIGKILL" for _, name in soak.server.restarts)
    restarts = len(soak.server.restarts)
    print(f"\n{judge.calls:,} calls answered; {restarts} restarts, {kills} of them kills")
    for (activity, outcome), count in sorted(judge.outcomes.items()):
        print(f"  {activity:20} {outcome:9} {count:9,}")
    found = trends(soak.samples)
    print("slopes:", *found, sep="\n  ")
    if soak.server.log_lines:
        print("errors in the log:", *soak.server.log_lines[:20], sep="\n  ")
    if judge.violation_count:
        print(f"VIOLATIONS ({judge.violation_count}):", *judge.violations[:40], sep="\n  ")
        return 1
    print("No acknowledged call was lost; nothing was answered as it must not be.")
    return 0


if __name__ == "__main__":
    main()
