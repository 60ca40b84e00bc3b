"""The era of a request, decided once: by ``_meta``, else by the header, else by what is served."""

import msgspec
import pytest

from mcpd.errors import InvalidParams
from mcpd.mcp.envelope.classify import BOTH_ERAS, Envelope, Era, classify, hinted_era
from mcpd.mcp.envelope.params import META_VERSION, read_common
from mcpd.rpc.messages import Call, RequestId

HANDSHAKE, MODERN = frozenset({Era.HANDSHAKE}), frozenset({Era.MODERN})
META_MODERN = {"_meta": {META_VERSION: "2026-07-28"}}
META_OLD = {"_meta": {META_VERSION: "2025-11-25"}}
META_ODD = {"_meta": {META_VERSION: 7}}


def call(method="tools/call", params=None) -> Call:
    return Call(RequestId(b"1"), method, msgspec.Raw(msgspec.json.encode(params or {})))


def classified(made: Call, **options) -> Envelope:
    return classify(made, read_common(made.params), **options)


@pytest.mark.parametrize(
    ("version", "era"),
    [
        (None, None),
        ("", None),
        ("nonsense", None),
        ("2024-11-05", Era.HANDSHAKE),
        ("2025-11-25", Era.HANDSHAKE),
        ("2026-07-28", Era.MODERN),
    ],
)
def test_the_header_hints_at_the_era(version, era):
    assert hinted_era(version) is era


@pytest.mark.parametrize(
    ("params", "hint", "served", "era"),
    [
        ({}, None, BOTH_ERAS, Era.HANDSHAKE),
        ({}, Era.HANDSHAKE, BOTH_ERAS, Era.HANDSHAKE),
        ({}, Era.MODERN, BOTH_ERAS, Era.MODERN),
        (META_MODERN, None, BOTH_ERAS, Era.MODERN),
        (META_MODERN, Era.HANDSHAKE, BOTH_ERAS, Era.MODERN),
        (META_OLD, None, BOTH_ERAS, Era.MODERN),  # refused there, with the versions
        (META_ODD, None, BOTH_ERAS, Era.MODERN),
        ({"_meta": {}}, None, BOTH_ERAS, Era.HANDSHAKE),
        ({}, None, MODERN, Era.MODERN),
        (META_MODERN, Era.MODERN, HANDSHAKE, Era.HANDSHAKE),
    ],
)
def test_the_body_decides_and_the_header_hints(params, hint, served, era):
    envelope = classified(call(params=params), hint=hint, served=served)
    assert (envelope.era, envelope.begins_session) == (era, False)


@pytest.mark.parametrize("hint", [None, Era.HANDSHAKE, Era.MODERN])
@pytest.mark.parametrize(
    ("params", "begins"), [({}, True), (META_OLD, True), (META_ODD, True), (META_MODERN, False)]
)
def test_initialize_begins_a_session_unless_its_metadata_is_modern(params, begins, hint):
    envelope = classified(call("initialize", params), hint=hint)
    assert envelope.begins_session is begins
    assert envelope.era is (Era.HANDSHAKE if begins else Era.MODERN)


def test_params_are_read_once_with_all_that_methods_have_in_common():
    given = {
        "name": "add",
        "arguments": {"a": 1},
        "_meta": {"progressToken": 0},
        "inputResponses": {"k": {}},
        "requestState": "s",
    }
    params = classified(call(params=given)).params
    assert params.text("name") == "add"
    assert bytes(params.given_arguments) == b'{"a":1}'
    assert params.meta.progress_token == 0
    assert params.request_state == "s"


@pytest.mark.parametrize("member", ["name", "uri", "taskId"])
@pytest.mark.parametrize("value", [None, 1, {}])
def test_a_member_that_must_be_text_is_named_when_it_is_none(member, value):
    params = classified(call(params={member: value})).params
    with pytest.raises(InvalidParams, match=rf"params\.{member} must be a string"):
        params.text(member)


@pytest.mark.parametrize("meta", [1, "x", []])
def test_metadata_that_is_no_object_is_refused(meta):
    with pytest.raises(InvalidParams, match="_meta is wrong"):
        classified(call(params={"_meta": meta}))


def test_null_is_read_as_nothing_where_clients_send_it():
    params = read_common(msgspec.Raw(b'{"_meta": null, "arguments": null}'))
    assert params.meta.version is msgspec.UNSET
    assert bytes(params.given_arguments) == b"{}"


@pytest.mark.parametrize("served", [HANDSHAKE, BOTH_ERAS])
def test_initialize_begins_a_session_unless_it_is_modern_where_that_is_served(served):
    envelope = classified(call("initialize", META_MODERN), served=served)
    assert envelope.begins_session is (Era.MODERN not in served)
