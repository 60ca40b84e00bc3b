"""W3C Trace Context and Baggage: which trace a request belongs to. Pure.

MCP carries them in ``params._meta`` (``traceparent``, ``tracestate``, ``baggage``), HTTP in header
fields of the same names.
"""

import re
import secrets
from typing import Any

import msgspec

MAX_STATE_CHARS = 512  # W3C Trace Context, section 3.3.1.5
MAX_BAGGAGE_CHARS = 8192  # W3C Baggage, section 3.3.2
SPAN_BYTES = 8
_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class TraceContext(msgspec.Struct, frozen=True):
    """A place in a trace.

    Attributes:
        span_id: of the sender's span, or of ours for what we send on.
        flags: two hexadecimal digits.
        state, baggage: passed on as they are; empty: there is none.
    """

    trace_id: str
    span_id: str
    flags: str = "00"
    state: str = ""
    baggage: str = ""

    @property
    def traceparent(self) -> str:
        """As it is sent."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"

    def child(self) -> "TraceContext":
        """A place below this one, for what is sent on."""
        return msgspec.structs.replace(self, span_id=secrets.token_hex(SPAN_BYTES))

    def carried(self) -> dict[str, str]:
        """Header fields, or members of ``_meta``, that carry it."""
        members = {"traceparent": self.traceparent}
        if self.state:
            members["tracestate"] = self.state
        if self.baggage:
            members["baggage"] = self.baggage
        return members


def read_trace(parent: Any, state: Any = None, baggage: Any = None) -> TraceContext | None:
    """The context that these values carry; None: there is none, or it is malformed, which counts as
    none (section 4.3).
    """
    if not isinstance(parent, str):
        return None
    found = _FORM.fullmatch(parent)
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if (
        version == "ff"
        or (version == "00" and more)
        or not (int(trace_id, 16) and int(span_id, 16))
    ):
        return None
    return TraceContext(
        trace_id,
        span_id,
        flags,
        _text(state, MAX_STATE_CHARS),
        _text(baggage, MAX_BAGGAGE_CHARS),
    )


def _text(value: Any, most: int) -> str:
    fits = isinstance(value, str) and len(value) <= most and value.isascii()
    return value if fits and value.isprintable() else ""
