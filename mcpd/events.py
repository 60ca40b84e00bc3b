"""What happens, as ``Observer`` tells it to those who count and write.

Names that others choose, such as a client's, are in them as they came: a listener bounds them.
"""

import msgspec

from mcpd.observer import Activity


class RequestServed(msgspec.Struct, frozen=True, gc=False):
    """An HTTP request was answered, or its client left before that.

    Attributes:
        status: RFC 9110, section 15; 499: the client left first.
        size: bytes that were sent.
        seconds: from its head to its last byte.
    """

    activity: Activity
    method: str
    path: str
    address: str
    status: int
    size: int
    seconds: float


class CallBegan(msgspec.Struct, frozen=True, gc=False):
    """A call is given to its handler, in this task; ``CallServed`` follows in the same one.

    Attributes:
        target: as of ``CallServed``.
        request_id: as JSON.
    """

    activity: Activity
    method: str
    target: str
    session: str
    request_id: bytes
    revision: str


class CallServed(msgspec.Struct, frozen=True, gc=False):
    """A call that was given to its handler is over, in whatever transport.

    Attributes:
        principal: issuer and subject of its caller, in one word.
        session: that it belongs to; empty: its era has none.
        target: the tool, prompt or resource that it names, as this server lists it; empty: none.
        code: of the JSON-RPC error that it was answered with; 0: a result.
        is_error: the result says that the tool failed.
        cancelled: it was not answered: its client cancelled it or left, or its time was over.
        seconds: that it ran; of a call that became a task, until then.
        credential: the id of the API key or the ``jti`` of the token that showed its caller.
        client: name and version, as it says of itself.
        client_version: the version alone.
        revision: in which it speaks.
        size_in, size_out: bytes of its params and of its answer.
        status: of HTTP, if it was refused before it had a handler; else 0.
        reason: the limit that refused it, or what kind of error it was; empty: none did.
        arguments: of a tool or prompt, as JSON, as they were sent; empty: there are none, or it was
            refused.
    """

    activity: Activity
    principal: str
    session: str
    method: str
    target: str
    code: int
    is_error: bool
    cancelled: bool
    seconds: float
    credential: str = ""
    client: str = ""
    client_version: str = ""
    revision: str = ""
    size_in: int = 0
    size_out: int = 0
    arguments: bytes | msgspec.Raw = b""
    status: int = 0
    reason: str = ""

    @property
    def error_type(self) -> str:
        """What went wrong, in the words of OpenTelemetry's conventions; empty: nothing."""
        if self.code:
            return str(self.code)
        if self.is_error:
            return "tool_error"
        return "cancelled" if self.cancelled else ""


class Registered(msgspec.Struct, frozen=True):
    """A request to register was answered.

    Attributes:
        kind: of what it asked for: ``session``, ``oauth`` or ``unknown``.
        outcome: ``accepted``, ``refused`` or ``limited``.
    """

    kind: str
    outcome: str


class SessionBegun(msgspec.Struct, frozen=True):
    """A client has initialized a session in this revision."""

    revision: str


class SessionEnded(msgspec.Struct, frozen=True):
    """A client has ended its session, which was there for so long."""

    revision: str
    seconds: float


class SessionsSwept(msgspec.Struct, frozen=True):
    """So many sessions ended for want of activity."""

    number: int


class LimitReached(msgspec.Struct, frozen=True):
    """A request was refused by the limit of this name."""

    limit: str


class CredentialRefused(msgspec.Struct, frozen=True):
    """A request was refused for its credential; ``reason`` is one of ``auth.challenges``."""

    reason: str


class StreamResumed(msgspec.Struct, frozen=True):
    """A client came back for the rest of a stream: ``found``, or ``lost``."""

    outcome: str


class CallRecovered(msgspec.Struct, frozen=True):
    """A call whose process was gone: it was ``repeated``, or its client told that it was
    ``interrupted``.
    """

    outcome: str


class StoreUsed(msgspec.Struct, frozen=True):
    """A store was asked.

    Attributes:
        store: ``redis``, or the name of a SQLite file.
        operation: ``read``, ``write`` or, of Redis, ``exchange``.
        failed: it was away, or refused.
    """

    store: str
    operation: str
    seconds: float
    failed: bool
