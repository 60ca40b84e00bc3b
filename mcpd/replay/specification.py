"""Which sentence of the specification an expectation stands on. Pure."""

from mcpd.replay.transcript import Entry
from mcpd.replay.transcript_writer import is_modern

SITE = "https://modelcontextprotocol.io/specification"
HANDSHAKE, MODERN = f"{SITE}/2025-11-25", f"{SITE}/2026-07-28"

_BY_METHOD = {
    "initialize": "basic/lifecycle#initialization",
    "server/discover": "server/discover",
    "tools/list": "server/tools#listing-tools",
    "tools/call": "server/tools#calling-tools",
    "resources/list": "server/resources#listing-resources",
    "resources/templates/list": "server/resources#resource-templates",
    "resources/read": "server/resources#reading-resources",
    "resources/subscribe": "server/resources#subscriptions",
    "prompts/list": "server/prompts#listing-prompts",
    "prompts/get": "server/prompts#getting-a-prompt",
    "completion/complete": "server/utilities/completion",
    "logging/setLevel": "server/utilities/logging",
    "ping": "basic/utilities/ping",
    "subscriptions/listen": "basic/utilities/subscriptions",
    "notifications/progress": "basic/utilities/progress",
    "notifications/cancelled": "basic/utilities/cancellation",
    "notifications/resources/updated": "server/resources#subscriptions",
    "sampling/createMessage": "client/sampling",
    "elicitation/create": "client/elicitation",
    "roots/list": "client/roots",
}
_TRANSPORT = "basic/transports"
_MODERN_TRANSPORT = "basic/transports/streamable-http"


def reference(request: Entry, entry: Entry) -> str:
    """Where the specification speaks of what was expected here."""
    modern = is_modern(request.fields)
    site, transport = (MODERN, _MODERN_TRANSPORT) if modern else (HANDSHAKE, _TRANSPORT)
    if "/.well-known/" in request.target or 401 in entry.statuses:
        return f"{site}/basic/authorization"
    if entry.kind == "event" and isinstance(entry.body, dict):
        told = _BY_METHOD.get(str(entry.body.get("method")))
        if told is not None:
            return f"{site}/{told}"
    if request.method == "GET":
        resumes = request.first("last-event-id") is not None
        anchor = (
            "resumability-and-redelivery" if resumes else "listening-for-messages-from-the-server"
        )
        return f"{site}/{transport}#{anchor}"
    if request.method == "DELETE" or 404 in entry.statuses:
        return f"{site}/{transport}#session-management"
    body = request.body if isinstance(request.body, dict) else {}
    told = _BY_METHOD.get(str(body.get("method")))
    if "id" not in body or "method" not in body or told is None:
        return f"{site}/{transport}#sending-messages-to-the-server"
    return f"{site}/{told}"
