"""Each target for a moment, with a fixed seed; longer runs are ``python -m tests.fuzz``."""

import ast

import pytest

from tests.fuzz.known import KNOWN
from tests.fuzz.runner import attempt, describe, leaf_of, run_examples, run_seed
from tests.fuzz.target import CORPUS
from tests.fuzz.targets import TARGETS

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


@pytest.mark.parametrize("number", range(max(1, len(KNOWN))))
def test_what_is_known_still_fails(number):
    if not KNOWN:
        return
    known = KNOWN[number]
    """An entry that is mended has to go from the list."""
    with pytest.raises(Exception) as caught:
        BY_NAME[known.target].check(known.value)
    assert attempt(BY_NAME[known.target], known.value) is None, describe(leaf_of(caught.value))


def test_a_broken_property_is_found_and_made_small():
    from tests.fuzz.target import Target
    from tests.fuzz.targets.http_heads import INPUT

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
