"""Findings about what comes after ``initialize``: the session and the own stream. Pure."""

from collections.abc import Iterator

from mcpd.client.refusals import is_gone
from mcpd.doctor.facts import OK, Facts
from mcpd.doctor.finding import (
    ALL,
    BRIDGE,
    CLAUDE,
    CLAUDE_CODE,
    CURSOR,
    PYTHON,
    TYPESCRIPT,
    Finding,
    without,
)

_BEGINS_AGAIN = (CLAUDE_CODE, BRIDGE)  # at 404; VS Code at 400 as well, the SDKs at neither
_UNBUFFERED = (
    "In nginx: proxy_buffering off; gzip off; proxy_http_version 1.1; proxy_read_timeout 1h; and no"
    " proxy_ignore_headers X-Accel-Buffering for this location."
)
_AT_ONCE = (
    "The server has to send the head of a stream and each event at once; a proxy on the way, if"
    " there is one, must not buffer them."
)


def conversation(facts: Facts) -> Iterator[Finding]:
    """Of a session that began."""
    notified = facts.initialized
    if notified.was_asked and notified.status not in OK:
        told = f"answered {notified.status}, not 202" if notified.status else notified.error
        yield Finding(f"notifications/initialized is not taken: {told}.", "Answer 202.", ALL)
    elif notified.was_asked and notified.status != 202:
        yield Finding(
            f"notifications/initialized is answered {notified.status}; claude.ai stops there.",
            "Answer 202.",
            (CLAUDE,),
        )
    yield from streams(facts)
    yield from _lost(facts)


def _lost(facts: Facts) -> Iterator[Finding]:
    lost = facts.lost
    if lost.status in (0, 404):
        return
    clients: tuple[str, ...] = _BEGINS_AGAIN
    if is_gone(lost.status, lost.text.encode("utf-8")):
        clients = without(clients, BRIDGE)  # it reads the words of a 400
    yield Finding(
        f"A session that is over is answered {lost.status}, not 404: clients that begin again at"
        " 404 do not learn that they must.",
        "Answer 404 to a session id that is not known.",
        limited=clients,
    )


def streams(facts: Facts) -> Iterator[Finding]:
    """What the server says of its own accord. No client waits for it when it connects."""
    stream, listen = facts.stream, facts.listen
    held = listen.is_stream and not listen.events and bool(listen.error)
    if held or (stream.error and not stream.status):
        what = "an event that is sent at once" if held else "the head of the stream (GET)"
        yield Finding(
            f"Events are held back: {what} did not arrive in time. Calls are answered, but what the"
            " server says meanwhile (changes, progress, questions) comes late or never.",
            _UNBUFFERED if facts.has_proxy else _AT_ONCE,
            limited=ALL,
        )
    if stream.status == 200 and not stream.is_stream:
        yield Finding(
            "GET is answered 200 without an event stream: clients reconnect for ever.",
            "Answer 405, or a stream.",
            limited=(CURSOR, TYPESCRIPT, PYTHON),
        )
    elif stream.status in (400, 404):
        clients = (CURSOR, CLAUDE_CODE) if stream.status == 404 else (CURSOR,)
        loses = ", Claude Code takes it as the end of the session" if stream.status == 404 else ""
        yield Finding(
            f"GET is answered {stream.status}: Cursor reconnects in a loop{loses}.",
            "Answer 405, or a stream.",
            clients,
        )
