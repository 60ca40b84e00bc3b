"""What a search looks for, and how much of it one step and one search do. Pure.

SQLite has no search that is linear: LIKE compares a pattern at every place of a text, which for one
of 500 characters is minutes of work. Here each word is a literal for ``re``, which never looks at a
character of the text twice for it (Knuth, Morris, Pratt).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from mcpd.toolkits.tasks.model import Task

MAX_WORDS = 16  # of one search, after repeated ones
STEP_BYTES = 256 * 1024  # looked at before others have their turn: some milliseconds
MAX_SCAN_BYTES = 64 * 1024 * 1024  # of one search: four times what a user may keep
MAX_SCAN_S = 5.0  # of one search, with the turns of others: a model does not wait longer
PAGE_BYTES = 1024 * 1024  # of the tasks in one page

Row = tuple[int, str, str, str]  # number, title, body, record
_decode = msgspec.json.Decoder(Task).decode


class TooManyWords(ValueError):
    """A search has more than MAX_WORDS."""


class SearchTooLarge(Exception):
    """A search passed MAX_SCAN_BYTES or MAX_SCAN_S."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a task has to have.

    Args:
        words: each is in the title, the description or a tag, in any case of letters.
        tag: it has this one.
    """

    words: tuple[re.Pattern[str], ...] = ()
    tag: str | None = None

    @classmethod
    def of(cls, text: str | None, tag: str | None) -> "Wanted":
        """From arguments.

        Raises:
            TooManyWords: ``text`` has too many.
        """
        words = sorted(set((text or "").lower().split()))
        if len(words) > MAX_WORDS:
            raise TooManyWords
        return cls(tuple(re.compile(re.escape(word)) for word in words), tag)

    @property
    def is_anything(self) -> bool:
        """Whether every task fits."""
        return not self.words and self.tag is None

    def fits(self, row: Row) -> bool:
        """Whether a task has it."""
        _, title, body, record = row
        if self.words:
            title, body = title.lower(), body.lower()
            if not all(word.search(title) or word.search(body) for word in self.words):
                return False
        return self.tag is None or self.tag in _decode(record).tags


@dataclass(slots=True)
class Page:
    """The tasks of one page, as they are found one by one.

    Args:
        offset, limit: which of those that fit.
    """

    offset: int
    limit: int
    tasks: list[Task] = field(default_factory=list)
    total: int = 0  # that fit
    size: int = 0  # bytes of ``tasks``

    @property
    def is_full(self) -> bool:
        """Whether no more tasks are taken."""
        return len(self.tasks) >= self.limit or self.size >= PAGE_BYTES

    def add(self, record: str) -> None:
        """One more fits."""
        if self.total >= self.offset and not self.is_full:
            self.tasks.append(_decode(record))
            self.size += len(record)
        self.total += 1


@dataclass(frozen=True, slots=True)
class Step:
    """What one step came to: how far it got, what fits, and how much it looked at."""

    reached: int
    records: list[str]
    size: int
    done: bool


def scan(rows: Iterable[Row], wanted: Wanted) -> Step:
    """Look at rows until STEP_BYTES."""
    reached, size, records = 0, 0, []
    for row in rows:
        reached, title, body, record = row
        size += len(title) + len(body) + len(record)
        if wanted.fits(row):
            records.append(record)
        if size >= STEP_BYTES:
            return Step(reached, records, size, done=False)
    return Step(reached, records, size, done=True)
