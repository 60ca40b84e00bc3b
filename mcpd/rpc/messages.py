"""Bytes to messages and back (JSON-RPC 2.0, sections 4 to 6). Pure.

Ids are kept as the bytes that came, so that ``1``, ``"1"`` and ``1.0`` go back as they were
and stay apart in between. Params stay undecoded until the method that knows their shape.
"""

import re
from typing import Any, NewType

import msgspec

from mcpd.errors import InvalidRequest, McpdError, ParseError
from mcpd.rpc.json_limits import check_shape

RequestId = NewType("RequestId", bytes)  # JSON text of a string or an integer
EMPTY_PARAMS = msgspec.Raw(b"{}")

_MAX_ID_BYTES = 1024
_MAX_METHOD_CHARS = 256
_VERSION = msgspec.Raw(b'"2.0"')
_INTEGER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.0+)?")  # 1.0 is one, in JSON Schema


class Call(msgspec.Struct, frozen=True):
    """A request: it wants exactly one answer."""

    id: RequestId
    method: str
    params: msgspec.Raw


class Notification(msgspec.Struct, frozen=True):
    """A notification: it is never answered."""

    method: str
    params: msgspec.Raw


class RpcResponse(msgspec.Struct, frozen=True):
    """The client's answer to a request of ours."""

    id: RequestId
    result: msgspec.Raw | None
    error: msgspec.Raw | None


Message = Call | Notification | RpcResponse


class _Members(msgspec.Struct):
    jsonrpc: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    method: str | msgspec.UnsetType = msgspec.UNSET
    params: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_members = msgspec.json.Decoder(_Members)
_batch = msgspec.json.Decoder(list[msgspec.Raw])


def is_batch(body: bytes) -> bool:
    """Whether the body is an array of messages."""
    return body[:1] != b"{" and body.lstrip()[:1] == b"["


def decode(body: bytes) -> Message:
    """Read one message.

    Raises:
        ParseError: it is not JSON, or not UTF-8.
        InvalidRequest: it is no JSON-RPC 2.0 message, or passes the bounds of ``json_limits``.
            ``readable_id`` finds the id to answer with.
    """
    check_shape(body)
    try:
        envelope = _members.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"Not a JSON-RPC message: {error}.") from error
    except msgspec.DecodeError as error:
        raise ParseError(f"The body is not JSON: {error}.") from error
    return _kind_of(envelope)


def decode_batch(body: bytes, *, max_messages: int) -> list[Message | McpdError]:
    """Read an array of messages; a broken one becomes its error (section 6).

    Raises:
        ParseError: it is not JSON.
        InvalidRequest: it is empty or too long.
    """
    check_shape(body)
    try:
        parts = _batch.decode(body)
    except msgspec.DecodeError as error:
        raise ParseError(f"The body is not JSON: {error}.") from error
    if not 0 < len(parts) <= max_messages:
        raise InvalidRequest(f"A batch holds 1 to {max_messages} messages.", received=len(parts))
    return [_decode_part(bytes(part)) for part in parts]


def _decode_part(part: bytes) -> Message | McpdError:
    try:
        return decode(part)
    except McpdError as error:
        return error


def _kind_of(envelope: _Members) -> Message:
    if envelope.jsonrpc != _VERSION:
        raise InvalidRequest('Not a JSON-RPC 2.0 message: "jsonrpc" must be "2.0".')
    method, params = envelope.method, envelope.params
    if isinstance(method, msgspec.UnsetType):
        return _reply(envelope)
    if len(method) > _MAX_METHOD_CHARS:
        raise InvalidRequest(f'"method" has more than {_MAX_METHOD_CHARS} characters.')
    if isinstance(params, msgspec.UnsetType):
        params = EMPTY_PARAMS
    elif bytes(memoryview(params)[:1]) != b"{":
        raise InvalidRequest('"params" must be an object.')
    if isinstance(envelope.id, msgspec.UnsetType):
        return Notification(method, params)
    return Call(_request_id(envelope.id), method, params)


def _reply(envelope: _Members) -> RpcResponse:
    has_result = not isinstance(envelope.result, msgspec.UnsetType)
    has_error = not isinstance(envelope.error, msgspec.UnsetType)
    if isinstance(envelope.id, msgspec.UnsetType) or has_result == has_error:
        raise InvalidRequest(
            'A message has "method", or an "id" with exactly one of "result" and "error".'
        )
    result, error = envelope.result, envelope.error
    return RpcResponse(
        _request_id(envelope.id),
        None if isinstance(result, msgspec.UnsetType) else result,
        None if isinstance(error, msgspec.UnsetType) else error,
    )


def _request_id(raw: msgspec.Raw) -> RequestId:
    """MCP, "Requests": a string or an integer, never null."""
    value = bytes(raw)
    text_or_integer = value.isdigit() or value[:1] == b'"' or _INTEGER.fullmatch(value)
    if not text_or_integer or len(value) > _MAX_ID_BYTES:
        raise InvalidRequest(
            f'"id" must be a string or an integer of at most {_MAX_ID_BYTES} bytes.'
        )
    return RequestId(value)


def readable_id(body: bytes) -> RequestId | None:
    """The id of a message that was refused, if it can be read and is legal."""
    try:
        found = _members.decode(body).id
        if isinstance(found, msgspec.UnsetType):
            return None
        request_id = _request_id(found)
        request_id.decode("utf-8")  # it goes back to the client, in an answer that is JSON
        return request_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, McpdError):
        return None


# --- encoding --------------------------------------------------------------------------------


def encode_result(request_id: RequestId, result: bytes) -> bytes:
    """A response around an encoded result."""
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (request_id, result)


def encode_error(request_id: RequestId | None, error: McpdError) -> bytes:
    """An error response; without an id where none could be read (MCP has no null id)."""
    encoded = msgspec.json.encode(error_object(error))
    if request_id is None:
        return b'{"jsonrpc":"2.0","error":%b}' % encoded
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (request_id, encoded)


def error_object(error: McpdError) -> dict[str, Any]:
    """The member ``error`` of a response (section 5.1)."""
    body: dict[str, Any] = {"code": error.rpc_code, "message": _sentence(error)}
    data = dict(error.data)
    if error.received is not None:
        data.setdefault("received", error.received)
    return body | ({"data": data} if data else {})


def error_from_object(body: dict[str, Any]) -> McpdError:
    """An error that encodes to ``body`` again."""
    error = McpdError(body["message"], data=body.get("data"))
    error.rpc_code = body["code"]
    return error


def encode_call(call: Call) -> bytes:
    """The request again, as ``decode`` reads it."""
    method = msgspec.json.encode(call.method)
    return b'{"jsonrpc":"2.0","id":%b,"method":%b,"params":%b}' % (call.id, method, call.params)


def encode_notification(method: str, params: object) -> bytes:
    """A notification."""
    return msgspec.json.encode({"jsonrpc": "2.0", "method": method, "params": params})


def encode_batch(messages: list[bytes]) -> bytes:
    """An array of encoded messages."""
    return b"[%b]" % b",".join(messages)


def _sentence(error: McpdError) -> str:
    return f"{error.message} {error.fix}" if error.fix else error.message
