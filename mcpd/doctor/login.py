"""What a client meets that logs in (OAuth): findings from what discovery led to. Pure.

The clients' rules are in their sources, and were seen with the SDKs: that for TypeScript stops at a
page where a document should be, and refuses metadata without ``response_types_supported`` or with
other methods than S256; both take a resource that covers the URL, and compare the issuer (the one
for TypeScript from 2.0 on). claude.ai wants the resource equal; VS Code ignores a document that is
not, and then looks for an authorization server at the server's own origin.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from mcpd.doctor.facts import Discovery, Facts, first_server, is_metadata, is_resource
from mcpd.doctor.finding import (
    BRIDGE,
    CLAUDE,
    CLAUDE_CODE,
    CURSOR,
    INSPECTOR,
    LOGS_IN,
    OF_TYPESCRIPT,
    PYTHON,
    REMOTE,
    TYPESCRIPT,
    VSCODE,
    Finding,
    without,
)
from mcpd.doctor.seen import Seen

_OWED = ("authorization_endpoint", "token_endpoint", "response_types_supported")
_OWED_BY_OIDC = ("jwks_uri", "subject_types_supported", "id_token_signing_alg_values_supported")
_OPENID = "openid-configuration"
_NO_PAGE = "Answer 404 with JSON; often a catch-all page of the site answers."


def login(facts: Facts) -> Iterator[Finding]:
    """Who works after a login, and what stands in the way of it."""
    if not facts.wants_login:
        return  # no client looks for a login
    if facts.has_oauth:
        yield _login(facts)
    for finding in _hindrances(facts):
        yield finding if facts.initialize.status == 401 else _beside_a_token(finding)


def _beside_a_token(finding: Finding) -> Finding:
    """The token that was given is taken: only clients without it get there, and Cursor, which looks
    before it connects. A program on an SDK has it, or logs in.
    """
    fails = tuple(client for client in finding.fails if client in (CURSOR, CLAUDE))
    limited = without((*finding.limited, *finding.fails), *fails, PYTHON, TYPESCRIPT)
    return replace(
        finding,
        text=f"{finding.text} Clients that send the token do not get there, but for Cursor, which"
        " looks first.",
        fails=fails,
        limited=limited,
    )


def _login(facts: Facts) -> Finding:
    found = facts.discovery
    is_refused = facts.initialize.status == 401
    who = "The server wants a login" if is_refused else "Clients without a token log in"
    how = "clients register themselves" if _registers(found.metadata) else ""
    if found.metadata.get("client_id_metadata_document_supported") is True:
        how = " or ".join(filter(None, ("clients name a metadata document", how)))
    told = f" ({how})" if how else ""
    return Finding(
        f"{who} (OAuth), at {found.issuer}{told}.",
        "Clients open a browser for it. Programs on an SDK have to give it a provider for OAuth;"
        " mcpd bridge has no login, and works with a token (--token-file).",
        login=LOGS_IN if is_refused else (CLAUDE,),  # which cannot be given a token
        fails=(BRIDGE,) if is_refused and not facts.had_token else (),
    )


def _hindrances(facts: Facts) -> Iterator[Finding]:
    found = facts.discovery
    if found.resource_url:
        yield from _resource(facts, found)
    yield from _pages(found)
    if found.metadata:
        yield from _metadata(found)
        yield from _registration(found)
    elif found.resource_url or "resource_metadata" in facts.challenge:
        yield _half_on(found)


def _resource(facts: Facts, found: Discovery) -> Iterator[Finding]:
    named = found.resource.get("resource")
    if not isinstance(named, str):
        yield Finding(
            f"{found.resource_url} names no resource.",
            f'RFC 9728 wants it: "resource": "{facts.url}".',
            fails=LOGS_IN,
        )
        return
    if _normal(named) == _normal(facts.url):
        return
    fails, limited = [CLAUDE], [VSCODE]
    if not _normal(found.issuer).startswith(_origin(facts.url)):
        fails, limited = [CLAUDE, VSCODE], []
    if not _covers(_normal(named), _normal(facts.url)):
        fails += [*OF_TYPESCRIPT, PYTHON]
    elif len(_normal(facts.url)) < len(_normal(named)):
        fails += OF_TYPESCRIPT  # a slash more than the URL has
    yield Finding(
        f"{found.resource_url} is about {named}, and clients are given {facts.url}.",
        "Make them equal, the last slash as well: change the document, or give clients that URL.",
        fails=tuple(fails),
        limited=tuple(limited),
    )


def _normal(url: str) -> str:
    """Scheme and host in lower case, and never without a path; empty: it is no URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme.lower()}://{parts.netloc.lower()}{parts.path or '/'}"


def _origin(url: str) -> str:
    return "/".join(_normal(url).split("/")[:3]) + "/"


def _covers(resource: str, url: str) -> bool:
    """Whether the SDKs take a token for the resource as one for the URL."""
    return f"{url.rstrip('/')}/".startswith(f"{resource.rstrip('/')}/")


