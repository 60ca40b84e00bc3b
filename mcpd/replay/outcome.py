"""How a transcript went. Pure."""

from dataclasses import dataclass

from mcpd.replay.transcript import Transcript


@dataclass(frozen=True, slots=True)
class Mismatch:
    """What went otherwise than expected."""

    line: int
    request: str
    expected: str
    got: str
    reference: str

    @classmethod
    def of(cls, line: int, request: str, expected: str, got: str, reference: str) -> "Mismatch":
        """What a server said is shown without what terminals and XML do not take."""
        return cls(line, *map(printable, (request, expected, got, reference)))


def printable(text: str) -> str:
    """The text, with what is no character to be read in the way of Python."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class Otherwise(Exception):
    """The server did not do what was expected."""

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(got)
        self.expected = expected
        self.got = got


class NotOffered(Exception):
    """The transcript needs what a server need not have, and this one has not. The text says what;
    behind a colon may be details.
    """


@dataclass(frozen=True, slots=True)
class PlayOutcome:
    """How a transcript went.

    Attributes:
        skipped: why it was not played to its end, though nothing is wrong; empty: it was played.
        silent: it ended with a request that got no answer of any kind: is the server there?
        connected: False: not even a connection could be had for that request.
    """

    transcript: Transcript
    mismatch: Mismatch | None
    seconds: float
    skipped: str = ""
    silent: bool = False
    connected: bool = True

    @property
    def passed(self) -> bool:
        """Whether it was played, and everything was as expected."""
        return self.mismatch is None and not self.skipped

    @property
    def name(self) -> str:
        """CLIENT/SCENARIO."""
        return self.transcript.name
