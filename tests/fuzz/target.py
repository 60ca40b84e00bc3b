"""What is fuzzed: a target has inputs, and a property that holds for each of them.

An input is a Python literal (bytes, texts, numbers, lists, tuples, dicts), so that one that failed
can be written down and tried again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis.strategies import SearchStrategy

CORPUS = Path(__file__).parent / "corpus"


@dataclass(frozen=True)
class Target:
    """One property.

    Attributes:
        inputs: draws literals.
        check: raises whatever it finds wrong. It depends on its argument alone.
        examples: literals that are tried first, each time.
        short: how many inputs the test suite draws.
    """

    name: str
    inputs: SearchStrategy[Any]
    check: Callable[[Any], None]
    examples: tuple[Any, ...] = ()
    short: int = 100


def corpus(folder: str) -> list[bytes]:
    """The files of one folder of the corpus, in the order of their names."""
    files = sorted((CORPUS / folder).iterdir())
    assert files, folder
    return [path.read_bytes() for path in files]
