"""What the runs of one call told and asked their client: a later run goes on behind an earlier one,
which another process began.
"""

from typing import Any

import msgspec

from mcpd.sessions.stream_ids import question_id


class _Written(msgspec.Struct):
    """What is read of a message that another process wrote."""

    id: Any = None
    method: str = ""
    params: dict[str, Any] = {}


_written = msgspec.json.Decoder(_Written)


class RunHistory:
    """Of one call.

    Attributes:
        asked: ids of questions that an earlier run of the call asked.
        last_progress: what an earlier run told last.
    """

    def __init__(self, stream_id: str) -> None:
        self.asked: set[str] = set()
        self.last_progress: float | None = None
        self._stream_id = stream_id
        self._times: dict[bytes, int] = {}  # how often this run asked the same

    @property
    def has_asked(self) -> bool:
        """Whether any run asked something."""
        return bool(self._times or self.asked)

    def learn(self, message: bytes) -> None:
        """Take in what an earlier run wrote."""
        try:
            written = _written.decode(message)
        except msgspec.DecodeError:
            return
        if isinstance(written.id, str) and written.method:
            self.asked.add(written.id)
        if written.method == "notifications/progress":
            progress = written.params.get("progress")
            if isinstance(progress, int | float):
                self.last_progress = max(progress, self.last_progress or progress)

    def question_id(self, content: bytes) -> str:
        """The id for a question, the same in every run of the call."""
        self._times[content] = times = self._times.get(content, 0) + 1
        return question_id(self._stream_id, content, times)
