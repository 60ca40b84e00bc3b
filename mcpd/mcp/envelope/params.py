"""What is read of every request's params, once: the reserved members of ``_meta``, and the members
that several methods have in common. Pure.
"""

import functools
from typing import Any

import msgspec

from mcpd.errors import InvalidParams
from mcpd.mcp.revisions import BY_NAME
from mcpd.rpc.messages import EMPTY_PARAMS
from mcpd.trace_context import TraceContext, read_trace

PREFIX = "io.modelcontextprotocol/"
META_VERSION = PREFIX + "protocolVersion"
META_CLIENT_INFO = PREFIX + "clientInfo"
META_CAPABILITIES = PREFIX + "clientCapabilities"
META_LOG_LEVEL = PREFIX + "logLevel"
META_SERVER_INFO = PREFIX + "serverInfo"
TASKS_EXTENSION = PREFIX + "tasks"

_NULL = msgspec.Raw(b"null")
KNOWN_METAS = 256  # decoded values of ``_meta`` that are remembered, of all clients
KNOWN_META_BYTES = 512  # twice of what clients send


class Meta(msgspec.Struct, frozen=True):
    """The reserved members of ``_meta``, unchecked: most requests have few of them."""

    version: Any = msgspec.field(default=msgspec.UNSET, name=META_VERSION)
    client_info: Any = msgspec.field(default=msgspec.UNSET, name=META_CLIENT_INFO)
    capabilities: Any = msgspec.field(default=msgspec.UNSET, name=META_CAPABILITIES)
    log_level: Any = msgspec.field(default=msgspec.UNSET, name=META_LOG_LEVEL)
    progress_token: Any = msgspec.field(default=msgspec.UNSET, name="progressToken")
    traceparent: Any = None
    tracestate: Any = None
    baggage: Any = None

    @property
    def trace(self) -> TraceContext | None:
        """The trace that the request belongs to (SEP-414)."""
        if self.traceparent is None:
            return None
        return read_trace(self.traceparent, self.tracestate, self.baggage)


NO_META = Meta()
_meta_decoder = msgspec.json.Decoder(Meta | None)


class Params(msgspec.Struct, frozen=True, rename="camel"):
    """Members of params; the method that needs one checks it."""

    raw_meta: msgspec.Raw = msgspec.field(default=_NULL, name="_meta")
    name: Any = msgspec.UNSET
    uri: Any = msgspec.UNSET
    task_id: Any = msgspec.UNSET
    arguments: msgspec.Raw = EMPTY_PARAMS
    task: Any = msgspec.UNSET
    input_responses: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    request_state: Any = msgspec.UNSET

    @property
    def meta(self) -> Meta:
        """What ``_meta`` says; null, as some clients send it, is none.

        Raises:
            InvalidParams: it is no object.
        """
        raw = bytes(self.raw_meta)
        return _known_meta(raw) if len(raw) <= KNOWN_META_BYTES else _read_meta(raw)

    @property
    def names_modern(self) -> bool:
        """Whether ``_meta`` names a revision without a handshake, as no older client does."""
        version = self.meta.version
        revision = BY_NAME.get(version) if isinstance(version, str) else None
        return revision is not None and revision.modern

    @property
    def given_arguments(self) -> msgspec.Raw:
        """The arguments as JSON; null, as some clients send it, is none.

        Raises:
            InvalidParams: they are no object.
        """
        first = bytes(memoryview(self.arguments)[:1])
        if first == b"{":
            return self.arguments
        if self.arguments == _NULL:
            return EMPTY_PARAMS
        raise InvalidParams("params.arguments must be an object.")

    def member(self, name: str) -> Any:
        """A member by its name on the wire; UNSET: it is not there."""
        return getattr(self, _ATTRIBUTES.get(name, name))

    def text(self, member: str) -> str:
        """A member that must be a string, by its name on the wire.

        Raises:
            InvalidParams: it is none.
        """
        value = self.member(member)
        if not isinstance(value, str):
            raise InvalidParams(f"params.{member} must be a string.")
        return value


def _read_meta(raw: bytes) -> Meta:
    try:
        return _meta_decoder.decode(raw) or NO_META
    except msgspec.ValidationError as error:
        raise InvalidParams(f"params._meta is wrong: {error}.") from error


# Clients repeat it, byte for byte, with every request.
_known_meta = functools.lru_cache(maxsize=KNOWN_METAS)(_read_meta)

_ATTRIBUTES = {"taskId": "task_id"}
_decoder = msgspec.json.Decoder(Params)


def read_common(params: msgspec.Raw) -> Params:
    """Decode the members that several methods have in common.

    Raises:
        InvalidParams: a member that JSON gives a form is malformed.
    """
    try:
        return _decoder.decode(params)
    except msgspec.ValidationError as error:
        raise InvalidParams(f"The params are wrong: {error}.") from error
