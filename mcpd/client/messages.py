"""What goes to a server and what it sends, as far as a client must read them. Pure."""

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from mcpd.errors import INTERNAL_ERROR, McpdError
from mcpd.rpc.messages import (
    Call,
    Message,
    Notification,
    RpcResponse,
    decode,
    decode_batch,
    is_batch,
)

MAX_BATCH = 1000
MAX_EXACT = 2**53  # beyond it a float is not one number alone
NOT_REPEATABLE = frozenset({"tools/call"})  # everything else can be asked twice


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message, or a batch of them, as it goes to the server."""

    body: bytes
    messages: list[Message]

    @property
    def calls(self) -> list[Call]:
        """The requests in it."""
        return [message for message in self.messages if isinstance(message, Call)]

    @property
    def repeatable(self) -> bool:
        """Whether it does no harm to send it twice."""
        return not any(call.method in NOT_REPEATABLE for call in self.calls)


def read_outgoing(body: bytes) -> Outgoing:
    """Read what is to be sent, which may be a batch (2025-03-26).

    Raises:
        ParseError, InvalidRequest: it is no message.
    """
    if not is_batch(body):
        return Outgoing(body, [decode(body)])
    messages = decode_batch(body, max_messages=MAX_BATCH)
    for message in messages:
        if isinstance(message, McpdError):
            raise message
    return Outgoing(
        body,
        [message for message in messages if isinstance(message, Call | Notification | RpcResponse)],
    )


class _Named(msgspec.Struct):
    uri: Any = ""


_named = msgspec.json.Decoder(_Named)


def uri_of(call: Call) -> str:
    """The resource that a request names; empty: none that can be read."""
    try:
        uri = _named.decode(call.params).uri
    except msgspec.DecodeError:
        return ""
    return uri if isinstance(uri, str) else ""


class _Members(msgspec.Struct):
    jsonrpc: Any = None
    id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    method: str | msgspec.UnsetType = msgspec.UNSET
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: Any = msgspec.UNSET  # null is what some servers put beside a result


_members = msgspec.json.Decoder(_Members)
_raw_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_SPELT = re.compile(rb'"(0|-?[1-9]\d{0,18})"')  # a text that is a number, and in one way alone
_parts = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(frozen=True, slots=True)
class ServerMessage:
    """A message of the server, on one line. ``key``: of the request that it answers, or None."""

    line: bytes
    key: bytes | None = None
    is_error: bool = False
    method: str = ""
    result: bytes = b""


def read_messages(body: bytes) -> list[ServerMessage]:
    """The messages in what a server sent.

    Raises:
        msgspec.DecodeError: they are none.
    """
    try:
        body.decode("utf-8")  # what is passed on undecoded has to be text as well
        parts = _parts.decode(body) if is_batch(body) else [body]
        return [_message(bytes(part)) for part in parts]
    except (UnicodeDecodeError, RecursionError) as error:  # msgspec lets these through
        raise msgspec.DecodeError("no UTF-8, or nested without end") from error


def _message(body: bytes) -> ServerMessage:
    head = _members.decode(body)
    line = body.strip()
    if b"\n" in line or b"\r" in line:
        line = msgspec.json.format(line, indent=-1)
    if isinstance(head.method, str):
        return ServerMessage(line, method=head.method)
    failed = head.error is not msgspec.UNSET and head.error is not None
    error = _error(head) if failed else head.error
    if error is not head.error or error is None:
        line = _with_error(line, error)
    written = b"" if isinstance(head.id, msgspec.UnsetType) else bytes(head.id)
    key = id_key(written) if written else b""
    if key != written and not written.startswith(b'"'):
        line = with_id(line, key)  # 1.0 is 1, and not every client knows
    result = b"" if isinstance(head.result, msgspec.UnsetType) else bytes(head.result)
    if not failed and not result:
        raise msgspec.DecodeError("neither a request nor an answer")
    return ServerMessage(line, key, failed, result=result)


def _error(head: _Members) -> dict[str, Any]:
    """The error as JSON-RPC has it, the same object if it is so already; an OAuth or a gateway's
    error goes by the same name, and is no message.

    Raises:
        msgspec.DecodeError: it is such a one.
    """
    found = head.error
    if not isinstance(found, dict) or not (head.jsonrpc == "2.0" or "code" in found):
        raise msgspec.DecodeError("no error of JSON-RPC")
    code, message = found.get("code"), found.get("message")
    if type(code) is int and isinstance(message, str):
        return found
    if not isinstance(code, int | float):
        if head.jsonrpc != "2.0":
            raise msgspec.DecodeError("no error of JSON-RPC")
        code = INTERNAL_ERROR
    return {**found, "code": int(code), "message": str(message or "(without a word)")}


def _with_error(line: bytes, error: dict[str, Any] | None) -> bytes:
    """The message with this error, or with none."""
    message = msgspec.json.decode(line)
    del message["error"]
    return msgspec.json.encode(message if error is None else {**message, "error": error})


def id_key(raw: bytes) -> bytes:
    """One form for every way to write the same id: 1.0 and 1e0 are the number 1."""
    value = msgspec.json.decode(raw)
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_EXACT:
        value = int(value)
    return msgspec.json.encode(value)


def number_in(key: bytes) -> bytes | None:
    """The number that an id spells as a text, as the form of an id; None: it spells none. Servers
    answer the request 1 with the id "1", and the clients of others take that.
    """
    found = _SPELT.fullmatch(key)
    return found[1] if found else None


def is_id(raw: bytes) -> bool:
    """Whether an id can be read at all: 1e999 is JSON, and no number."""
    try:
        return bool(id_key(raw))
    except msgspec.DecodeError:
        return False


def with_id(line: bytes, request_id: bytes) -> bytes:
    """A message as the answer to this request; everything else in it stays as it is written."""
    members = _raw_members.decode(line)
    return msgspec.json.encode(
        {**members, "jsonrpc": "2.0", "id": msgspec.Raw(request_id)},
    )