def _pages(found: Discovery) -> Iterator[Finding]:
    """What is answered 200 where a document should be, and is none."""
    if not found.resource_url and not found.metadata_url:
        if page := _hollow(found.well_known, ""):
            yield Finding(
                f"{page} is answered 200, and holds no metadata: clients that look there take it"
                " for an authorization server.",
                _NO_PAGE,
                (CLAUDE_CODE, CURSOR),
                (VSCODE, INSPECTOR, REMOTE),
            )
        return
    for seen, good in (
        (found.resources, found.resource_url),
        (found.issuers, found.metadata_url),
    ):
        if good and (page := _hollow(seen, good)):
            yield Finding(
                f"{page} is answered 200, and holds no metadata: clients with the TypeScript SDK"
                f" stop there, and do not read {good}.",
                _NO_PAGE,
                OF_TYPESCRIPT,
            )


def _hollow(seen: dict[str, Seen], until: str) -> str:
    """The first such page that clients meet before the good document; empty: there is none."""
    for url, page in seen.items():
        if url == until:
            break
        if page.status == 200 and not (is_resource(page) or is_metadata(page)):
            return url
    return ""


def _half_on(found: Discovery) -> Finding:
    url = found.resource_url
    begins = f"{url} is there" if url else "WWW-Authenticate names resource_metadata"
    if url and first_server(found.resource):
        tried = ", ".join(f"{place} {_came(found, place)}" for place in found.issuers)
        ends = (
            f"its authorization server {found.issuer} has no metadata ({tried or 'it is no URL'})"
        )
    elif url:
        ends = "it names no authorization_servers, and this server is none itself"
    else:
        ends = "there is no document"
    return Finding(
        f"OAuth is half on: clients are sent to an authorization server, and find none: {begins},"
        f" and {ends}.",
        "Publish the whole of it, or none: with static tokens leave resource_metadata out and"
        " answer the well-known paths 404.",
        LOGS_IN,
    )


def _came(found: Discovery, url: str) -> str:
    seen = found.issuers[url]
    return seen.error or str(seen.status)


def _metadata(found: Discovery) -> Iterator[Finding]:
    url, body = found.metadata_url, found.metadata
    if body.get("issuer") != found.issuer:
        yield Finding(
            f"{url} has the issuer {body.get('issuer')}, and clients came for {found.issuer}.",
            "RFC 8414 wants them equal to the letter: the issuer is what authorization_servers"
            " names.",
            (PYTHON, TYPESCRIPT, INSPECTOR, REMOTE),
            (CLAUDE_CODE, CLAUDE, CURSOR),
        )
    owed = [*_OWED, *(_OWED_BY_OIDC if _OPENID in url else ())]
    if missing := [name for name in owed if not body.get(name)]:
        needs = (PYTHON, VSCODE, CLAUDE) if {*missing} & {*_OWED[:2]} else ()
        yield Finding(
            f"{url} lacks {', '.join(missing)}.",
            "RFC 8414 and OpenID Connect Discovery want them.",
            (*OF_TYPESCRIPT, *needs),
        )
    methods = body.get("code_challenge_methods_supported")
    if methods is None:
        yield Finding(
            f"{url} does not say that S256 is supported: clients that go by 2025-11-25 refuse to"
            " log in.",
            'Add "code_challenge_methods_supported": ["S256"].',
        )
    elif not isinstance(methods, list) or "S256" not in methods:
        yield Finding(
            f"{url} does not support S256 ({methods}), and clients know no other PKCE.",
            'Support it, and say so: "code_challenge_methods_supported": ["S256"].',
            OF_TYPESCRIPT,
            without(LOGS_IN, *OF_TYPESCRIPT),
        )


def _registration(found: Discovery) -> Iterator[Finding]:
    body = found.metadata
    if _registers(body):
        return
    if body.get("client_id_metadata_document_supported") is not True:
        yield Finding(
            "There is an authorization server, and its metadata names no way to register: each"
            " client has to be registered by hand and given its id.",
            "Name a registration_endpoint, support client metadata documents, or register the"
            " clients by hand.",
            limited=LOGS_IN,
        )
        return
    by_hand = [CURSOR]  # no metadata document of its own is known
    methods = body.get("token_endpoint_auth_methods_supported")
    if not isinstance(methods, list) or "none" not in methods:
        by_hand.append(CLAUDE)
    yield Finding(
        "The authorization server registers no clients, and takes the id of a metadata document:"
        f" {' and '.join(by_hand)} cannot give one, the SDKs, mcp-remote and MCP Inspector only if"
        " they are told its URL.",
        "Name a registration_endpoint as well, or register these clients by hand."
        + (" claude.ai needs none in token_endpoint_auth_methods_supported."
           if CLAUDE in by_hand else ""),
        limited=(*by_hand, INSPECTOR, REMOTE, PYTHON, TYPESCRIPT),
    )  # fmt: skip


def _registers(metadata: dict[str, Any]) -> bool:
    return bool(metadata.get("registration_endpoint"))
