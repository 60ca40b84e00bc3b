"""What a transcript needs of a server beyond what every server must have. Pure.

HTTP+SSE, authentication and one of the two eras are optional (MCP, "Transports" and
"Authorization"), and what a server hosts is its own: what is missing is a skip with its reason.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mcpd.mcp.revisions import V2026_07_28
from mcpd.replay.transcript import Entry, Transcript
from mcpd.replay.transcript_writer import is_modern

FIXTURE = "it needs the fixture, conformance/everything.py"
EVENT_STREAM = "text/event-stream"
ANY_STREAM = 0  # in the place of an exchange's number
_TEMPLATE = re.compile(r"\\\{[^{}]*\\\}")


@dataclass(frozen=True, slots=True)
class Needs:
    """Of one transcript.

    Attributes:
        stream: where it expects an HTTP+SSE stream; empty: nowhere.
        refusal: it expects 401 for a token that is missing or wrong.
        tools, resources, prompts: names and URIs that a successful answer needs.
    """

    stream: str = ""
    refusal: bool = False
    handshake: bool = False
    modern: bool = False
    tools: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()
    prompts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ServerProfile:
    """What a server has, as it says itself.

    Attributes:
        target: of its endpoint, behind redirects.
        wants_token: it refuses what comes without one.
        streams: targets at which it has HTTP+SSE.
        resources: URIs, and templates of URIs.
    """

    target: str
    handshake: bool = False
    modern: bool = False
    wants_token: bool = False
    streams: frozenset[str] = frozenset()
    tools: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()
    prompts: frozenset[str] = frozenset()


def needs_of(transcript: Transcript) -> Needs:
    """What one transcript needs."""
    refused = {e.number for e in transcript.entries if e.kind == "response" and 401 in e.statuses}
    failed = set(_failed(transcript))
    asked = [
        (entry, message)
        for entry in transcript.entries
        if entry.kind == "request" and entry.number not in refused
        for message in (entry.body if isinstance(entry.body, list) else [entry.body])
        if isinstance(message, dict) and isinstance(message.get("method"), str)
    ]
    used = [
        used
        for entry, message in asked
        if not failed & {(entry.number, _key(message)), (ANY_STREAM, _key(message))}
        for used in _used(message)
    ]
    stream = _stream(transcript)
    modern = any(is_modern(entry.fields) for entry, _ in asked)
    return Needs(
        stream=stream,
        refusal=any(e.kind == "response" and e.statuses == (401,) for e in transcript.entries),
        modern=modern,
        handshake=not stream and any(message["method"] == "initialize" for _, message in asked),
        tools=frozenset(name for kind, name in used if kind == "tools"),
        resources=frozenset(name for kind, name in used if kind == "resources"),
        prompts=frozenset(name for kind, name in used if kind == "prompts"),
    )


def _failed(transcript: Transcript) -> Iterator[tuple[int, str]]:
    """Requests that are answered with an error: what they name need not be there. On a stream that
    was opened with GET are the answers to requests of other exchanges.
    """
    streams = {e.number for e in transcript.entries if e.kind == "request" and e.method == "GET"}
    for entry in transcript.entries:
        if entry.kind in ("response", "event"):
            for message in entry.body if isinstance(entry.body, list) else [entry.body]:
                if isinstance(message, dict) and "error" in message:
                    yield ANY_STREAM if entry.number in streams else entry.number, _key(message)


def _key(message: dict[str, Any]) -> str:
    return repr(message.get("id"))


def _used(message: dict[str, Any]) -> Iterator[tuple[str, str]]:
    params = message.get("params")
    if not isinstance(params, dict):
        return
    method, reference = message["method"], params.get("ref")
    named = {"tools/call": "tools", "prompts/get": "prompts"}.get(method)
    if named and isinstance(params.get("name"), str):
        yield named, params["name"]
    if method in ("resources/read", "resources/subscribe") and isinstance(params.get("uri"), str):
        yield "resources", params["uri"]
    if method == "completion/complete" and isinstance(reference, dict):
        if isinstance(reference.get("name"), str):
            yield "prompts", reference["name"]
        if isinstance(reference.get("uri"), str):
            yield "resources", reference["uri"]


def _stream(transcript: Transcript) -> str:
    """Where a client opens an HTTP+SSE stream: its first event says so, or, if it is refused, that
    it is asked for at another path than the endpoint's.
    """
    named = {e.number for e in transcript.entries if e.first("event") == "endpoint"}
    for entry in transcript.entries:
        if entry.kind == "request" and entry.method == "GET":
            aside = entry.first("accept") == EVENT_STREAM and not _is_endpoint(entry)
            if entry.number in named or aside:
                return entry.target
    return ""


def _is_endpoint(entry: Entry) -> bool:
    return entry.target.partition("?")[0].rstrip("/") == "/mcp"


def missing(needs: Needs, profile: ServerProfile) -> str:
    """Why a transcript is not for this server; empty: it is."""
    if needs.stream and needs.stream not in profile.streams:
        return f"the server has no HTTP+SSE at {needs.stream} (optional)"
    if needs.modern and not profile.modern:
        return f"the server does not speak {V2026_07_28.name} (one era is enough)"
    if needs.handshake and not profile.handshake:
        return "the server has no handshake, and no sessions (one era is enough)"
    if needs.refusal and not profile.wants_token:
        return "the server wants no token (authentication is optional)"
    lacking = [
        *sorted(needs.tools - profile.tools),
        *sorted(uri for uri in needs.resources if not _has(uri, profile.resources)),
        *sorted(needs.prompts - profile.prompts),
    ]
    return f"{FIXTURE}: {', '.join(lacking)}" if lacking else ""


def _has(uri: str, known: frozenset[str]) -> bool:
    """Whether it is listed, or fits a template (RFC 6570)."""
    if uri in known:
        return True
    return any(
        re.fullmatch(_TEMPLATE.sub(".+", re.escape(one)), uri) for one in known if "{" in one
    )
