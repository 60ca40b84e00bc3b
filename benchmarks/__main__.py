"""python -m benchmarks: run everything, alternating, and print the table that README shows."""

import argparse
import itertools
import statistics
import time
from collections import defaultdict
from pathlib import Path

from benchmarks.client import free_port, open_session, open_stream, wait_for_answer
from benchmarks.contestants import Contestant, contestants
from benchmarks.load import Measured, measure

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- benchmark -->\n", "<!-- /benchmark -->"
STREAMS = 300


def main() -> None:
    """Measure, print, and with --write put the table into README."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of load in each run")
    parser.add_argument("--only", action="append", help="a contestant; repeatable")
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    arguments = parser.parse_args()
    chosen = [c for c in contestants() if not arguments.only or c.name in arguments.only]
    results = Results(chosen)
    for number in range(arguments.rounds):
        for contestant in chosen if number % 2 == 0 else reversed(chosen):
            print(f"round {number + 1} of {arguments.rounds}: {contestant.name}", flush=True)
            results.run(contestant, arguments.seconds)
    text = results.table()
    print("\n" + text)
    if arguments.write:
        write(text)


class Results:
    """What was measured of each contestant; medians are reported."""

    def __init__(self, chosen: list[Contestant]) -> None:
        self.chosen = chosen
        self.start_s: dict[str, list[float]] = defaultdict(list)
        self.kib: dict[str, list[float]] = defaultdict(list)
        self.stream_kib: dict[str, list[float]] = defaultdict(list)
        self.modern: dict[str, list[Measured]] = defaultdict(list)
        self.session: dict[str, list[Measured]] = defaultdict(list)

    def run(self, contestant: Contestant, seconds: float) -> None:
        """One round: start, load in both eras, memory, open streams."""
        name, began = contestant.name, time.monotonic()
        contestant.start(free_port())
        try:
            wait_for_answer(contestant)
            self.start_s[name].append(time.monotonic() - began)
            self.modern[name].append(measure(contestant, modern=True, seconds=seconds))
            self.session[name].append(measure(contestant, modern=False, seconds=seconds))
            self.kib[name].append(contestant.resident_kib)
            if name != "floor":
                self.stream_kib[name].append(idle_streams(contestant))
        finally:
            contestant.stop()

    def table(self) -> str:
        """Markdown: each figure, and its ratio to the floor's."""
        header = ["", *(c.name for c in self.chosen)]
        rows = [
            self._row("stateless `tools/call` (2026-07-28), requests/s", _rates(self.modern)),
            self._row("  99th percentile, ms", _p99s(self.modern), digits=1),
            self._row("`tools/call` in a session (2025-06-18), requests/s", _rates(self.session)),
            self._row("  99th percentile, ms", _p99s(self.session), digits=1),
            self._row("exec to first answered call, ms", _scaled(self.start_s, 1000)),
            self._row("resident memory after load, MiB", _scaled(self.kib, 1 / 1024), digits=1),
            self._row("an idle session with an open stream, KiB", self.stream_kib, digits=1),
        ]
        failed = sum(
            m.failed for m in itertools.chain(*self.modern.values(), *self.session.values())
        )
        lines = [header, ["---"] + ["---:"] * len(self.chosen), *rows]
        text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        return f"{text}\n\nFailed requests in all runs: {failed}.\n"

    def _row(self, label: str, values: dict[str, list[float]], digits: int = 0) -> list[str]:
        medians = {name: statistics.median(v) for name, v in values.items() if v}
        floor, cells = medians.get("floor"), [label]
        for contestant in self.chosen:
            value = medians.get(contestant.name)
            if value is None:
                cells.append("")
            elif floor is None:
                cells.append(f"{value:,.{digits}f}")
            else:
                cells.append(f"{value:,.{digits}f} ({value / floor:.2f})")
        return cells


def _rates(runs: dict[str, list[Measured]]) -> dict[str, list[float]]:
    return {name: [run.per_second for run in found] for name, found in runs.items()}


def _p99s(runs: dict[str, list[Measured]]) -> dict[str, list[float]]:
    return {name: [run.p99_ms for run in found] for name, found in runs.items()}


def _scaled(values: dict[str, list[float]], factor: float) -> dict[str, list[float]]:
    return {name: [value * factor for value in found] for name, found in values.items()}


def idle_streams(contestant: Contestant) -> float:
    """KiB of resident memory for each session that holds a GET stream open."""
    warm = [open_stream(contestant, open_session(contestant)) for _ in range(20)]
    before = contestant.resident_kib
    held = [open_stream(contestant, open_session(contestant)) for _ in range(STREAMS)]
    time.sleep(0.5)
    after = contestant.resident_kib
    for sock in (*warm, *held):
        sock.close()
    return (after - before) / STREAMS


def write(text: str) -> None:
    """Replace the table in README."""
    readme = README.read_text()
    start, end = readme.index(BEGIN) + len(BEGIN), readme.index(END)
    README.write_text(readme[:start] + text + readme[end:])


main()
