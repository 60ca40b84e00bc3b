"""From facts to findings: what is wrong, for which clients, and what mends it. Pure.

How clients behave is from their sources and issue trackers; the files in
``conformance/transcripts/documented`` name them.
"""

import base64
import binascii
import ipaddress
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from mcpd.doctor.probes import MODERN, Facts, Seen

CLAUDE_CODE, CLAUDE, CURSOR, VSCODE = "Claude Code", "claude.ai", "Cursor", "VS Code"
INSPECTOR, REMOTE = "MCP Inspector", "mcp-remote"
PYTHON, TYPESCRIPT, BRIDGE = "Python SDK", "TypeScript SDK", "mcpd bridge"
ALL = (CLAUDE_CODE, CLAUDE, CURSOR, VSCODE, INSPECTOR, REMOTE, PYTHON, TYPESCRIPT, BRIDGE)
OAUTH_FIRST = (CLAUDE_CODE, CLAUDE, CURSOR, VSCODE, INSPECTOR, REMOTE, TYPESCRIPT)
MAX_SKEW_S = 30.0
SLOW_S = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing. ``fails``: these clients cannot connect; ``limited``: they lack something."""

    text: str
    fix: str = ""
    fails: tuple[str, ...] = ()
    limited: tuple[str, ...] = ()


def find(facts: Facts, now: float, token: str = "") -> list[Finding]:
    """What is to be said, the worst first."""
    first = facts.initialize
    if first.error:
        return [Finding(f"The server does not answer: {first.error}.", _reach(first), ALL)]
    found = list(_refusals(facts, now, token))
    if not any(finding.fails for finding in found):
        found += _conversation(facts)
    found += [*_clock(facts), *_oauth(facts), *_ways(facts), *_reachable(facts)]
    return sorted(found, key=lambda finding: (not finding.fails, not finding.limited))


def _reach(seen: Seen) -> str:
    if "certificate" in seen.error:
        return "Give --ca-file, or a certificate that the system trusts."
    return "Is it running, and the URL right? Behind a proxy: is the proxy's upstream up?"


def _refusals(facts: Facts, now: float, token: str) -> Iterator[Finding]:
    first = facts.initialize
    if first.status in (403, 421):
        host = facts.url.split("/")[2]
        yield Finding(
            f"The request is refused by the name it was sent to ({first.status}): {first.says}",
            f"In the proxy: pass the Host header on (nginx: proxy_set_header Host $host). At the"
            f" server: --public-url or --allow-host with the name it is called by, like {host}.",
            ALL,
        )
    elif first.status == 401:
        yield _unauthorized(facts, now, token)
    elif first.status in (301, 302, 307, 308):
        where = first.fields.get("location", "elsewhere")
        yield Finding(
            f"The endpoint is redirected to {where}.",
            "Give clients the URL it leads to.",
            (CLAUDE_CODE, CLAUDE, CURSOR),
            (VSCODE,),
        )
    elif first.status in (404, 405):
        yield Finding(
            f"There is no MCP endpoint ({first.status}): {first.says}",
            "mcpd has it at /mcp/; others at /mcp. Servers that know HTTP+SSE alone: /sse.",
            ALL,
        )
    elif first.status in (502, 503, 504):
        yield Finding(
            f"The server is away or busy ({first.status}): {first.says}",
            "See its log, and the proxy's.",
            ALL,
        )
    elif first.status != 200:
        yield Finding(f"initialize is answered {first.status}: {first.says}", "", ALL)


def _unauthorized(facts: Facts, now: float, token: str) -> Finding:
    claims = _claims(token)
    expires, issued = claims.get("exp"), claims.get("nbf", claims.get("iat"))
    says = facts.initialize.says
    if not facts.had_token:
        return Finding(
            "The server wants a token, and none was given.",
            "mcpd token create --sub NAME makes one; give it with --token-file or MCPD_TOKEN.",
            ALL,
        )
    server_now = now + facts.skew_s
    if isinstance(issued, int | float) and issued > server_now + 1:
        return Finding(
            f"The token is of the future: it begins {issued - server_now:.0f} s after the server's"
            f" time. The clock of who made it and the server's differ. The server says: {says}",
            "Set both clocks (NTP); --jwt-leeway-s tolerates small differences.",
            ALL,
        )
    if isinstance(expires, int | float) and expires <= server_now:
        return Finding(
            f"The token expired {server_now - expires:.0f} s ago. The server says: {says}",
            "Make a new one, with a longer --ttl: mcpd token create --sub NAME --ttl 30d.",
            ALL,
        )
    return Finding(
        f"The server refuses the token: {says}",
        "Was it made with this server's secret, issuer and audience? mcpd token inspect tells.",
        ALL,
    )


def _claims(token: str) -> dict[str, Any]:
    """What a JWT says, unverified: only to say what may be wrong."""
    try:
        part = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (IndexError, ValueError, binascii.Error):
        return {}
    return claims if isinstance(claims, dict) else {}


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
    if facts.initialized.status not in (200, 202, 204):
        yield Finding(
            f"notifications/initialized is answered {facts.initialized.status}, not 202.",
            "",
            ALL,
        )
    elif facts.initialized.status != 202:
        yield Finding(
            f"notifications/initialized is answered {facts.initialized.status}; claude.ai stops"
            " there.", "Answer 202.", (CLAUDE,),
        )  # fmt: skip
    yield from _streams(facts)
    if facts.lost.status and facts.lost.status != 404:
        yield Finding(
            f"A session that is over is answered {facts.lost.status}, not 404: clients do not learn"
            " that they must begin again.", "", limited=ALL,
        )  # fmt: skip
    if facts.discover.status == 200 and MODERN not in facts.discover.text:
        yield Finding(f"server/discover answers, and does not name {MODERN}.")


def _streams(facts: Facts) -> Iterator[Finding]:
    stream, listen = facts.stream, facts.listen
    held = listen.status == 200 and not listen.events
    if held or "no answer" in stream.error:
        yield Finding(
            "Events are held back on the way: one that the server sends at once did not arrive.",
            "In nginx: proxy_buffering off; gzip off; proxy_http_version 1.1; proxy_read_timeout"
            " 1h; and no proxy_ignore_headers X-Accel-Buffering for this location.",
            (CLAUDE_CODE, CURSOR, VSCODE),
            (CLAUDE, INSPECTOR, REMOTE, PYTHON, TYPESCRIPT, BRIDGE),
        )
    if stream.status == 200 and "text/event-stream" not in stream.fields.get("content-type", ""):
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


def _oauth(facts: Facts) -> Iterator[Finding]:
    answers = {path: seen for path, seen in facts.well_known.items() if seen.status == 200}
    resource = [path for path in answers if "oauth-protected-resource" in path]
    server = [path for path in answers if "oauth-protected-resource" not in path]
    hollow = [path for path, seen in answers.items() if not _is_metadata(seen)]
    challenged = "resource_metadata" in facts.challenge
    named = any(_names_another_server(answers[path]) for path in resource)
    if hollow:
        yield Finding(
            f"{hollow[0]} is answered 200, and holds no metadata: clients take that for an"
            " authorization server and ignore the token they were given.",
            "Answer 404 with JSON; often a catch-all page of a proxy answers.",
            (CLAUDE_CODE, CURSOR),
            (VSCODE, INSPECTOR, REMOTE),
        )
    elif (challenged or resource) and not server and not named:
        yield Finding(
            "OAuth is half on: clients are sent to an authorization server, and there is none"
            f" ({'WWW-Authenticate names resource_metadata' if challenged else resource[0]}; no"
            " /.well-known/oauth-authorization-server, no authorization_servers).",
            "Publish the whole of it, or none: with static tokens leave resource_metadata out and"
            " answer the well-known paths 404.",
            OAUTH_FIRST,
        )
    elif server and facts.register.status in (404, 405):
        yield Finding(
            "There is an authorization server, and POST /register does not register clients"
            f" ({facts.register.status}).",
            "Name a registration_endpoint, or register the clients by hand.",
            limited=OAUTH_FIRST,
        )
    if facts.anonymous.status == 401 and not facts.challenge:
        yield Finding(
            "401 comes without WWW-Authenticate.",
            "RFC 9110 wants it; claude.ai needs it to begin.",
            limited=(CLAUDE,),
        )
    for path, seen in facts.well_known.items():
        if seen.status == 404 and seen.json is None:
            yield Finding(
                f"{path} is answered 404 without JSON: some versions of Claude Code give up there.",
                "Answer JSON; in nginx pass /.well-known/ on to the server.",
                limited=(CLAUDE_CODE,),
            )
            return


def _is_metadata(seen: Seen) -> bool:
    body = seen.json
    wanted = ("resource", "issuer", "authorization_endpoint", "authorization_servers")
    return isinstance(body, dict) and any(name in body for name in wanted)


def _names_another_server(seen: Seen) -> bool:
    body = seen.json
    return isinstance(body, dict) and bool(body.get("authorization_servers"))


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
