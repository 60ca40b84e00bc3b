"""From facts to findings: what is wrong, for which clients, and what fixes it. Pure."""

import ipaddress
import re
from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

from mcpd.client.refusals import may_be_old
from mcpd.doctor.answers import answers
from mcpd.doctor.authorization import OUR_STATE, refusal, unauthorized
from mcpd.doctor.conversation import conversation, streams
from mcpd.doctor.facts import MODERN, Facts
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
from mcpd.doctor.login import login
from mcpd.doctor.seen import Seen

MAX_SKEW_S = 30.0
SLOW_S = 5.0
CLAUDE_CODE_WAITS_S = 30.0  # its MCP_TIMEOUT, unless it is set
_NO_ENDPOINT = "Is the URL that of an MCP endpoint? Many servers have it at /mcp."


def find(facts: Facts, now: float, token: str = "") -> list[Finding]:
    """What is to be said, the worst first."""
    first = facts.initialize
    if not first.status:
        return [Finding(f"The server does not answer: {first.error}.", _reach(first), ALL)]
    found = list(_refusals(facts, now, token))
    if facts.version:
        found += conversation(facts)
    elif facts.speaks_modern:
        found += streams(facts)
    found += [*answers(facts), *_clock(facts), *refusal(facts), *login(facts)]
    found += [*_speed(facts), *_reachable(facts), *_open(facts)]
    return sorted(found, key=_severity)


def _severity(finding: Finding) -> int:
    """What fails claude.ai alone comes late: it is seldom what one is here for."""
    kinds = (set(finding.fails) - {CLAUDE}, finding.login, finding.limited, finding.fails)
    return next((rank for rank, clients in enumerate(kinds) if clients), len(kinds))


def _reach(seen: Seen) -> str:
    if "WRONG_VERSION_NUMBER" in seen.error:
        return "This port speaks no TLS: write http://, or the port that does."
    if "certificate" in seen.error:
        return "Give --ca-file, or a certificate that the system trusts."
    return "Is it running, and the URL right?"


def _refusals(facts: Facts, now: float, token: str) -> Iterator[Finding]:
    first = facts.initialize
    if facts.speaks_modern and not facts.version:
        yield _modern_alone(facts)
    elif first.error:
        yield Finding(
            f"initialize is answered {first.status}, and not to its end: {first.error}.",
            _see_logs(facts),
            ALL,
        )
    elif facts.old_sse:
        yield _old_sse(facts)
    elif first.status == 401:
        yield from unauthorized(facts, now, token)
    elif first.status != 200:
        yield _BY_STATUS.get(first.status, _otherwise)(facts)
    elif not facts.version:
        yield Finding(
            f"initialize is answered 200 and names no protocol version: {first.says}",
            _NO_ENDPOINT,
            ALL,
        )


def _see_logs(facts: Facts) -> str:
    return (
        "See its log, and the proxy's: is its upstream up?" if facts.has_proxy else "See its log."
    )


def _away(facts: Facts) -> Finding:
    first = facts.initialize
    text = f"The server is away or busy ({first.status}): {first.says}"
    return Finding(text, _see_logs(facts), ALL)


def _no_endpoint(facts: Facts) -> Finding:
    first = facts.initialize
    at = f"{_NO_ENDPOINT} Servers that know HTTP+SSE alone: /sse."
    return Finding(
        f"There is no MCP endpoint ({first.status}): {first.says}",
        "mcpd has it at /mcp/." if facts.is_ours else at,
        ALL,
    )


def _otherwise(facts: Facts) -> Finding:
    first = facts.initialize
    return Finding(f"initialize is answered {first.status}: {first.says}", _NO_ENDPOINT, ALL)


def _modern_alone(facts: Facts) -> Finding:
    fix = "Let it speak a revision with the handshake as well."
    return Finding(
        f"The server speaks {MODERN} alone. The Python SDK speaks it from 2.0 on by itself; the"
        " TypeScript SDK from 2.0 on, MCP Inspector and mcp-remote only when they are told; mcpd"
        " bridge carries what its client speaks.",
        "With mcpd: leave out --no-handshake." if facts.is_ours else fix,
        (CURSOR, VSCODE),
        (TYPESCRIPT, INSPECTOR, REMOTE, BRIDGE),
    )


