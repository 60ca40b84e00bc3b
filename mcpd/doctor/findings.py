"""From facts to findings: what is wrong, for which clients, and what fixes it. Pure."""

import ipaddress
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from mcpd.doctor.authorization import OUR_STATE, has_oauth, oauth, unauthorized
from mcpd.doctor.finding import (
    ALL,
    BRIDGE,
    CLAUDE,
    CLAUDE_CODE,
    CURSOR,
    INSPECTOR,
    PYTHON,
    REMOTE,
    TYPESCRIPT,
    VSCODE,
    Finding,
)
from mcpd.doctor.probes import MODERN, Facts, Seen

MAX_SKEW_S = 30.0
SLOW_S = 5.0
_NO_ENDPOINT = "Is the URL that of an MCP endpoint? mcpd has it at /mcp/."


def find(facts: Facts, now: float, token: str = "") -> list[Finding]:
    """What is to be said, the worst first."""
    first = facts.initialize
    if first.error:
        return [Finding(f"The server does not answer: {first.error}.", _reach(first), ALL)]
    found = list(_refusals(facts, now, token))
    if facts.version:
        found += _conversation(facts)
    found += [*_clock(facts), *oauth(facts), *_ways(facts), *_reachable(facts)]
    return sorted(found, key=lambda finding: (not finding.fails, not finding.limited))


def _reach(seen: Seen) -> str:
    if "WRONG_VERSION_NUMBER" in seen.error:
        return "This port speaks no TLS: write http://, or the port that does."
    if "certificate" in seen.error:
        return "Give --ca-file, or a certificate that the system trusts."
    return "Is it running, and the URL right? Behind a proxy: is the proxy's upstream up?"


def _refusals(facts: Facts, now: float, token: str) -> Iterator[Finding]:
    first = facts.initialize
    if facts.speaks_modern and not facts.version and first.status in (200, 400, 404):
        yield Finding(
            f"The server speaks {MODERN} alone. Clients of the revisions before cannot connect; of"
            " these, the ones without a limit know both, and the SDKs do from 2.x on.",
            "With mcpd: leave out --no-handshake.",
            (CURSOR, VSCODE, REMOTE),
            (PYTHON, TYPESCRIPT, INSPECTOR, BRIDGE),
        )
    elif first.status in (403, 421):
        yield _forbidden(facts)
    elif first.status == 401:
        yield unauthorized(facts, now, token)
    elif first.status in (301, 302, 303, 307, 308):
        where = first.fields.get("location", "elsewhere")
        keeps_post = first.status in (307, 308)  # otherwise a GET arrives there
        yield Finding(
            f"The endpoint is redirected to {where} ({first.status}).",
            "Give clients the URL it leads to.",
            (CLAUDE_CODE, CLAUDE, CURSOR, BRIDGE) if keeps_post else ALL,
            (VSCODE,) if keeps_post else (),
        )
    elif first.status in (404, 405):
        yield _no_endpoint(facts)
    elif first.status in (502, 503, 504):
        yield Finding(
            f"The server is away or busy ({first.status}): {first.says}",
            "See its log, and the proxy's.",
            ALL,
        )
    elif first.status != 200:
        yield Finding(f"initialize is answered {first.status}: {first.says}", _NO_ENDPOINT, ALL)
    elif not facts.version:
        yield Finding(
            f"initialize is answered 200 and names no protocol version: {first.says}",
            _NO_ENDPOINT,
            ALL,
        )


def _forbidden(facts: Facts) -> Finding:
    first = facts.initialize
    if "insufficient_scope" in first.fields.get("www-authenticate", "") or "scope" in first.says:
        return Finding(
            f"The token does not allow it (403): {first.says}",
            f"Make one that does: mcpd token create --sub NAME --scope {_scope(first)}{OUR_STATE}.",
            ALL,
        )
    sure = "" if first.status == 421 else ", most likely"
    host = urlsplit(facts.url).netloc
    return Finding(
        f"The request is refused{sure} by the name it was sent to ({first.status}): {first.says}",
        f"In the proxy: pass the Host header on (nginx: proxy_set_header Host $host). At the"
        f" server: --public-url or --allow-host with the name it is called by, like {host}.",
        ALL,
    )


def _scope(seen: Seen) -> str:
    named = re.search(r'scope="([^" ]+)', seen.fields.get("www-authenticate", ""))
    return named[1] if named else "SCOPE"


