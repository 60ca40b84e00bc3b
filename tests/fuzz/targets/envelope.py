"""What a message says of its sender: an envelope and a caller, or a refusal, for any params."""

from typing import Any

import msgspec
from hypothesis import strategies as st

from mcpd.auth.principals import LOCAL_PRINCIPAL
from mcpd.errors import DeclarationError, PeerError
from mcpd.http.messages import Headers
from mcpd.mcp.envelope import headers as mirrored
from mcpd.mcp.envelope import params as common
from mcpd.mcp.envelope.classify import BOTH_ERAS, Era, classify, hinted_era
from mcpd.mcp.envelope.handshake import handshake_caller
from mcpd.mcp.envelope.modern import modern_caller
from mcpd.mcp.revisions import VERSION_NAMES
from mcpd.rpc.messages import Call, RequestId, decode, encode_call
from mcpd.sessions.record import Session, SessionId
from tests.fuzz.drawing import encode, texts, values
from tests.fuzz.target import Target

METHODS = ("initialize", "tools/call", "tools/list", "tasks/get", "resources/read", "ping", "x")
META = {
    common.META_VERSION: "2026-07-28",
    common.META_CLIENT_INFO: {"name": "a", "version": "1"},
    common.META_CAPABILITIES: {},
}
NAMES = (
    common.META_VERSION, common.META_CLIENT_INFO, common.META_CAPABILITIES, common.META_LOG_LEVEL,
    "progressToken", "_meta", "name", "uri", "taskId", "arguments", "task", "inputResponses",
    "requestState", "elicitation", "form",
)  # fmt: skip
LEAVES = (*VERSION_NAMES, "info", "1900-01-01", "x", {}, [])
ANY = values(NAMES, LEAVES)
METAS = st.one_of(
    st.just(META),
    st.dictionaries(st.sampled_from(NAMES), ANY, max_size=4).map(lambda m: META | m),
    ANY,
)
PARAMS = st.one_of(
    st.dictionaries(st.sampled_from(NAMES), ANY, max_size=5),
    st.builds(lambda meta, more: {**more, "_meta": meta}, METAS,
              st.dictionaries(st.sampled_from(NAMES), ANY, max_size=3)),
)  # fmt: skip
VALUE = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=12)
ENCODED = ("=?base64?eA==?=", "=?base64?x?=")
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(("mcp-protocol-version", "mcp-method", "mcp-name", "mcp-param-a")),
        st.one_of(
            st.sampled_from((*VERSION_NAMES, *METHODS, "=?base64?eA==?=", "=?base64?x?=")), VALUE
        ),
    ),
    max_size=4,
)
INPUT = st.tuples(
    st.sampled_from(METHODS), PARAMS, HEADERS, st.sampled_from((*VERSION_NAMES, "", "x"))
)
SESSION = Session(id=SessionId("s"), created_at=0.0, last_activity=0.0)


def as_headers(pairs: list[tuple[str, str]]) -> Headers:
    """Fields as the parser gives them: without white space around their values."""
    return Headers((name.encode(), value.strip().encode("latin-1")) for name, value in pairs)


def check_caller(value: tuple[str, Any, list[tuple[str, str]], str]) -> None:
    """An envelope and a caller in each era, or what the client did wrong."""
    method, params, pairs, version = value
    headers = as_headers(pairs)
    try:
        call = decode(encode_call(Call(RequestId(b"1"), method, msgspec.Raw(encode(params)))))
    except PeerError:
        return  # lone surrogates
    for served in (BOTH_ERAS, frozenset({Era.MODERN}), frozenset({Era.HANDSHAKE})):
        try:
            given = common.read_common(call.params)
            envelope = classify(call, given, hint=hinted_era(version), served=served)
        except PeerError:
            continue
        assert envelope.era in served or envelope.begins_session
        for callers in (
            lambda: modern_caller(call, envelope.params, headers, LOCAL_PRINCIPAL),
            lambda: modern_caller(call, envelope.params, None, LOCAL_PRINCIPAL),
            lambda: handshake_caller(SESSION, LOCAL_PRINCIPAL, version or None),
        ):
            try:
                caller = callers()
            except PeerError as error:
                msgspec.json.encode([error.message, error.fix, error.received, error.data])
                continue
            assert isinstance(caller.client_capabilities, dict)
            assert isinstance(caller.client_info, dict)
            caller.wants_log("error")


def check_value(text: str) -> None:
    """Any text that is UTF-8 comes back out of its header."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return
    encoded = mirrored.encode_value(text)
    sent = Headers([(b"mcp-name", encoded.encode("latin-1").strip())])
    assert mirrored.decode_value(sent.one(b"mcp-name") or "", "Mcp-Name") == text
    mirrored.check_header(sent, b"mcp-name", text, "params.name", encoded=True)


SCHEMA_NAMES = ("properties", "type", "x-mcp-header", "a", "b", "items", "$ref")
SCHEMAS = values(SCHEMA_NAMES, ("string", "integer", "object", "A", "b c", "a"))
DECLARED = st.builds(
    lambda kinds: {"type": "object", "properties": kinds},
    st.dictionaries(
        st.sampled_from(("a", "b", "c")),
        st.builds(lambda kind, name: {"type": kind, "x-mcp-header": name},
                  st.sampled_from(("string", "integer", "boolean", "object")),
                  st.sampled_from(("A", "B", "a"))),
        max_size=3,
    ),
)  # fmt: skip


def check_parameters(value: tuple[Any, list[tuple[str, str]], Any]) -> None:
    """Schemas of any shape, headers and arguments of any value."""
    schema, pairs, arguments = value
    list(mirrored.reachable(schema))
    try:
        found = mirrored.mirrored_parameters("t", schema)
    except DeclarationError:
        return
    try:
        call = decode(encode_call(Call(RequestId(b"1"), "x", msgspec.Raw(encode(arguments)))))
        mirrored.check_mirrored(as_headers(pairs), found, call.params)
    except PeerError:
        return


TARGETS = [
    Target("envelope", INPUT, check_caller,
           (("tools/call", {"name": "x", "_meta": META}, [], ""),), short=120),
    Target("mirrored-value", texts(), check_value, ("", " a", "=?base64?x?=", "é", "\t"), short=60),
    Target("mirrored-parameters",
           st.tuples(st.one_of(DECLARED, SCHEMAS), HEADERS,
                     st.dictionaries(st.sampled_from(("a", "b")), values(), max_size=2)),
           check_parameters, short=60),
]  # fmt: skip
