"""One response as a client sees it. Pure."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

EVENT_STREAM = "text/event-stream"
MAX_SAID = 300  # characters of a server's words that are shown


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of one request.

    Attributes:
        status: 0: there is no response; ``error`` says why, or nothing was asked.
        error: what is missing, in words: the response, or the rest of it.
        messages: of an event stream, as far as it was read.
        first_event: the name of its first event.
        request_id: of the request, if it was one of JSON-RPC.
    """

    status: int = 0
    fields: dict[str, str] = field(default_factory=dict)
    text: str = ""
    error: str = ""
    seconds: float = 0.0
    messages: tuple[Any, ...] = ()
    events: int = 0
    first_event: str = ""
    request_id: Any = None

    @property
    def was_asked(self) -> bool:
        """Whether the request was made at all."""
        return bool(self.status or self.error)

    @property
    def kind(self) -> str:
        """The media type of the body, in lower case."""
        return self.fields.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def is_stream(self) -> bool:
        """Whether events come."""
        return self.status == 200 and self.kind == EVENT_STREAM

    @property
    def json(self) -> Any:
        """The body, or the answer in the stream; None if it is no JSON."""
        if self.is_stream:
            return next(filter(is_answer, self.messages), None)
        return read_json(self.text)

    @property
    def answer(self) -> dict[str, Any]:
        """The JSON-RPC answer; empty: there is none."""
        body = self.json
        if isinstance(body, list) and len(body) == 1:
            body = body[0]  # a batch of one
        return body if is_answer(body) else {}

    @property
    def result(self) -> dict[str, Any]:
        """Of the answer; empty: it has none."""
        result = self.answer.get("result")
        return result if isinstance(result, dict) else {}

    @property
    def document(self) -> dict[str, Any]:
        """The JSON object of a 200; empty: it is none."""
        body = read_json(self.text) if self.status == 200 else None
        return body if isinstance(body, dict) else {}

    @property
    def says(self) -> str:
        """What an error says, in one line."""
        body = self.json
        if isinstance(body, dict):
            error = body.get("error")
            told = error.get("message") if isinstance(error, dict) else None
            told = told or body.get("error_description") or error
            if isinstance(told, str):
                return told[:MAX_SAID]
        text = " ".join(re.sub(r"<[^>]*>", " ", self.text).split())[:120]
        return self.error or text or "(without a word)"


def read_json(text: str | bytes) -> Any:
    """None: it is no JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def is_answer(message: Any) -> bool:
    """Whether it is a message that answers a request."""
    return (
        isinstance(message, dict)
        and "method" not in message
        and ("result" in message or "error" in message)
    )