def _no_endpoint(facts: Facts) -> Finding:
    if facts.old_sse:
        return Finding(
            "This is an endpoint of HTTP+SSE, the transport of 2024-11-05.",
            "Set the client's transport to sse, or give it the URL of Streamable HTTP (mcpd has it"
            " at /mcp/).",
            limited=(CLAUDE_CODE, CLAUDE, INSPECTOR, PYTHON, TYPESCRIPT),
        )
    first = facts.initialize
    return Finding(
        f"There is no MCP endpoint ({first.status}): {first.says}",
        "mcpd has it at /mcp/; others at /mcp. Servers that know HTTP+SSE alone: /sse.",
        ALL,
    )


def _clock(facts: Facts) -> Iterator[Finding]:
    if abs(facts.skew_s) > MAX_SKEW_S:
        side = "ahead of" if facts.skew_s > 0 else "behind"
        yield Finding(
            f"The server's clock is {abs(facts.skew_s):.0f} s {side} this machine's: tokens begin"
            " and expire at the wrong time.",
            "Set both clocks (NTP).",
            limited=ALL,
        )


def _conversation(facts: Facts) -> Iterator[Finding]:
    notified = facts.initialized
    if notified.status not in (200, 202, 204):
        told = f"answered {notified.status}, not 202" if notified.status else notified.error
        yield Finding(
            f"notifications/initialized is not taken: {told}.",
            "",
            ALL,
        )
    elif facts.initialized.status != 202:
        yield Finding(
            f"notifications/initialized is answered {facts.initialized.status}; claude.ai stops"
            " there.", "Answer 202.", (CLAUDE,),
        )  # fmt: skip
    yield from _streams(facts)
    if facts.ended.status in (200, 202, 204) and facts.lost.status not in (0, 404):
        yield Finding(
            f"A session that is over is answered {facts.lost.status}, not 404: clients do not learn"
            " that they must begin again.", "", limited=ALL,
        )  # fmt: skip


def _streams(facts: Facts) -> Iterator[Finding]:
    stream, listen = facts.stream, facts.listen
    held = listen.is_stream and not listen.events
    if held or "no answer" in stream.error:
        yield Finding(
            "Events are held back on the way: one that the server sends at once did not arrive.",
            "In nginx: proxy_buffering off; gzip off; proxy_http_version 1.1; proxy_read_timeout"
            " 1h; and no proxy_ignore_headers X-Accel-Buffering for this location.",
            (CLAUDE_CODE, CURSOR, VSCODE),
            (CLAUDE, INSPECTOR, REMOTE, PYTHON, TYPESCRIPT, BRIDGE),
        )
    if stream.status == 200 and not stream.is_stream:
        yield Finding(
            "GET is answered 200 without an event stream: clients reconnect for ever.",
            "Answer 405, or a stream.",
            limited=(CURSOR, TYPESCRIPT, PYTHON),
        )
    elif stream.status in (400, 404):
        yield Finding(
            f"GET is answered {stream.status}: Cursor reconnects in a loop, Claude Code takes it as"
            " the end of the session.", "Answer 405, or a stream.", (CURSOR, CLAUDE_CODE),
        )  # fmt: skip


def _ways(facts: Facts) -> Iterator[Finding]:
    other = facts.other_slash
    if other.status in (301, 302, 307, 308):
        yield Finding(
            "With or without its last slash the URL is redirected to the other: Claude, ChatGPT and"
            " Cursor do not follow that.",
            "Give clients exactly this URL.",
            limited=(CLAUDE_CODE, CLAUDE, CURSOR),
        )
    if facts.initialize.seconds > SLOW_S:
        yield Finding(f"initialize took {facts.initialize.seconds:.1f} s.", limited=ALL)


def _reachable(facts: Facts) -> Iterator[Finding]:
    """claude.ai, Claude Desktop's connectors and ChatGPT come from the internet."""
    host = urlsplit(facts.url).hostname or ""
    try:
        private = not ipaddress.ip_address(host).is_global
    except ValueError:
        private = host == "localhost" or "." not in host
    if private:
        yield Finding(
            f"{host} means something on this machine or network alone.",
            "claude.ai connects from the internet: give it a public https:// URL, or use Claude"
            " Desktop with mcpd bridge.",
            (CLAUDE,),
        )
    elif facts.anonymous.status == 401 and not has_oauth(facts):
        yield Finding(
            "The server wants a token and has no OAuth: claude.ai cannot be given one.",
            "Use Claude Desktop with mcpd bridge, or put an authorization server before it.",
            (CLAUDE,),
        )
    elif urlsplit(facts.url).scheme != "https":
        yield Finding(
            "claude.ai connects to https:// alone.",
            "Put a proxy with a certificate before the server.",
            (CLAUDE,),
        )
