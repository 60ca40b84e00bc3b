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


@dataclass(frozen=True, slots=True)
class PlayOutcome:
    """How a transcript went."""

    transcript: Transcript
    mismatch: Mismatch | None
    seconds: float

    @property
    def name(self) -> str:
        """CLIENT/SCENARIO."""
        return self.transcript.name
