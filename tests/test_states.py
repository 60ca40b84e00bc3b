"""State machines are tables, and the page that shows them is drawn from these."""

import importlib.util
from enum import Enum
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "docs" / "make_state_diagrams.py"
spec = importlib.util.spec_from_file_location("make_state_diagrams", SCRIPT)
assert spec is not None
assert spec.loader is not None
diagrams = importlib.util.module_from_spec(spec)
spec.loader.exec_module(diagrams)


@pytest.mark.parametrize(("title", "moves"), [(t[0], t[3]) for t in diagrams.TABLES])
def test_a_table_has_every_state_and_leads_to_states_alone(title, moves):
    kind = type(next(iter(moves)))
    assert set(moves) == set(kind)
    for following in moves.values():
        ends = following.values() if hasattr(following, "values") else following
        assert all(isinstance(end, kind) for end in ends)


@pytest.mark.parametrize(("title", "moves", "start"), [(t[0], t[3], t[4]) for t in diagrams.TABLES])
def test_every_state_can_be_reached(title, moves, start: Enum):
    reached, waiting = {start}, [start]
    while waiting:
        following = moves[waiting.pop()]
        ends = set(following.values() if hasattr(following, "values") else following)
        waiting += ends - reached
        reached |= ends
    assert reached == set(moves)


def test_the_page_of_states_is_as_the_tables_are():
    assert diagrams.FILE.read_text() == diagrams.text(), "run python docs/make_state_diagrams.py"
