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


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a transcript went."""

    transcript: Transcript
    mismatch: Mismatch | None
    seconds: float

    @property
    def name(self) -> str:
        """CLIENT/SCENARIO."""
        return self.transcript.name
