"""What a client meets that logs in (OAuth): findings from what discovery led to. Pure.

The clients' rules are in their sources: those with the TypeScript SDK read the first document that
is answered, refuse metadata without ``response_types_supported``, and a ``code_challenge_methods``
without S256; the Python SDK compares the issuer. claude.ai and VS Code want the resource equal.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from mcpd.doctor.facts import Discovery, Facts, first_server
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

_OWED = ("authorization_endpoint", "token_endpoint", "response_types_supported")
_OWED_BY_OIDC = ("jwks_uri", "subject_types_supported", "id_token_signing_alg_values_supported")
_OPENID = "openid-configuration"


def login(facts: Facts) -> Iterator[Finding]:
    """Who works after a login, and what stands in the way of it."""
    found = facts.discovery
    if facts.wants_login and facts.has_oauth:
        yield _login(facts)
    if facts.initialize.status == 401:
        yield from _hindrances(facts, found)
        return
    # The token that was given is taken, or none is wanted. Only clients without it get there, and
    # Cursor, which looks before it connects. A program on an SDK has its token, or it logs in.
    for finding in _hindrances(facts, found):
        fails = tuple(client for client in finding.fails if _looks_anyway(facts, client))
        others = without((*finding.limited, *finding.fails), *fails, PYTHON, TYPESCRIPT)
        text = finding.text
        if facts.wants_login:
            text += (
                " Clients that send the token do not get there, but for Cursor, which looks first."
            )
        yield replace(finding, text=text, fails=fails, limited=others if facts.wants_login else ())


def _looks_anyway(facts: Facts, client: str) -> bool:
    return client == CURSOR or (client == CLAUDE and facts.wants_login)


def _login(facts: Facts) -> Finding:
    found = facts.discovery
    clients = LOGS_IN if facts.initialize.status == 401 else (CLAUDE,)
    how = "clients register themselves" if _registers(found.metadata) else ""
    if found.metadata.get("client_id_metadata_document_supported") is True:
        how = " or ".join(filter(None, ("clients name a metadata document", how)))
    told = f" ({how})" if how else ""
    return Finding(
        f"The server wants a login (OAuth), at {found.issuer}{told}.",
        "Clients open a browser for it. Programs on an SDK have to give it a provider for OAuth;"
        " mcpd bridge has no login, and works with a token (--token-file).",
        login=clients,
        fails=(BRIDGE,) if facts.initialize.status == 401 and not facts.had_token else (),
    )


def _hindrances(facts: Facts, found: Discovery) -> Iterator[Finding]:
    leads = bool(found.resource_url) or "resource_metadata" in facts.challenge
    if found.resource_url:
        yield from _resource(facts, found)
    yield from _hollow(found)
    if not found.metadata:
        if leads and not any(found.issuers[url].status == 200 for url in found.issuers):
            yield _half_on(found)
        return
    yield from _metadata(found)
    yield from _registration(found)


def _resource(facts: Facts, found: Discovery) -> Iterator[Finding]:
    named = found.resource.get("resource")
    if named == facts.url:
        return
    if not isinstance(named, str):
        yield Finding(
            f"{found.resource_url} names no resource.",
            f'RFC 9728 wants it: "resource": "{facts.url}".',
            fails=LOGS_IN,
        )
        return
    fails = [VSCODE, CLAUDE]
    if not _covers(named, facts.url):
        fails += [*OF_TYPESCRIPT, PYTHON]
    elif len(urlsplit(facts.url).path) < len(urlsplit(named).path):
        fails += OF_TYPESCRIPT  # a slash more than the URL has
    yield Finding(
        f"{found.resource_url} is about {named}, and clients are given {facts.url}.",
        "Make them equal, the last slash as well: change the document, or give clients that URL.",
        fails=tuple(fails),
    )


def _covers(resource: str, url: str) -> bool:
    """Whether the SDKs take a token for the resource as one for the URL."""
    try:
        wide, narrow = urlsplit(resource), urlsplit(url)
    except ValueError:
        return False
    same = (wide.scheme.lower(), wide.netloc.lower()) == (
        narrow.scheme.lower(), narrow.netloc.lower()
    )  # fmt: skip
    return same and f"{narrow.path.rstrip('/')}/".startswith(f"{wide.path.rstrip('/')}/")


def _hollow(found: Discovery) -> Iterator[Finding]:
    """Pages where documents should be. Once a good document is found, no client reads on."""
    seen = dict(found.well_known) if not found.resource_url else {}
    if not found.metadata_url:
        seen |= found.issuers
    for url, page in seen.items():
        if page.status == 200 and not _is_document(page.document):
            yield Finding(
                f"{url} is answered 200, and holds no metadata: clients take that for an"
                " authorization server and ignore the token they were given.",
                "Answer 404 with JSON; often a catch-all page of the site answers.",
                (CLAUDE_CODE, CURSOR),
                (VSCODE, INSPECTOR, REMOTE),
            )
            return


def _is_document(body: dict[str, Any]) -> bool:
    wanted = ("resource", "issuer", "authorization_endpoint", "authorization_servers")
    return any(name in body for name in wanted)


def _half_on(found: Discovery) -> Finding:
    url = found.resource_url
    begins = f"{url} is there" if url else "WWW-Authenticate names resource_metadata"
    if url and first_server(found.resource):
        tried = ", ".join(f"{place} {_came(found, place)}" for place in found.issuers)
        ends = f"its authorization server {found.issuer} has no metadata ({tried})"
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
        told = body.get("issuer") or "none"
        if str(told).rstrip("/") != found.issuer.rstrip("/"):
            yield Finding(
                f"{url} has the issuer {told}, and clients came for {found.issuer}.",
                "RFC 8414 wants them equal: the issuer is what authorization_servers names.",
                (PYTHON,),
                without(LOGS_IN, PYTHON),
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
