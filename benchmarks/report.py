"""Medians as tables: each figure, and its ratio to that of the scenario's reference."""

import json
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from benchmarks.contestants import NAMES
from benchmarks.scenario import Figures, Row, Scenario

ROOT = Path(__file__).parent.parent
README, PAGE = ROOT / "README.md", ROOT / "docs" / "BENCHMARKS.md"
BEGIN, END = "<!-- benchmark -->\n", "<!-- /benchmark -->"


class Results:
    """All figures of all runs."""

    def __init__(self) -> None:
        self._runs: dict[tuple[str, str], list[Figures]] = defaultdict(list)

    def add(self, scenario: Scenario, peer: str, figures: Figures) -> None:
        """Keep one run."""
        self._runs[scenario.name, peer].append(figures)

    def median(self, scenario: Scenario, peer: str, figure: str) -> float | None:
        """Over all rounds; None: it was not measured."""
        values = [run[figure] for run in self._runs[scenario.name, peer] if figure in run]
        return statistics.median(values) if values else None

    def failed(self) -> int:
        """Answers that were wrong or did not come, in all runs."""
        return int(sum(run["failed"] for runs in self._runs.values() for run in runs))

    def table(self, scenarios: Sequence[Scenario]) -> str:
        """Markdown."""
        peers = [name for name in NAMES if any(self._runs[s.name, name] for s in scenarios)]
        lines = [["", *peers], ["---", *["---:"] * len(peers)]]
        for scenario in scenarios:
            for number, row in enumerate(scenario.rows):
                label = f"{scenario.title}, {row.label}" if number == 0 else f"  {row.label}"
                lines.append([label, *(self._cell(scenario, peer, row) for peer in peers)])
        text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        references = list(dict.fromkeys(s.reference for s in scenarios))
        told = ", where it has none to the ".join(references)
        return (
            f"{text}\n\nIn brackets: the ratio to the {told}. "
            f"Failed requests in all runs: {self.failed()}.\n"
        )

    def _cell(self, scenario: Scenario, peer: str, row: Row) -> str:
        value = self.median(scenario, peer, row.figure)
        if value is None:
            return ""
        reference = self.median(scenario, scenario.reference, row.figure)
        text = f"{value:,.{row.digits}f}"
        return f"{text} ({value / reference:.2f})" if reference else text

    def dump(self, path: Path) -> None:
        """Every run, as JSON."""
        runs = [
            {"scenario": scenario, "peer": peer, "round": number + 1, **figures}
            for (scenario, peer), found in self._runs.items()
            for number, figures in enumerate(found)
        ]
        path.write_text(json.dumps(runs, indent=1) + "\n")


def replace_table(path: Path, text: str) -> None:
    """Put a table between the marks of a page."""
    page = path.read_text()
    start, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    path.write_text(page[:start] + text + page[end:])
