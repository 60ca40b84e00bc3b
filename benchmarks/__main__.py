"""Measure mcpd beside its peers: python -m benchmarks

Every round runs every scenario with every peer, in turns; printed are medians, and their ratio
to the peer that the scenario names. docs/BENCHMARKS.md says what each scenario does.
"""

import argparse
from pathlib import Path

from benchmarks.contestants import NAMES, is_installed
from benchmarks.load import prepare_process
from benchmarks.report import PAGE, README, Results, replace_table
from benchmarks.scenarios import scenarios

IN_README = ("plain", "stream", "session", "stream-session", "idle-streams", "start")


def main() -> None:
    """Measure, print, and with --write put the tables into README and docs/BENCHMARKS.md."""
    known = scenarios()
    names = [scenario.name for scenario in known]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of load in each run")
    parser.add_argument("--only", action="append", metavar="NAME", choices=names,
                        help=f"a scenario; repeatable; one of {', '.join(names)}")  # fmt: skip
    parser.add_argument("--peer", action="append", metavar="NAME", choices=NAMES,
                        help=f"repeatable; one of {', '.join(NAMES)}")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="every run's figures go there")
    parser.add_argument("--write", action="store_true", help="put the tables into the pages")
    arguments = parser.parse_args()
    prepare_process()
    chosen = [s for s in known if not arguments.only or s.name in arguments.only]
    peers = [name for name in arguments.peer or NAMES if is_installed(name)]
    if arguments.write and (arguments.only or arguments.peer or len(peers) < len(NAMES)):
        raise SystemExit("--write takes all scenarios and peers (benchmarks/install gets them)")
    results = Results()
    for number in range(arguments.rounds):
        for scenario in chosen:
            for peer in peers if number % 2 == 0 else reversed(peers):
                if peer in scenario.peers:
                    print(f"round {number + 1}: {scenario.name}: {peer}", flush=True)
                    results.add(scenario, peer, scenario.run(peer, arguments.seconds))
        if arguments.json:
            results.dump(arguments.json)
    print("\n" + results.table(chosen))
    if arguments.write:
        replace_table(PAGE, results.table(known))
        replace_table(README, results.table([s for s in known if s.name in IN_README]))


if __name__ == "__main__":
    main()
