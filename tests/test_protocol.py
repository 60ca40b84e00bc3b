"""docs/PROTOCOL.md and the tests stay in step."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOC = (ROOT / "docs" / "PROTOCOL.md").read_text()
ROWS = re.findall(r"^\| ([A-Z]\d+'?) \| (.+?) \| (\S+) \| (.+) \|$", DOC, re.MULTILINE)


def existing_tests() -> set[str]:
    found = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.add(node.name)
    return found


def test_every_named_test_exists():
    named = set(re.findall(r"\btest_[a-z0-9_]+\b", DOC)) - {"test_protocol"}
    assert named - existing_tests() == set()


def test_every_row_is_shown_by_something():
    assert len(ROWS) > 140
    for row_id, obligation, _, shown in ROWS:
        assert obligation.strip(), row_id
        assert re.search(r"\btest_|suite: |\*left out\*: |\*shown by construction\*: ", shown), (
            row_id
        )


def test_ids_are_unique_within_the_document():
    ids = [row[0] for row in ROWS]
    assert len(ids) == len(set(ids))
