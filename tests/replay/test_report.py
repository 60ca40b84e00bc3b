"""What is told of outcomes, the same in every form."""

from xml.etree import ElementTree

import pytest

from mcpd.replay.outcome import Mismatch, PlayOutcome
from mcpd.replay.report import Verdict, as_html, as_junit, as_text
from mcpd.replay.transcript import Transcript

WRONG = Mismatch.of(3, "POST /mcp/", "<a> & b", "\x00\x1b[31m<script>", "https://x")


def outcome(name, mismatch=None):
    return PlayOutcome(Transcript({}, [], name), mismatch, 0.1)


@pytest.fixture
def verdict():
    outcomes = [outcome("c/good"), outcome("c/bad", WRONG), outcome("c/known", WRONG),
                outcome("c/stale")]  # fmt: skip
    expected = {"c/known": "a reason", "c/stale": "it was so", "c/renamed": "long ago"}
    return Verdict(outcomes, expected, everything=True)


def test_every_form_says_the_same(verdict):
    assert not verdict.passed
    text, page = as_text(verdict), as_html(verdict)
    suite = ElementTree.fromstring(as_junit(verdict))
    assert text.splitlines()[-1] == "1 passed, 3 failed, 1 known failures"
    assert verdict.summary in page
    counts = [suite.get(name) for name in ("tests", "failures", "skipped")]
    assert counts == ["5", "3", "1"]
    cases = {case.get("name"): [child.tag for child in case] for case in suite}
    assert cases == {"good": [], "bad": ["failure"], "known": ["skipped"], "stale": ["failure"],
                     "renamed": ["failure"]}  # fmt: skip
    assert "STALE c/renamed is listed as a failure, and was not played" in text
    for name, kind in (("good", "ok"), ("stale", "STALE"), ("bad", "FAIL"), ("known", "known")):
        assert f'<tr class="{kind}"><td>c/{name}<td>' in page


def test_what_a_server_said_is_harmless_in_each(verdict):
    for text in (as_text(verdict), as_html(verdict), as_junit(verdict)):
        assert "\x1b" not in text
        assert "\x00" not in text
    assert "<script>" not in as_html(verdict)


def test_names_of_what_was_not_to_be_played_are_not_stale():
    assert Verdict([outcome("c/good")], {"c/other": "why"}).passed
