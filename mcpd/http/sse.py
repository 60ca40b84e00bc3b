"""text/event-stream: events to bytes (HTML Living Standard, section 9.2)."""

from mcpd.http.messages import HeaderPairs

STREAM_HEADERS: HeaderPairs = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),  # nginx would hold events back
)
HEARTBEAT = b": keep-alive\n\n"


def event(data: bytes, *, name: str = "message", event_id: str | None = None) -> bytes:
    """One event. ``data`` is one line, as compact JSON is."""
    if event_id is None:
        return b"event: %b\ndata: %b\n\n" % (name.encode("ascii"), data)
    return b"event: %b\nid: %b\ndata: %b\n\n" % (
        name.encode("ascii"),
        event_id.encode("ascii"),
        data,
    )


def prime(event_id: str) -> bytes:
    """An id and no data: a client that has read it can come back with Last-Event-ID."""
    return b"id: %b\ndata: \n\n" % event_id.encode("ascii")


def farewell(event_id: str | None, delay_ms: int) -> bytes:
    """The end for now: where the client stands, if its revision knows such events, and when to
    come back, in milliseconds.
    """
    if event_id is None:
        return retry(delay_ms)
    return b"id: %b\nretry: %d\ndata: \n\n" % (event_id.encode("ascii"), delay_ms)


def retry(delay_ms: int) -> bytes:
    """A hint for how long the client waits before it reconnects, in milliseconds."""
    return b"retry: %d\n\n" % delay_ms
