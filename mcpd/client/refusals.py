"""What a server says instead of an answer, and what that means. Pure."""

import re

from mcpd.client.errors import Undeliverable
from mcpd.client.http_transport import AWAY

# Known words alone: other 400s may speak of sessions too, as may the names of tools (end_session).
_NO_SESSION = re.compile(
    rb"\bno (valid |active |such )?session\b"
    rb"|\b(unknown|invalid|expired|missing|not find)\b[^.]{0,40}\bsession\b"
    rb"|\bsession\b[^.]{0,60}\b(not found|unknown|expired|invalid|missing|over|ended|terminated"
    rb"|closed|no longer|not exist|doesn't exist)\b",
    re.IGNORECASE,
)


def is_gone(status: int, body: bytes) -> bool:
    """Whether the session is over: 404 says so; some servers say 400, with words."""
    return status == 404 or (status == 400 and _NO_SESSION.search(body[:4096]) is not None)


def may_be_old(status: int, *, speaks_json_rpc: bool) -> bool:
    """Whether a server that refuses ``initialize`` so may know HTTP+SSE alone (MCP, "Backwards
    Compatibility").
    """
    return status in (404, 405) or (status == 400 and not speaks_json_rpc)


def without_json_rpc(status: int, words: str, *, repeatable: bool) -> Undeliverable:
    """What the caller of a request is told of a refusal that is no message.

    Args:
        words: what the server says, in one line.
        repeatable: it does no harm to send the request again.
    """
    said = f"The server answers {status}: {words}"
    if status in AWAY and not repeatable:
        return Undeliverable(
            f"{said}. It is not known whether the call was carried out.",
            fix="See what it has changed before you call again.",
        )
    return Undeliverable(said, fix="Is the URL that of the MCP endpoint?")
