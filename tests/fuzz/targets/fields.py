"""Header fields, ids and small bodies that any peer may send: a value or a refusal."""

from typing import Any

import msgspec
from hypothesis import strategies as st

from mcpd.errors import McpdError, PeerError
from mcpd.http.answers import error_response, response_bytes
from mcpd.http.forwarded import TrustedProxies
from mcpd.http.guards import LOOPBACK_NAMES, Guard, host_name
from mcpd.http.messages import Headers, Peer
from mcpd.mcp.transports.wire import check_accept, check_json, is_json, read_accept
from mcpd.registration.parse_body import client_of, read_registration
from mcpd.sessions.record import SessionId, clean_label
from mcpd.sessions.stream_ids import (
    asker_of,
    event_id,
    new_stream_id,
    question_id,
    read_event_id,
    request_of,
)
from tests.fuzz.drawing import COMMON, JSON_TOKENS, encode, mutated, texts, values
from tests.fuzz.target import Target

HOSTS = (
    b"localhost", b"localhost:80", b"127.0.0.1:1", b"[::1]:9", b"[::1",
    b"localhost:80@evil.example", b"[::1]evil.example", b"127.0.0.1.evil.example", b"evil.example",
    b"::1", b"localhost.",
    b"http://localhost:1", b"https://127.0.0.1:9.evil.example", b"null", b"http://[::1]:3",
)  # fmt: skip
TOKENS = (
    *COMMON, b"@", b"[", b"]", b"http://", b"https://", b"localhost", b"127.0.0.1", b"evil.example",
    b":80", b"*/*", b"application/json", b"text/event-stream", b";q=0", b"for=", b"unix",
    b"10.0.0.1",
)  # fmt: skip
LISTS = (
    b"application/json, text/event-stream", b"*/*", b"text/html;q=0.5, */*;q=0",
    b"10.0.0.1, 1.2.3.4",
    b"unix", b"https, http", b"application/json; charset=utf-8", b"::1",
)  # fmt: skip
PROXIES = TrustedProxies.parse(["127.0.0.1", "10.0.0.0/8", "::1", "unix"])
GUARDS = (Guard(), Guard(ip_literals=True, origins=frozenset({"https://a.example"})))
VALUES = mutated((*HOSTS, *LISTS), TOKENS).map(lambda data: data.translate(None, b"\r\n\0").strip())


def check_told(error: McpdError) -> None:
    """A refusal can be sent: it is a head and JSON."""
    head, _, body = response_bytes(
        error_response(error), close=True, head_only=False, http_10=False
    ).partition(b"\r\n\r\n")
    assert b"\n" not in head.replace(b"\r\n", b""), "a refusal splits its head"
    msgspec.json.decode(body)


def check_guards(value: bytes) -> None:
    """A Host is ours if its name is; an Origin if it is one of this machine's pages."""
    text = value.decode("latin-1")
    for guard in GUARDS:
        try:
            guard.check_host(text)
        except PeerError as error:
            check_told(error)
        else:
            name, _, port = text.rpartition(":") if text[-1:] != "]" else (text, "", "")
            bare = name if name and port.isdigit() else text
            known = {*LOOPBACK_NAMES, *(f"{n}." for n in LOOPBACK_NAMES)}
            is_ours = bare.lower().rstrip(":") in known or is_address(bare)
            assert is_ours, "a Host is taken that is no name of ours"
        if guard.allows_origin(text):
            guard.cors_headers(text, credentials=True)
            host = text.partition("://")[2]
            assert host_name(host) == host.lower() or host.rpartition(":")[2].isdigit(), (
                "an Origin is taken whose port is none"
            )
        try:
            guard.check_origin(text)
        except PeerError as error:
            check_told(error)


def is_address(text: str) -> bool:
    """Whether it looks like an address: digits and colons alone."""
    return not text.strip("[]0123456789abcdefABCDEF.:%")


FIELDS = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"accept", b"content-type")


def check_fields(value: list[tuple[bytes, bytes]]) -> None:
    """What a proxy says, what a client reads, what a body is."""
    headers = Headers(value)
    for address in ("127.0.0.1", "192.0.2.1", "unix"):
        peer = Peer(address, is_loopback=address != "192.0.2.1")
        resolved = PROXIES.resolve(peer, headers)
        assert len(resolved.address) <= 45
        assert resolved.scheme in ("http", "https")
        if not PROXIES.trusts(address):
            assert resolved == peer
    accepted = read_accept(headers.joined(b"accept"))
    if accepted.json or accepted.events:
        check_accept(accepted)
    try:
        check_json(headers)
    except PeerError as error:
        check_told(error)
    else:
        assert is_json(headers)


def check_ids(value: tuple[bytes, str]) -> None:
    """Ids come back out of what carries them; any other text is none of ours."""
    request_id, text = value
    session = SessionId("s")
    stream = new_stream_id(session, request_id)
    assert read_event_id(event_id(stream, 7)) == (stream, 7)
    carried = request_of(session, stream)
    assert carried in (request_id, None)
    assert request_of(SessionId("other"), stream) is None
    assert asker_of(question_id("a-b", request_id, 3)) == "a-b"
    found = read_event_id(text)
    assert found is None or 0 <= found[1] <= 2**53
    assert request_of(session, text) is None
    label = clean_label(text, 16)
    assert label.isprintable()
    assert len(label) <= 16
    label.encode("utf-8", "surrogatepass")


def check_registration(body: bytes) -> None:
    """A body at /register: a session, an OAuth client, or a refusal."""
    try:
        _, members = read_registration(body)
    except PeerError as error:
        check_told(error)
        return
    info, capabilities = client_of(members)
    assert isinstance(info, dict)
    assert isinstance(capabilities, dict)


NAMES = ("client_info", "clientInfo", "capabilities", "redirect_uris", "name", "version", "jwks")
REGISTRATIONS: st.SearchStrategy[Any] = st.one_of(
    mutated([encode({"client_info": {"name": "a", "version": "1"}, "capabilities": {}}),
             encode({"redirect_uris": ["http://127.0.0.1/cb"]}), b""], (*COMMON, *JSON_TOKENS)),
    values(NAMES).map(encode),
)  # fmt: skip
TARGETS = [
    Target("guards", VALUES, check_guards, HOSTS, short=120),
    Target("fields", st.lists(st.tuples(st.sampled_from(FIELDS), VALUES), max_size=4).filter(
        lambda pairs: sum(name == b"content-type" for name, _ in pairs) < 3), check_fields, (),
        short=80),
    Target("ids", st.tuples(st.binary(max_size=60), texts()), check_ids, ((b"1", "a.1"),),
           short=60),
    Target("registration", REGISTRATIONS, check_registration, (b"", b"{}", b"[]"), short=80),
]  # fmt: skip
