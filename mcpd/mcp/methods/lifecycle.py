"""initialize, initialized, ping, cancelled; server/discover (MCP, basic/lifecycle)."""

import logging
from typing import Any

import msgspec

from mcpd.errors import InvalidParams
from mcpd.mcp.catalog.catalog import Catalog
from mcpd.mcp.questions.conversation import Outlet
from mcpd.mcp.request import (
    McpNotification,
    McpRequest,
    Method,
    NotificationHandler,
    Result,
    read_params,
)
from mcpd.mcp.revisions import Revision, negotiate
from mcpd.rpc.messages import Notification, RequestId
from mcpd.sessions.record import (
    MAX_NAME_CHARS,
    MAX_VERSION_CHARS,
    NO_CAPABILITIES,
    Move,
    clean_label,
)

log = logging.getLogger("mcpd.mcp")


class InitializeParams(msgspec.Struct, rename="camel"):
    """What is read of initialize; unknown members are ignored."""

    protocol_version: str
    capabilities: msgspec.Raw = NO_CAPABILITIES
    client_info: dict[str, Any] = {}


class _CancelledParams(msgspec.Struct):
    request_id: msgspec.Raw = msgspec.field(name="requestId")


_initialize_params = msgspec.json.Decoder(InitializeParams)
_cancelled_params = msgspec.json.Decoder(_CancelledParams)
MAX_CAPABILITIES_BYTES = 4 * 1024  # they are kept with the session


def read_initialize(params: msgspec.Raw) -> InitializeParams:
    """Decode initialize's params.

    Raises:
        InvalidParams: they do not fit, or are too large to keep.
    """
    read = read_params(_initialize_params, params)
    capabilities = bytes(read.capabilities)
    if len(capabilities) > MAX_CAPABILITIES_BYTES or capabilities[:1] != b"{":
        raise InvalidParams(
            f"capabilities must be an object of at most {MAX_CAPABILITIES_BYTES} bytes."
        )
    return read


def negotiated(params: InitializeParams) -> dict[str, Any]:
    """What initialize leaves in the session's record."""
    return {
        "revision": negotiate(params.protocol_version).name,
        "capabilities": params.capabilities.copy(),
        "client_name": clean_label(params.client_info.get("name"), MAX_NAME_CHARS),
        "client_version": clean_label(params.client_info.get("version"), MAX_VERSION_CHARS),
    }


def initialize_result(catalog: Catalog, revision: Revision) -> dict[str, Any]:
    """MCP, InitializeResult."""
    result: dict[str, Any] = {
        "protocolVersion": revision.name,
        "capabilities": catalog.capabilities_for(revision),
        "serverInfo": catalog.info_for(revision),
    }
    if catalog.instructions:
        result["instructions"] = catalog.instructions
    return result


async def _ping(request: McpRequest, outlet: Outlet | None) -> Result:
    return {}


async def _discover(request: McpRequest, outlet: Outlet | None) -> Result:
    return request.runtime.catalog.discovery


async def _initialized(notification: McpNotification) -> None:
    session = notification.caller.session
    if session is not None:
        await notification.runtime.sessions.move(session, Move.INITIALIZED)


def cancelled_request(notification: Notification) -> RequestId | None:
    """Which request notifications/cancelled means; None: it is malformed, and so ignored."""
    try:
        return RequestId(bytes(_cancelled_params.decode(notification.params).request_id))
    except msgspec.ValidationError:
        return None


async def _cancelled(notification: McpNotification) -> None:
    """MCP, "Cancellation": unknown, finished and malformed ones are ignored."""
    session = notification.caller.session
    request_id = cancelled_request(notification.notification)
    if session is not None and request_id is not None:
        is_running = notification.runtime.in_flight.cancel(session.id, request_id)
        log.debug("client cancelled a request, %s", "running" if is_running else "not running")


METHODS = {
    "ping": Method(_ping, modern=False),
    "server/discover": Method(_discover, handshake=False),
}
NOTIFICATIONS: dict[str, NotificationHandler] = {
    "notifications/initialized": _initialized,
    "notifications/cancelled": _cancelled,
}
