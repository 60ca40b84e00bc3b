"""From what a recorder saw to a transcript. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import parse_qs

from mcpd.errors import INVALID_PARAMS
from mcpd.mcp.revisions import BY_NAME
from mcpd.replay.expectation import expectation, used_names
from mcpd.replay.received import speaks_mcp
from mcpd.replay.recorder import Observation
from mcpd.replay.scrub import (
    KEPT_FIELDS,
    NUMBERED,
    SENT_FIELDS_LEFT_OUT,
    Scrubber,
    query_of,
    read_json,
)
from mcpd.replay.secrets import HIDDEN
from mcpd.replay.transcript import Entry, Transcript
from mcpd.replay.varying import UUID

BOUNDS_S = ((0.1, ""), (1.0, "soon"), (10.0, "later"))  # and "late" beyond
STREAM_OR_NONE = (200, 405)  # MCP, "Listening for Messages": a server may have no such stream
ENDING = (200, 202, 204, 405)  # and need not let clients end sessions
PROBED = (200, 401, 404)  # a server may or may not have an authorization server
NOT_REGISTERED = (400, 401, 403, 404, 405)
SPENT = (400, 401, 403)  # what a code, a state or a refresh token is answered with that is no more


def compose(
    seen: Sequence[Observation],
    head: dict[str, str],
    *,
    secrets: Iterable[str],
    base: str,
    upstream: str = "",
    now: float = 0.0,
) -> Transcript:
    """The transcript of a recording.

    Args:
        secrets: values that are not written, wherever they stand.
        base: the URL that the client was given, without its path.
        upstream: that of the server behind it; it is the same one in a transcript.
        now: when it was recorded, in seconds since 1970; 0: it is not known.
    """
    scrubber = Scrubber(secrets, base, filter(None, [upstream]))
    _name_what_changes(seen, scrubber)
    bodies = [read_json(o.body) for o in seen if o.kind == "request"]
    used = used_names(bodies)
    requests = {o.number: o for o in seen if o.kind == "request"}
    raced = any(o.kind == "request" and o.method == "DELETE" for o in seen)
    entries, before = [], seen[0].when if seen else 0.0
    ended: set[int] = set()
    for observation in seen:
        if observation.kind == "close" and observation.number in ended:
            continue  # there was nothing left to hang up
        if observation.kind == "end":
            ended.add(observation.number)
        entry = _entry(observation, requests[observation.number], scrubber, used, now)
        if raced and entry.statuses == (404,) and requests[observation.number].method == "GET":
            entry.statuses = (200, 404, 405)  # it came beside the end of the session
        entry.timing = _timing(observation.when - before)
        before = observation.when
        entries.append(entry)
    entries += [Entry("close", number) for number in sorted(_unanswered(entries))]
    shown = {name: scrubber.text(value) for name, value in head.items()}
    return Transcript(shown, _with_losses(entries))


def _unanswered(entries: list[Entry]) -> set[int]:
    """Exchanges that the end of the recording, or of the server, cut short."""
    told = {entry.number for entry in entries if entry.kind in ("response", "close")}
    return {entry.number for entry in entries} - told


def _with_losses(entries: list[Entry]) -> list[Entry]:
    """Before a request whose session the server does not know any more, though the client did not
    end it: the place where the server forgot it.
    """
    found: list[Entry] = []
    begun: dict[str, int] = {}  # session → the first exchange that belongs to it
    over: set[str] = set()
    lost = {e.number for e in entries if e.kind == "response" and e.statuses == (404,)}
    for entry in entries:
        session = entry.first("mcp-session-id") if entry.kind == "request" else None
        if session is not None:
            if entry.method == "DELETE":
                over.add(session)
            elif entry.number in lost and session in begun and session not in over:
                over.add(session)
                found.append(Entry("forget", begun[session]))
            begun.setdefault(session, entry.number)
        found.append(entry)
    return found


def _name_what_changes(seen: Sequence[Observation], scrubber: Scrubber) -> None:
    """Values that servers make up, and secrets, before anything is written that may hold them."""
    sent: set[str] = set()  # ids that the client made up: they are as it made them
    for observation in seen:
        body = read_json(observation.body)
        scrubber.learn_body(body)
        if observation.kind == "request":
            sent |= _learn_from_client(observation, scrubber, is_json=body is not None)
            continue
        for name, value in observation.fields:
            if name == "mcp-session-id":
                scrubber.name("session", value)
        if observation.event_id:
            scrubber.name("event", observation.event_id)
        if observation.event_name == "endpoint":
            for values in parse_qs(query_of(_text(observation))).values():
                scrubber.name("session", values[0])
        for made in _made_up(body, sent):
            scrubber.name("uuid", made)
        if isinstance(body, dict) and "method" in body and isinstance(body.get("id"), str):
            scrubber.name("ask", body["id"])


def _learn_from_client(request: Observation, scrubber: Scrubber, *, is_json: bool) -> set[str]:
    """Its secrets; returns the ids that it says."""
    for name, value in request.fields:
        scrubber.learn(name, value)
    scrubber.learn_query(query_of(request.target))
    scrubber.learn_query("" if is_json else _text(request))
    return set(UUID.findall(f"{request.target} {_text(request)}"))


def _text(observation: Observation) -> str:
    return observation.body.decode("utf-8", "replace")


def _made_up(body: Any, sent: set[str], member: str = "") -> Iterator[str]:
    """Ids in what a server said, within texts as well, that the client did not say before."""
    if isinstance(body, dict):
        for key, inner in body.items():
            yield from (one for one in UUID.findall(key) if one not in sent)
            yield from _made_up(inner, sent, key)
    elif isinstance(body, list):
        for inner in body:
            yield from _made_up(inner, sent, member)
    elif isinstance(body, str) and member not in NUMBERED and member != "id":
        yield from (one for one in UUID.findall(body) if one not in sent)


def _timing(seconds: float) -> str:
    return next((name for bound, name in BOUNDS_S if seconds < bound), "late")


def _entry(
    o: Observation, request: Observation, scrubber: Scrubber, used: set[str], now: float
) -> Entry:
    if o.kind == "request":
        return _request(o, scrubber)
    if o.kind == "response":
        return _response(o, request, scrubber, used, now)
    entry = Entry(o.kind, o.number)
    if o.kind == "event":
        if o.event_name not in ("", "message"):
            entry.fields.append(("event", o.event_name))
        if o.event_id:
            entry.fields.append(("id", scrubber.name("event", o.event_id)))
        _put_body(entry, o.body, scrubber)
        entry.body = expectation(entry.body, used, strict_errors=True, now=now)
    return entry


def _request(o: Observation, scrubber: Scrubber) -> Entry:
    entry = Entry("request", o.number, method=o.method, target=scrubber.text(o.target))
    for name, value in o.fields:
        if name not in SENT_FIELDS_LEFT_OUT:
            shown = scrubber.field(name, value)
            if name == "last-event-id":
                shown = (name, scrubber.name("event", value))
            entry.fields.append(shown)
    _put_body(entry, o.body, scrubber)
    return entry


def _response(
    o: Observation, request: Observation, scrubber: Scrubber, used: set[str], now: float
) -> Entry:
    statuses = _statuses(o, request, spent=_shows_secret(request, scrubber))
    if statuses == (400,) and is_modern(request.fields) and INVALID_PARAMS in _codes(o.body):
        statuses = (200, 400)  # the specification names the status of other errors alone
    entry = Entry("response", o.number, statuses=statuses)
    entry.fields = [scrubber.field(n, v) for n, v in o.fields if n in KEPT_FIELDS]
    _put_body(entry, o.body, scrubber)
    if o.status == 200 or is_modern(request.fields):
        entry.body = expectation(entry.body, used, strict_errors=True, now=now)
    elif speaks_mcp(entry.body):
        entry.body = None  # before 2026-07-28 nothing is told of it
    return entry


def _shows_secret(request: Observation, scrubber: Scrubber) -> bool:
    if request.target.startswith("/mcp") or speaks_mcp(read_json(request.body)):
        return False
    return any(HIDDEN in scrubber.text(part) for part in (request.target, _text(request)))


def _codes(data: bytes) -> list[Any]:
    body = read_json(data)
    error = body.get("error") if isinstance(body, dict) else None
    return [error.get("code")] if isinstance(error, dict) else []


def _statuses(o: Observation, request: Observation, *, spent: bool) -> tuple[int, ...]:
    """What the specification allows beside what was seen.

    Args:
        spent: the request is no message and shows a secret, which is not the same the next time.
    """
    names = {name for name, _ in request.fields}
    if "/.well-known/" in request.target and o.status in PROBED:
        return PROBED
    if request.target.startswith("/register") and o.status in NOT_REGISTERED:
        return NOT_REGISTERED
    if request.method == "GET" and o.status in STREAM_OR_NONE and "last-event-id" not in names:
        unknown = "mcp-session-id" not in names and request.target.startswith("/mcp")
        return (200, 400, 405) if unknown else STREAM_OR_NONE
    if spent and o.status in (200, 201, 302, 303, 307, 308):
        return (o.status, *SPENT)
    if request.method == "DELETE" and o.status in ENDING:
        return ENDING
    return (o.status,)


def is_modern(fields: Iterable[tuple[str, str]]) -> bool:
    """Whether a request is of 2026-07-28, whose errors are told more closely."""
    version = next((value for name, value in fields if name == "mcp-protocol-version"), "")
    revision = BY_NAME.get(version)
    return revision is not None and revision.modern


def _put_body(entry: Entry, data: bytes, scrubber: Scrubber) -> None:
    body: Any = read_json(data)
    if isinstance(body, dict | list):
        entry.body = scrubber.body(body, sent=entry.kind == "request")
    elif data:
        entry.text = scrubber.text(data.decode("utf-8", "replace"))
