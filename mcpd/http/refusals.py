"""What a connection says when one of its bounds is passed. Pure."""

from mcpd.errors import ContentTooLarge, HandlerTimeout, McpdError, RequestTimeout
from mcpd.http.bounds import Bounds
from mcpd.http.link import Phase


def too_large(max_bytes: int) -> ContentTooLarge:
    """413: the body passes its bound."""
    return ContentTooLarge(
        f"The body has more than the {max_bytes} bytes that are read here.",
        fix="Send less at once, or raise max_body_bytes.",
        data={"max_bytes": max_bytes},
    )


def timeout_refusal(phase: Phase, bounds: Bounds) -> McpdError | None:
    """What a passed deadline means in this phase; None: nothing that could be said."""
    if phase is Phase.HEAD:
        return RequestTimeout(
            f"The request head did not arrive within {bounds.head_timeout_s:g} s.",
            fix="Send it faster, or raise head_timeout_s.",
        )
    if phase is Phase.BODY:
        return RequestTimeout(
            f"The request body did not arrive within {bounds.body_timeout_s:g} s.",
            fix="Send it faster, or raise body_timeout_s.",
        )
    if phase is Phase.RUNNING:
        return HandlerTimeout(
            f"The request was not done within {bounds.request_timeout_s:g} s.",
            fix="Ask for less at once, or raise request_timeout_s.",
        )
    return None