def _redirected(facts: Facts) -> Finding:
    first = facts.initialize
    where = urljoin(facts.url, first.fields.get("location", "").partition("?")[0])
    is_same = urlsplit(where)[:2] == urlsplit(facts.url)[:2]
    if first.status not in (307, 308):  # a GET arrives there
        clients: tuple[str, ...] = ALL
    elif is_same:
        clients = (CLAUDE_CODE, CLAUDE, CURSOR)
    else:  # the SDKs do not take a token elsewhere
        clients = tuple(client for client in ALL if client != VSCODE)
    return Finding(
        f"The endpoint is redirected to {where} ({first.status}).",
        "Give clients the URL it leads to.",
        clients,
        (VSCODE,) if clients != ALL else (),
    )


def _old_sse(facts: Facts) -> Finding:
    first = facts.initialize
    told = [CLAUDE_CODE, CLAUDE, INSPECTOR, PYTHON, TYPESCRIPT]
    if first.status not in (404, 405):
        told.append(REMOTE)
    if not may_be_old(first.status, speaks_json_rpc=bool(first.answer)):
        told.append(BRIDGE)
    return Finding(
        "This is an endpoint of HTTP+SSE, the transport of 2024-11-05.",
        "Set the client's transport to sse, or give it the URL of Streamable HTTP, if there is one"
        + (" (mcpd has it at /mcp/)." if facts.is_ours else "."),
        limited=tuple(told),
    )


def _forbidden(facts: Facts) -> Finding:
    first = facts.initialize
    challenge = first.fields.get("www-authenticate", "")
    if "insufficient_scope" in challenge or "scope" in first.says:
        named = re.search(r'scope="([^" ]+)', challenge)
        scope = named[1] if named else "SCOPE"
        return Finding(
            f"The token does not allow it (403): {first.says}",
            f"Make one that does: mcpd token create --sub NAME --scope {scope}{OUR_STATE}."
            if facts.is_ours
            else f"It needs the scope {scope}."
            if named
            else "It needs a scope that it lacks.",
            ALL,
        )
    if first.status == 403 and not facts.is_ours and facts.had_token:
        return Finding(
            f"The request is refused (403): {first.says}",
            "May this token do that? Or is it the name that it was sent to, Host?",
            ALL,
        )
    sure = "" if first.status == 421 else ", most likely"
    host = urlsplit(facts.url).netloc
    fixes = []
    if facts.has_proxy or facts.is_ours:
        fixes.append("In the proxy: pass the Host header on (nginx: proxy_set_header Host $host).")
    if facts.is_ours:
        fixes.append(f"At the server: --public-url or --allow-host with its name, like {host}.")
    else:
        fixes.append(f"At the server: allow the host it is called by, {host}.")
    return Finding(
        f"The request is refused{sure} by the name it was sent to ({first.status}): {first.says}",
        " ".join(fixes),
        ALL,
    )


_BY_STATUS = {
    **dict.fromkeys((403, 421), _forbidden),
    **dict.fromkeys((404, 405), _no_endpoint),
    **dict.fromkeys((502, 503, 504), _away),
    **dict.fromkeys((301, 302, 303, 307, 308), _redirected),
}


def _clock(facts: Facts) -> Iterator[Finding]:
    if abs(facts.skew_s) > MAX_SKEW_S:
        side = "ahead of" if facts.skew_s > 0 else "behind"
        yield Finding(
            f"The server's clock is {abs(facts.skew_s):.0f} s {side} this machine's: tokens begin"
            " and expire at the wrong time.",
            "Set both clocks (NTP).",
            limited=ALL,
        )


def _speed(facts: Facts) -> Iterator[Finding]:
    took_s = facts.initialize.seconds
    if took_s > CLAUDE_CODE_WAITS_S:
        yield Finding(
            f"initialize took {took_s:.1f} s; Claude Code waits {CLAUDE_CODE_WAITS_S:g} s.",
            "Keep the server warm, or set MCP_TIMEOUT (milliseconds) for Claude Code.",
            (CLAUDE_CODE,),
        )
    elif took_s > SLOW_S:
        yield Finding(f"initialize took {took_s:.1f} s.", "Clients wait that long, and users mind.")
    if facts.cut_short:
        yield Finding(f"Not everything was asked: {facts.cut_short}.")


def _open(facts: Facts) -> Iterator[Finding]:
    """A proxy that adds no header makes every client one of the server's machine."""
    if facts.lists_clients:
        yield Finding(
            "/registrations lists the registered clients, with addresses and session ids, to anyone"
            " without a token.",
            "Start mcpd with --public-url URL, or --trusted-proxies with the address of the proxy.",
        )


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
    elif facts.wants_login and not facts.has_oauth:
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
