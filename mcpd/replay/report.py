"""What came of playing: for people, for CI, for a browser. Pure."""

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree

from mcpd.errors import ConfigError
from mcpd.replay.outcome import Mismatch, PlayOutcome

Kind = Literal["ok", "known", "skip", "FAIL", "STALE", "ERROR"]
SERVER = "server"  # what an error that is of no transcript goes by
_STALE = "passes, and is listed as a failure"
_UNKNOWN = "is listed as a failure, and was not played"


@dataclass(frozen=True, slots=True)
class Judged:
    """One transcript, and what to say of it."""

    name: str
    kind: Kind
    words: list[str]
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether it is as it was expected."""
        return self.kind in ("ok", "known", "skip")


class Verdict:
    """Outcomes beside what was expected to fail.

    Args:
        expected: names of transcripts that are known to fail, with the reason.
        everything: whether all there are were played, so that a name of none is stale as well.
        error: why there is no server to play against, or none any more; it counts once.
    """

    def __init__(
        self,
        outcomes: Sequence[PlayOutcome],
        expected: Mapping[str, str],
        *,
        everything: bool = False,
        error: str = "",
    ) -> None:
        judged = [_judge(outcome, expected) for outcome in outcomes]
        if not error and judged and all(one.kind == "skip" for one in judged):
            error = "nothing was played: no transcript is for this server"
        if error:
            judged.append(Judged(SERVER, "ERROR", [error]))
        elif everything:
            missing = set(expected) - {outcome.name for outcome in outcomes}
            judged += [Judged(name, "STALE", [_UNKNOWN]) for name in missing]
        self.judged = sorted(judged, key=lambda one: one.name)

    def count(self, *kinds: Kind) -> int:
        """How many are of these kinds."""
        return sum(one.kind in kinds for one in self.judged)

    @property
    def passed(self) -> bool:
        """Whether everything went as expected, and what was to fail did."""
        return all(one.passed for one in self.judged)

    @property
    def summary(self) -> str:
        """How many did what."""
        failed = self.count("FAIL", "STALE")
        known, skipped = self.count("known"), self.count("skip")
        told = f"{self.count('ok')} passed, {failed} failed, {known} known failures"
        told += f", {skipped} skipped" if skipped else ""
        return told + (", and the server is not there" if self.count("ERROR") else "")

    @property
    def reasons(self) -> list[str]:
        """Why transcripts were skipped, each with how many."""
        skipped = (one for one in self.judged if one.kind == "skip")
        counts = Counter(one.words[0].partition(":")[0] for one in skipped)
        return [f"{count} skipped: {reason}" for reason, count in counts.most_common()]


def _judge(outcome: PlayOutcome, expected: Mapping[str, str]) -> Judged:
    name, mismatch = outcome.name, outcome.mismatch
    if outcome.skipped:
        return Judged(name, "skip", [outcome.skipped], outcome.seconds)
    if mismatch is None:
        kind: Kind = "STALE" if name in expected else "ok"
        return Judged(name, kind, [_STALE] if kind == "STALE" else [], outcome.seconds)
    words = explain(mismatch)
    if name in expected:
        return Judged(name, "known", [expected[name], *words], outcome.seconds)
    return Judged(name, "FAIL", words, outcome.seconds)


def read_expected(text: str) -> dict[str, str]:
    """Lines of CLIENT/SCENARIO and a reason; ``#`` begins a comment.

    Raises:
        ConfigError: a line has no reason.
    """
    found = {}
    for line in text.splitlines():
        name, _, reason = line.strip().partition(" ")
        if name and not name.startswith("#"):
            if not reason.strip():
                raise ConfigError(f"{name} is expected to fail without a reason.")
            found[name] = reason.strip()
    return found


def as_text(verdict: Verdict) -> str:
    """A line for each transcript, and the whole of each mismatch."""
    lines = []
    for one in verdict.judged:
        if one.kind == "FAIL":
            lines += [f"FAIL  {one.name}", *(f"      {line}" for line in one.words)]
        else:
            lines.append(f"{one.kind:<5} {one.name} {': '.join(one.words[:1])}".rstrip())
    return "\n".join([*lines, *verdict.reasons, verdict.summary]) + "\n"


def explain(mismatch: Mismatch) -> list[str]:
    """A mismatch in four lines."""
    return [
        f"request:  {mismatch.request}",
        f"expected: {mismatch.expected} (line {mismatch.line})",
        f"got:      {mismatch.got}",
        f"see:      {mismatch.reference}",
    ]


def as_junit(verdict: Verdict) -> str:
    """JUnit's XML, as CI systems read it."""
    suite = ElementTree.Element(
        "testsuite", name="mcpd replay", tests=str(len(verdict.judged)),
        failures=str(verdict.count("FAIL", "STALE")), errors=str(verdict.count("ERROR")),
        skipped=str(verdict.count("known", "skip")),
    )  # fmt: skip
    for one in verdict.judged:
        client, _, scenario = one.name.rpartition("/")
        case = ElementTree.SubElement(
            suite, "testcase", classname=client, name=scenario, time=f"{one.seconds:.3f}"
        )
        if one.kind != "ok":
            bad = "error" if one.kind == "ERROR" else "failure"
            found = ElementTree.SubElement(case, "skipped" if one.passed else bad)
            said = one.words[1:3] if one.kind == "FAIL" else one.words[:1]
            found.set("message", "; ".join(said))
            found.text = "\n".join(one.words)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def as_html(verdict: Verdict) -> str:
    """One page."""
    rows = []
    for one in verdict.judged:
        told = f"<pre>{html.escape(chr(10).join(one.words))}</pre>" if one.words else ""
        rows.append(
            f'<tr class="{one.kind}"><td>{html.escape(one.name)}<td>{one.kind}<td>{told}</tr>'
        )
    return (
        '<!doctype html><meta charset="utf-8"><title>mcpd replay</title>'
        "<style>body{font:15px sans-serif}td{vertical-align:top;padding:2px 12px}"
        ".FAIL td,.STALE td,.ERROR td{background:#fdd}.skip td{color:#666}"
        ".known td{background:#ffd}pre{margin:0}</style>"
        f"<h1>mcpd replay</h1><table>{''.join(rows)}</table>"
        f"{''.join(f'<p>{html.escape(reason)}</p>' for reason in verdict.reasons)}"
        f"<p>{html.escape(verdict.summary)}</p>\n"
    )
