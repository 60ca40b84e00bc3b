"""What came of playing: for people, for CI, for a browser. Pure."""

import html
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree

from mcpd.errors import ConfigError
from mcpd.replay.outcome import Mismatch, Outcome


class Verdict:
    """Outcomes beside what was expected to fail.

    Args:
        expected: names of transcripts that are known to fail, with the reason.
    """

    def __init__(self, outcomes: Sequence[Outcome], expected: Mapping[str, str]) -> None:
        self.outcomes = sorted(outcomes, key=lambda outcome: outcome.name)
        self.expected = expected
        played = {outcome.name for outcome in outcomes}
        failed = {outcome.name for outcome in outcomes if outcome.mismatch is not None}
        self.stale = sorted(name for name in expected if name in played - failed)
        self.surprises = sorted(failed - set(expected))

    @property
    def passed(self) -> bool:
        """Whether everything went as expected, and what was to fail did."""
        return not self.surprises and not self.stale


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
    for outcome in verdict.outcomes:
        name, mismatch = outcome.name, outcome.mismatch
        if mismatch is None:
            lines.append(f"ok    {name}")
        elif name in verdict.expected:
            lines.append(f"known {name}: {verdict.expected[name]}")
        else:
            lines += [f"FAIL  {name}", *(f"      {line}" for line in explain(mismatch))]
    lines += [f"STALE {name} passes, and is listed as a failure" for name in verdict.stale]
    failed = len(verdict.surprises) + len(verdict.stale)
    known = sum(1 for o in verdict.outcomes if o.mismatch and o.name in verdict.expected)
    good = len(verdict.outcomes) - len(verdict.surprises) - known
    return "\n".join([*lines, f"{good} passed, {failed} failed, {known} known failures"]) + "\n"


def explain(mismatch: Mismatch) -> list[str]:
    """A mismatch in four lines."""
    return [
        f"request:  {mismatch.request} (line {mismatch.line})",
        f"expected: {mismatch.expected}",
        f"got:      {mismatch.got}",
        f"see:      {mismatch.reference}",
    ]


def as_junit(verdict: Verdict) -> str:
    """JUnit's XML, as CI systems read it."""
    suite = ElementTree.Element(
        "testsuite", name="mcpd replay", tests=str(len(verdict.outcomes)),
        failures=str(len(verdict.surprises) + len(verdict.stale)),
    )  # fmt: skip
    for outcome in verdict.outcomes:
        client, _, scenario = outcome.name.rpartition("/")
        case = ElementTree.SubElement(
            suite, "testcase", classname=client, name=scenario, time=f"{outcome.seconds:.3f}"
        )
        if outcome.name in verdict.stale:
            ElementTree.SubElement(case, "failure", message="passes, and is listed as a failure")
        elif outcome.mismatch is not None and outcome.name in verdict.expected:
            ElementTree.SubElement(case, "skipped", message=verdict.expected[outcome.name])
        elif outcome.mismatch is not None:
            failure = ElementTree.SubElement(case, "failure", message=outcome.mismatch.got)
            failure.text = "\n".join(explain(outcome.mismatch))
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def as_html(verdict: Verdict) -> str:
    """One page."""
    rows = []
    for outcome in verdict.outcomes:
        mismatch, told, kind = outcome.mismatch, "", "ok"
        if mismatch is not None:
            kind = "known" if outcome.name in verdict.expected else "fail"
            words = explain(mismatch)
            if kind == "known":
                words = [verdict.expected[outcome.name], *words]
            told = "<pre>" + html.escape("\n".join(words)) + "</pre>"
        rows.append(f'<tr class="{kind}"><td>{html.escape(outcome.name)}<td>{kind}<td>{told}</tr>')
    return (
        '<!doctype html><meta charset="utf-8"><title>mcpd replay</title>'
        "<style>body{font:15px sans-serif}td{vertical-align:top;padding:2px 12px}"
        ".fail td{background:#fdd}.known td{background:#ffd}pre{margin:0}</style>"
        f"<h1>mcpd replay</h1><table>{''.join(rows)}</table>"
        f"<p>{html.escape(as_text(verdict).splitlines()[-1])}</p>\n"
    )
