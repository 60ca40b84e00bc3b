"""Each target for a moment, with a fixed seed; longer runs are ``python -m tests.fuzz``."""

import ast
import re

import pytest

from tests.fuzz.known import KNOWN, Known
from tests.fuzz.runner import describe, leaf_of, run_examples, run_seed
from tests.fuzz.target import CORPUS, Target
from tests.fuzz.targets import TARGETS
from tests.fuzz.targets.http_heads import INPUT

SEED = 1
MAX_CORPUS_BYTES = 300_000
BY_NAME = {target.name: target for target in TARGETS}


@pytest.mark.parametrize("name", BY_NAME)
def test_the_property_holds(name):
    for failure in run_examples(BY_NAME[name]):
        pytest.fail(f"{failure.value!r}\n{failure.text}")
    failure = run_seed(BY_NAME[name], SEED, BY_NAME[name].short)
    if failure is not None:
        pytest.fail(f"{failure.value!r}\n{failure.text}")


def still_fails(known: Known) -> bool:
    """Whether the input of an entry fails, and for the reason that the entry gives."""
    try:
        BY_NAME[known.target].check(known.value)
    except Exception as error:
        return re.match(known.says, describe(leaf_of(error)), re.DOTALL) is not None
    return False


def test_an_entry_of_what_is_known_that_is_mended_has_to_go(monkeypatch):
    assert [known.reason for known in KNOWN if not still_fails(known)] == []

    def check(value: bytes) -> None:
        assert value != b"bad", "it is bad"

    monkeypatch.setitem(BY_NAME, "broken", Target("broken", INPUT, check))
    says = "AssertionError: it is bad"
    assert still_fails(Known("broken", b"bad", says, "not mended"))
    assert not still_fails(Known("broken", b"good", says, "mended"))
    assert not still_fails(Known("broken", b"bad", "TypeError", "fails for another reason"))


def test_a_broken_property_is_found_and_made_small():
    def check(data: bytes) -> None:
        assert b"POST" not in data

    failure = run_seed(Target("broken", INPUT, check), SEED, 200)
    assert failure is not None
    assert failure.seed == SEED
    assert b"POST" in failure.value
    assert "AssertionError" in failure.key


def test_inputs_are_literals_that_can_be_written_down():
    for target in TARGETS:
        for value in target.examples[:20]:
            assert ast.literal_eval(repr(value)) == value, target.name
    for known in KNOWN:
        assert ast.literal_eval(repr(known.value)) == known.value


def test_the_corpus_is_small():
    size = sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file())
    assert size <= MAX_CORPUS_BYTES
    assert len(BY_NAME) == len(TARGETS), "two targets of one name"
