"""Findings about tokens and OAuth."""

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Any

from mcpd.auth.client_token import VARIABLE
from mcpd.doctor.finding import (
    ALL,
    CLAUDE,
    CLAUDE_CODE,
    CURSOR,
    INSPECTOR,
    OAUTH_FIRST,
    REMOTE,
    VSCODE,
    Finding,
)
from mcpd.doctor.probes import Facts, Seen

OUR_STATE = ", with the server's --state-dir or secret"


def unauthorized(facts: Facts, now: float, token: str) -> Finding:
    """Why the token, or none, is refused."""
    claims = _claims(token)
    expires, issued = claims.get("exp"), claims.get("nbf", claims.get("iat"))
    says = facts.initialize.says
    if not facts.had_token:
        return Finding(
            "The server wants a token, and none was given.",
            f"mcpd token create --sub NAME{OUR_STATE} makes one; give it with --token-file or"
            f" {VARIABLE}.",
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
            "Make a new one, with a longer --ttl: mcpd token create --sub NAME --ttl 30d"
            f"{OUR_STATE}.",
            ALL,
        )
    return Finding(
        f"The server refuses the token: {says}",
        "Was it made with this server's secret, issuer and audience? mcpd token inspect tells (it"
        f" reads the token from standard input{OUR_STATE}).",
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


def oauth(facts: Facts) -> Iterator[Finding]:
    """What the probes of the well-known paths lead clients to."""
    answers = _answers(facts)
    resource = [path for path in answers if "oauth-protected-resource" in path]
    server = [path for path in answers if "oauth-protected-resource" not in path]
    hollow = [path for path, seen in answers.items() if not _is_metadata(seen)]
    challenged = "resource_metadata" in facts.challenge
    if hollow:
        yield Finding(
            f"{hollow[0]} is answered 200, and holds no metadata: clients take that for an"
            " authorization server and ignore the token they were given.",
            "Answer 404 with JSON; often a catch-all page of a proxy answers.",
            (CLAUDE_CODE, CURSOR),
            (VSCODE, INSPECTOR, REMOTE),
        )
    elif (challenged or resource) and not has_oauth(facts):
        yield Finding(
            "OAuth is half on: clients are sent to an authorization server, and there is none"
            f" ({'WWW-Authenticate names resource_metadata' if challenged else resource[0]}; no"
            " /.well-known/oauth-authorization-server, no authorization_servers).",
            "Publish the whole of it, or none: with static tokens leave resource_metadata out and"
            " answer the well-known paths 404.",
            OAUTH_FIRST,
        )
    elif server and not any(_registers(answers[path]) for path in server):
        yield Finding(
            "There is an authorization server, and its metadata names no way to register.",
            "Name a registration_endpoint, support client metadata documents, or register the"
            " clients by hand.",
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


def has_oauth(facts: Facts) -> bool:
    """Whether clients are led to an authorization server."""
    return any(
        "oauth-protected-resource" not in path or _names_another_server(seen)
        for path, seen in _answers(facts).items()
    )


def _answers(facts: Facts) -> dict[str, Seen]:
    return {path: seen for path, seen in facts.well_known.items() if seen.status == 200}


def _is_metadata(seen: Seen) -> bool:
    body = seen.json
    wanted = ("resource", "issuer", "authorization_endpoint", "authorization_servers")
    return isinstance(body, dict) and any(name in body for name in wanted)


def _names_another_server(seen: Seen) -> bool:
    body = seen.json
    return isinstance(body, dict) and bool(body.get("authorization_servers"))


def _registers(seen: Seen) -> bool:
    body = seen.json
    wanted = ("registration_endpoint", "client_id_metadata_document_supported")
    return isinstance(body, dict) and any(body.get(name) for name in wanted)
