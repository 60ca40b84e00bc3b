"""Every exception of mcpd, by whose fault it is.

Each class carries the answer it becomes: an HTTP status, a JSON-RPC code and a short name for
machines. The message is always public, so it never holds a secret, a token or a traceback.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

# JSON-RPC 2.0, section 5.1.
PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
# MCP 2026-07-28, basic/index, "Error Codes".
HEADER_MISMATCH = -32020
MISSING_CLIENT_CAPABILITY = -32021
UNSUPPORTED_PROTOCOL_VERSION = -32022
# MCP up to 2025-11-25; must not be sent in later revisions.
RESOURCE_NOT_FOUND = -32002

# Exit codes, the last two from sysexits.h; ``server/exit_codes.py`` says which error has which.
EXIT_FAILURE = 1  # what was asked for did not work out; a bug, too
EXIT_USAGE = 2  # a flag is wrong
EXIT_MAY_PASS = 75  # EX_TEMPFAIL: it may pass by itself, so starting again helps
EXIT_CONFIG = 78  # EX_CONFIG: a person has to edit something first
STORE_RETRY_S = 2  # told to clients while a store is away


class McpdError(Exception):
    """Base of everything mcpd raises on purpose.

    Args:
        message: one public sentence: what is wrong.
        fix: one public sentence: what to do next.
        received: the offending value as it came, never a secret.
        data: extra members for machines, merged into the answer.
        headers: extra HTTP header fields of the answer.
    """

    status: ClassVar[int] = 500
    rpc_code: int = INTERNAL_ERROR
    slug: ClassVar[str] = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        fix: str = "",
        received: object = None,
        data: Mapping[str, Any] | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.received = received
        self.data = dict(data or {})
        self.headers = headers


# --- the peer's fault, in HTTP terms ---------------------------------------------------------


class PeerError(McpdError):
    """The peer sent something that cannot be served."""

    user = credential = ""  # whose request it was, for the log

    status = 400
    rpc_code = INVALID_REQUEST
    slug = "bad_request"


class BadRequest(PeerError):
    """400: the request is malformed."""


class Unauthorized(PeerError):
    """401: no usable credentials (RFC 6750, section 3)."""

    status = 401
    slug = "invalid_token"
    reason: str = "other"  # in a word, for those who count


class Forbidden(PeerError):
    """403: the credentials, or the Origin, do not reach this far."""

    status = 403
    slug = "forbidden"


class InsufficientScope(Forbidden):
    """403: the token lacks a scope (RFC 6750, section 3.1)."""

    slug = "insufficient_scope"


class NotFound(PeerError):
    """404: nothing is here."""

    status = 404
    slug = "not_found"


class SessionNotFound(NotFound):
    """404: the session ended, expired, never was, or belongs to another principal."""

    slug = "session_not_found"


class MethodNotAllowed(PeerError):
    """405: the path exists, the method does not."""

    status = 405
    slug = "method_not_allowed"


class NotAcceptable(PeerError):
    """406: the Accept header rules out every answer that could be given."""

    status = 406
    slug = "not_acceptable"


class RequestTimeout(PeerError):
    """408: the peer took too long to send its request."""

    status = 408
    slug = "request_timeout"


class ContentTooLarge(PeerError):
    """413: the body passes its bound."""

    status = 413
    slug = "content_too_large"


class UnsupportedMediaType(PeerError):
    """415: the body is not of a type that is read here."""

    status = 415
    slug = "unsupported_media_type"


class MisdirectedRequest(PeerError):
    """421: the Host is not one this server answers for."""

    status = 421
    slug = "misdirected_request"


class TooManyRequests(PeerError):
    """429: a rate limit."""

    status = 429
    slug = "too_many_requests"


class HeaderFieldsTooLarge(PeerError):
    """431: the request head passes its bound."""

    status = 431
    slug = "request_head_too_large"


class NotImplementedHere(PeerError):
    """501: a method or transfer coding that this server does not speak."""

    status = 501
    slug = "not_implemented"


class VersionNotSupported(PeerError):
    """505: an HTTP version that this server does not speak."""

    status = 505
    slug = "http_version_not_supported"


# --- the peer's fault, in JSON-RPC and MCP terms ---------------------------------------------


class ParseError(BadRequest):
    """The body is not JSON."""

    rpc_code = PARSE_ERROR
    slug = "parse_error"


class InvalidRequest(BadRequest):
    """The body is JSON, but no JSON-RPC message that is accepted here."""

    slug = "invalid_request"


class MethodNotFound(BadRequest):
    """The JSON-RPC method does not exist. The HTTP status depends on the revision."""

    rpc_code = METHOD_NOT_FOUND
    slug = "method_not_found"


class InvalidParams(BadRequest):
    """The JSON-RPC params do not fit the method."""

    rpc_code = INVALID_PARAMS
    slug = "invalid_params"


class HeaderMismatch(BadRequest):
    """A header that mirrors the body is missing or differs (2026-07-28)."""

    rpc_code = HEADER_MISMATCH
    slug = "header_mismatch"


class MissingClientCapability(BadRequest):
    """Serving the request needs a capability the client did not declare (2026-07-28)."""

    rpc_code = MISSING_CLIENT_CAPABILITY
    slug = "missing_client_capability"


class UnsupportedProtocolVersion(BadRequest):
    """The protocol revision is not spoken here."""

    rpc_code = UNSUPPORTED_PROTOCOL_VERSION
    slug = "unsupported_protocol_version"


# --- the server's side -----------------------------------------------------------------------


class Unavailable(McpdError):
    """503: not now; trying again later helps."""

    status = 503
    slug = "unavailable"


class StoreError(Unavailable):
    """A store cannot be reached or written; the answer says when to try again.

    Args:
        lasting: an operator has to do something, so nothing under way waits for it. Whose a
            stream is was looked at before.
    """

    slug = "store_unavailable"

    def __init__(self, message: str, *, fix: str = "", lasting: bool = False) -> None:
        super().__init__(message, fix=fix, headers=((b"retry-after", b"%d" % STORE_RETRY_S),))
        self.lasting = lasting


class HandlerTimeout(Unavailable):
    """503: the work behind a request passed its bound."""

    slug = "handler_timeout"


class InternalError(McpdError):
    """500: a fault of ours. The log has it under the id that the message names."""


def fault(logged_as: str) -> InternalError:
    """What is said of a fault that only the log explains, under this id."""
    return InternalError(f"A fault of this server, logged as {logged_as}.")


class ConfigError(McpdError):
    """A setting is wrong; the process cannot start, or keeps its old settings."""

    slug = "configuration_error"


# --- the author's side -----------------------------------------------------------------------


class ToolError(McpdError):
    """Raise this in a tool to tell the caller, usually a model, what went wrong.

    The message becomes the text of a result with ``isError: true``. Any other exception is
    logged with an id, and the caller sees only that id.
    """

    slug = "tool_error"


class DeclarationError(McpdError):
    """A tool, resource or prompt is declared in a way that cannot be served."""

    slug = "declaration_error"
