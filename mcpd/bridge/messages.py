"""Lines of the client and messages of the server, as far as the bridge must read them. Pure."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from mcpd.errors import INTERNAL_ERROR, McpdError
from mcpd.mcp.envelope.headers import (
    KEYWORD,
    NAME_MEMBERS,
    encode_value,
    is_header_name,
    reachable,
    value_at,
)
from mcpd.mcp.envelope.params import Params, read_common
from mcpd.rpc.messages import (
    Call,
    Message,
    Notification,
    RpcResponse,
    decode,
    decode_batch,
    is_batch,
)
from mcpd.version import __version__

MAX_BATCH = 1000
CLIENT_INFO = {"name": "mcpd-bridge", "version": __version__}
NOT_REPEATABLE = frozenset({"tools/call"})  # everything else can be asked twice

_Pairs = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Line:
    """What the client sent, as it goes on to the server."""

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


def read_line(line: bytes) -> Line:
    """Read a line, which may be a batch (2025-03-26).

    Raises:
        ParseError, InvalidRequest: it is no message.
    """
    if not is_batch(line):
        return Line(line, [decode(line)])
    found = decode_batch(line, max_messages=MAX_BATCH)
    for message in found:
        if isinstance(message, McpdError):
            raise message
    return Line(
        line,
        [message for message in found if isinstance(message, Call | Notification | RpcResponse)],
    )


class _Head(msgspec.Struct):
    jsonrpc: Any = None
    id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    method: str | msgspec.UnsetType = msgspec.UNSET
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: Any = msgspec.UNSET  # null is what some servers put beside a result


_head = msgspec.json.Decoder(_Head)
_heads = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message of the server, on one line. ``key``: of the request that it answers, or None."""

    line: bytes
    key: bytes | None = None
    is_error: bool = False
    method: str = ""
    result: bytes = b""


def read_arrived(body: bytes) -> list[Arrived]:
    """The messages in what a server sent.

    Raises:
        msgspec.DecodeError: they are none.
    """
    try:
        body.decode("utf-8")  # what is passed on undecoded has to be text as well
        parts = _heads.decode(body) if is_batch(body) else [body]
        return [_arrived(bytes(part)) for part in parts]
    except (UnicodeDecodeError, RecursionError) as error:  # msgspec lets these through
        raise msgspec.DecodeError("no UTF-8, or nested without end") from error


def _arrived(body: bytes) -> Arrived:
    head = _head.decode(body)
    line = body.strip()
    if b"\n" in line or b"\r" in line:
        line = msgspec.json.format(line, indent=-1)
    if isinstance(head.method, str):
        return Arrived(line, method=head.method)
    failed = head.error is not msgspec.UNSET and head.error is not None
    error = _error(head) if failed else head.error
    if error is not head.error or error is None:
        line = _with_error(line, error)
    key = b"" if isinstance(head.id, msgspec.UnsetType) else id_key(bytes(head.id))
    result = b"" if isinstance(head.result, msgspec.UnsetType) else bytes(head.result)
    if not failed and not result:
        raise msgspec.DecodeError("neither a request nor an answer")
    return Arrived(line, key, failed, result=result)


def _error(head: _Head) -> dict[str, Any]:
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
    """One form for every way to write the same id."""
    return msgspec.json.encode(msgspec.json.decode(raw))


def is_id(raw: bytes) -> bool:
    """Whether an id can be read at all: 1e999 is JSON, and no number."""
    try:
        return bool(id_key(raw))
    except msgspec.DecodeError:
        return False


def with_id(line: bytes, request_id: bytes) -> bytes:
    """An error that names no request, as the answer to this one."""
    message = msgspec.json.decode(line)
    return msgspec.json.encode({**message, "jsonrpc": "2.0", "id": msgspec.Raw(request_id)})


def with_client_info(call: Call, body: bytes) -> bytes:
    """``initialize`` with who asks, if it does not say."""
    params = msgspec.json.decode(call.params)
    if isinstance(params.get("clientInfo"), dict):
        return body
    params["clientInfo"] = CLIENT_INFO
    return msgspec.json.encode(
        {"jsonrpc": "2.0", "id": msgspec.Raw(call.id), "method": call.method, "params": params}
    )


@dataclass(slots=True)
class Mirrors:
    """Headers that 2026-07-28 wants beside the body, made from the body."""

    _tools: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def headers(self, message: Call | Notification) -> _Pairs | None:
        """For a message of the modern era; None: it is not one."""
        try:
            params = read_common(message.params)
        except McpdError:
            return None
        version = params.meta.version
        if version is msgspec.UNSET:
            return None
        pairs = [
            (b"mcp-protocol-version", _field(str(version))),
            (b"mcp-method", _field(message.method)),
        ]
        member = NAME_MEMBERS.get(message.method)
        name = params.member(member) if member is not None else None
        if isinstance(name, str):
            pairs.append((b"mcp-name", _field(name)))
        return pairs + self._parameters(message, params)

    def _parameters(self, message: Call | Notification, params: Params) -> _Pairs:
        mirrored = self._tools.get(params.name) if isinstance(params.name, str) else None
        if message.method != "tools/call" or not mirrored:
            return []
        arguments = msgspec.json.decode(params.arguments)
        found = ((name, value_at(arguments, path)) for name, path in mirrored.items())
        return [
            (f"mcp-param-{name.lower()}".encode("ascii"), _field(_text(value)))
            for name, value in found
            if value is not None
        ]

    def learn(self, result: bytes) -> None:
        """Remember which parameters of which tools are mirrored, from a tools/list."""
        if KEYWORD.encode("ascii") not in result:
            return
        tools = msgspec.json.decode(result).get("tools")
        for tool in tools if isinstance(tools, list) else ():
            if isinstance(tool, dict) and isinstance(tool.get("name"), str):
                declared = reachable(tool.get("inputSchema"))
                self._tools[tool["name"]] = {
                    name: path for name, path, _ in declared if is_header_name(name)
                }


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _field(text: str) -> bytes:
    return encode_value(text).encode("ascii")
