"""Findings about tokens, and about what a client is told that has none. Pure."""

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Any

from mcpd.auth.client_token import VARIABLE
from mcpd.doctor.facts import Facts
from mcpd.doctor.finding import ALL, BRIDGE, CLAUDE, CLAUDE_CODE, Finding

OUR_STATE = ", with the server's --state-dir or secret"


def unauthorized(facts: Facts, now: float, token: str) -> Iterator[Finding]:
    """Why the token, or none, is refused."""
    if facts.had_token:
        found = _refused(facts, now, token)
        if facts.has_oauth:  # clients that log in get a token of their own
            text = f"{found.text.rstrip('.')}. Clients that log in do not need it."
            found = Finding(text, found.fix, (BRIDGE,))
        yield found
    elif not facts.has_oauth:
        make = (
            f"mcpd token create --sub NAME{OUR_STATE} makes one; give it"
            if facts.is_ours
            else "Ask for one where the server is run; give it"
        )
        yield Finding(
            "The server wants a token, and none was given.",
            f"{make} with --token-file or {VARIABLE}, and to each client as a header.",
            ALL,
        )


def _refused(facts: Facts, now: float, token: str) -> Finding:
    claims = _claims(token)
    expires, issued = claims.get("exp"), claims.get("nbf", claims.get("iat"))
    says = facts.initialize.says
    server_now = now + facts.skew_s
    if isinstance(issued, int | float) and issued > server_now + 1:
        return Finding(
            f"The token is of the future: it begins {issued - server_now:.0f} s after the server's"
            f" time. The clock of who made it and the server's differ. The server says: {says}",
            "Set both clocks (NTP)"
            + ("; --jwt-leeway-s tolerates small differences." if facts.is_ours else "."),
            ALL,
        )
    if isinstance(expires, int | float) and expires <= server_now:
        again = f": mcpd token create --sub NAME --ttl 30d{OUR_STATE}" if facts.is_ours else ""
        return Finding(
            f"The token expired {server_now - expires:.0f} s ago. The server says: {says}",
            f"Make a new one, with a longer life{again}.",
            ALL,
        )
    look = (
        "Was it made with this server's secret, issuer and audience? mcpd token inspect tells (it"
        f" reads the token from standard input{OUR_STATE})."
        if facts.is_ours
        else "Was it made for this server, and is it whole?"
    )
    return Finding(f"The server refuses the token: {says}", look, ALL)


def _claims(token: str) -> dict[str, Any]:
    """What a JWT says, unverified: only to say what may be wrong."""
    try:
        part = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (IndexError, ValueError, RecursionError, binascii.Error):
        return {}
    return claims if isinstance(claims, dict) else {}


def refusal(facts: Facts) -> Iterator[Finding]:
    """How a client without a token is refused, if it is."""
    if not facts.wants_login:
        return
    if not facts.challenge:
        yield Finding(
            "401 comes without WWW-Authenticate.",
            "RFC 9110 wants it; claude.ai needs it to begin.",
            limited=(CLAUDE,),
        )
    if facts.has_oauth:
        return
    for path, seen in facts.discovery.well_known.items():
        if seen.status == 404 and seen.json is None:
            yield Finding(
                f"{path} is answered 404 without JSON: some versions of Claude Code give up there"
                " when they are refused for want of a token.",
                "Answer JSON" + ("; the proxy has to pass /.well-known/ on to the server."
                                 if facts.has_proxy else "."),
                limited=(CLAUDE_CODE,),
            )  # fmt: skip
            return
