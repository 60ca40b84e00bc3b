"""Transcripts as text, and what is never in one."""

import html
import json
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote, quote_plus

import msgspec
import pytest

from mcpd.errors import ConfigError
from mcpd.replay.matching import Bindings, differences
from mcpd.replay.recorder import Observation
from mcpd.replay.transcript import read, write
from mcpd.replay.transcript_writer import compose

TEXT = """mcpd transcript 1
client: someone 1.0
scenario: call
# a remark

> 1 POST /mcp/
accept: application/json, text/event-stream

{"jsonrpc": "2.0", "id": 0, "method": "initialize"}

< 1 200|202
content-type: text/event-stream
mcp-session-id: <session-1>

< 1 soon event
id: <event-1>

{"jsonrpc": "2.0", "id": 0, "result": {}}

< 1 end

> 2 later POST /register
content-type: application/x-www-form-urlencoded

| a=b

< 2 405

> 3 GET /mcp/

> 3 close
"""


def test_a_text_is_read_and_written_again():
    transcript = read(TEXT, "someone/call")
    assert transcript.head == {"client": "someone 1.0", "scenario": "call"}
    kinds = [(e.kind, e.number, e.timing, e.line) for e in transcript.entries]
    assert kinds == [
        ("request", 1, "", 6),
        ("response", 1, "", 11),
        ("event", 1, "soon", 15),
        ("end", 1, "", 20),
        ("request", 2, "later", 22),
        ("response", 2, "", 27),
        ("request", 3, "", 29),
        ("close", 3, "", 31),
    ]
    assert transcript.entries[1].statuses == (200, 202)
    assert transcript.entries[4].text == "a=b"
    assert write(transcript) == TEXT.replace("# a remark\n", "")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("mcpd transcript 1", "something else"), "is no transcript"),
        (("< 1 200|202", "< 1 OK"), "neither a request nor a response"),
        (('"id": 0, "method"', '"id": 0 "method"'), "no JSON"),
        (("< 1 end", "< 7 end"), "exchange 7 is out of place"),
        (("> 2 later POST", "> 1 POST"), "exchange 1 is out of place"),
        (("accept: application/json", "accept application/json"), "no header field"),
        (("POST /mcp/", "POST .evil.example/mcp/"), "line 6: the target '.evil.example/mcp/'"),
        (("POST /mcp/", "POST @evil.example/"), "begins with one slash"),
        (("POST /mcp/", "POST :9/"), "begins with one slash"),
        (("POST /mcp/", "POST //evil.example/"), "begins with one slash"),
        (("POST /mcp/", "POST http://evil.example/"), "begins with one slash"),
        (("POST /mcp/", "POST <base>.evil.example/"), "begins with one slash"),
        (("POST /mcp/", "POST mcp/"), "begins with one slash"),
        (("POST /mcp/", "POST *"), "begins with one slash"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(change, told):
    with pytest.raises(ConfigError, match=told):
        read(TEXT.replace(*change), "someone/call")


SECRET = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtZSJ9.c2lnbmF0dXJl"
OPAQUE = "s3cr3t-value-of-the-client"


def observed(*observations):
    return [Observation(when=float(place) / 20, **o) for place, o in enumerate(observations)]


def test_a_lone_surrogate_stays_an_escape():
    """It is JSON, and has no UTF-8: the file could not be written."""
    text = TEXT.replace('"initialize"', '"\\ud800"')
    written = write(read(text, "t"))
    assert '"\\ud800"' in written
    assert write(read(written.encode().decode(), "t")) == written


@pytest.mark.parametrize("depth", [129, 900, 5000])
def test_a_body_without_end_is_told_with_its_line(depth):
    text = TEXT.replace(
        '{"jsonrpc": "2.0", "id": 0, "method": "initialize"}', "[" * depth + "]" * depth
    )
    with pytest.raises(ConfigError, match=r"line 6: .* deeper than 128"):
        read(text, "t")


@pytest.mark.parametrize(("depth", "is_json"), [(128, True), (129, False), (900, False)])
def test_a_body_that_is_nested_too_deep_is_recorded_as_text(depth, is_json):
    """It ended the recording, and everything that was recorded before was lost."""
    body = b"[" * depth + b"]" * depth
    seen = observed(
        {"kind": "request", "number": 1, "method": "POST", "target": "/mcp", "body": b"{}"},
        {"kind": "response", "number": 1, "status": 200, "body": body},
    )
    made = compose(seen, {"client": "a"}, secrets=[], base="http://127.0.0.1:1")
    answer = made.entries[-1]
    assert ((answer.body is not None), answer.text) == (is_json, "" if is_json else body.decode())
    assert write(read(write(made), "t")) == write(made)


def test_secrets_and_what_changes_are_replaced():
    seen = observed(
        {
            "kind": "request", "number": 1, "method": "POST", "target": f"/token?code={OPAQUE}&x=1",
            "fields": [("authorization", f"Bearer {SECRET}"), ("cookie", f"a={OPAQUE}"),
                       ("x-other", f"has {OPAQUE} in it"), ("host", "127.0.0.1:9")],
            "body": f"client_secret={OPAQUE}&grant_type=x".encode(),
        },
        {
            "kind": "response", "number": 1, "status": 200,
            "fields": [("mcp-session-id", "4f2c-some-session"), ("set-cookie", OPAQUE),
                       ("www-authenticate", 'Bearer url="http://127.0.0.1:9/x"'),
                       ("date", "now")],
            "body": f'{{"access_token":"{OPAQUE}","client_id":"c-1234",'.encode()
                    + b'"at":"2026-01-02T03:04:05Z"}',
        },
        {
            "kind": "request", "number": 2, "method": "GET", "target": "/mcp/",
            "fields": [("mcp-session-id", "4f2c-some-session"), ("last-event-id", "e-77"),
                       ("authorization", "Bearer not-a-token")],
        },
        {"kind": "event", "number": 2, "event_id": "e-77",
         "body": b'{"jsonrpc":"2.0","id":"ask-99","method":"roots/list"}'},
        {"kind": "request", "number": 3, "method": "POST", "target": "/mcp/",
         "body": b'{"jsonrpc":"2.0","id":"ask-99","result":{"note":"session 4f2c-some-session"}}'},
    )  # fmt: skip
    seen += observed({"kind": "response", "number": 2, "status": 200},
                     {"kind": "response", "number": 3, "status": 202})  # fmt: skip
    text = write(compose(seen, {}, secrets=[OPAQUE], base="http://127.0.0.1:9"))
    for secret in (SECRET, OPAQUE, "4f2c-some-session", "e-77", "ask-99", "c-1234", "127.0.0.1"):
        assert secret not in text, secret
    for shown in (
        "authorization: Bearer <token>",
        "authorization: Bearer <bad-token>",
        "cookie: <secret>",
        "code=<secret>",
        "client_secret=<secret>",
        "mcp-session-id: <session-1>",
        "last-event-id: <event-1>",
        '"id": "<ask-1>"',
        '"at": "<time>"',
        'url="<base>/x"',
        "session <session-1>",
    ):
        assert shown in text, shown
    assert read(text).entries[2].method == "GET"


S = "hunter2-is-the-secret"


@pytest.mark.parametrize(
    "observation",
    [
        {"fields": [("x-api-key", S)]},
        {"fields": [("X-Auth-Token", S)]},
        {"fields": [("api-key", S)]},
        {"fields": [("authorization", f"Digest user={S}")]},
        {"body": f'{{"accessToken":"{S}"}}'.encode()},
        {"body": f'{{"deep":[{{"clientSecret":"{S}"}}]}}'.encode()},
        {"body": f'{{"api-key":"{S}"}}'.encode()},
        {"body": f'{{"text":"{{\\"access_token\\": \\"{S}\\"}}"}}'.encode()},
        {"body": f'{{"password":["{S}"]}}'.encode()},
        {"body": f"<a href='/x#access_token={S}'>".encode()},
        {"target": f"/callback#access_token={S}&x=1"},
        {"target": f"/mcp/?api_key={S}"},
        *(
            {"fields": [(name, S)]}
            for name in (
                "private-token",
                "x-vault-token",
                "x-access-token",
                "x-amz-security-token",
                "ocp-apim-subscription-key",
                "x-goog-api-key",
            )
        ),
        *(
            {"body": f'{{"{name}":"{S}"}}'.encode()}
            for name in ("Authorization", "passwd", "github_token", "aws_secret_access_key")
        ),
        *(
            {"body": msgspec.json.encode({"arguments": {name: S}})}
            for name in (
                "pin",
                "auth",
                "key",
                "pwd",
                "passphrase",
                "bearer",
                "tokens",
                "userPin",
                "x-auth",
                "apiKeys",
                "API_KEY",
                "openai_key",
                "basicAuth",
                "signature",
                "otp",
                "pass",
                "passcode",
                "clientSecrets",
                "X-Amz-Signature",
            )
        ),
        *(
            {"target": f"/f?a=1&{name}={S}"}
            for name in (
                "X-Amz-Signature",
                "X-Amz-Credential",
                "X-Goog-Signature",
                "sig",
                "key",
                "pwd",
                "client%5Fsecret",
            )
        ),
        {"body": msgspec.json.encode({"tokens": {"alice": S}})},
        {"body": msgspec.json.encode({"auth": [{"password": {"value": S}}]})},
        {"body": f"<password>{S}</password>".encode()},
        {"body": f"password: {S}".encode()},
        {"body": f"{{'password': '{S}'}}".encode()},
        {"body": f'password = "{S}"'.encode()},
        {"body": f"POST / HTTP/1.1\nCookie: a=b; c={S}\n".encode()},
        {"body": f"next=https%3A%2F%2Fx%2F%3Faccess_token%3D{S}".encode()},
        {"body": f"next=https://x/?access_token={S}".encode()},
        {"body": b"data=" + b64encode(msgspec.json.encode({"password": S}))},
        {"body": msgspec.json.encode({"data": urlsafe_b64encode(f"pwd={S}".encode()).decode()})},
        {"fields": [("authorization", f"Bearer {S}")], "body": f'{{"echo":"it was {S}"}}'.encode()},
        {"fields": [("x-api-key", S)], "target": f"/mcp/{S}"},
        {"body": f'{{"text":"curl -H \\"Authorization: Bearer {S}\\""}}'.encode()},
    ],
)
def test_secrets_go_by_many_names(observation):
    asked = {"kind": "request", "number": 1, "method": "GET", "target": "/", **observation}
    text = write(compose(observed(asked), {}, secrets=[], base="http://x"))
    assert S not in text, text


ODD = "p&ss/wört+1?=x"


@pytest.mark.parametrize(
    "spell",
    [
        lambda s: s,
        lambda s: quote(s, safe=""),
        lambda s: quote(s, safe="").lower(),
        quote_plus,
        lambda s: quote(quote(s, safe=""), safe=""),
        lambda s: b64encode(s.encode()).decode(),
        lambda s: b64encode(s.encode()).decode().rstrip("="),
        lambda s: urlsafe_b64encode(s.encode()).decode(),
        lambda s: b64encode(f"me:{s}".encode()).decode(),
        lambda s: b64encode(b"\xff\x00binary" + s.encode() + b"\xfe").decode(),
        lambda s: b64encode(b64encode(s.encode())).decode(),
        lambda s: s.encode().hex(),
        lambda s: json.dumps(s)[1:-1],
        html.escape,
    ],
)
@pytest.mark.parametrize("secret", [S, ODD])
@pytest.mark.parametrize("place", ['{"x": %s}', "{%s: 1}", '{"deep": [{%s: {"y": 2}}]}'])
def test_a_known_secret_is_found_in_every_spelling(spell, secret, place):
    spelt = spell(secret)
    for around in ("{}", "before {} behind", "/path/{}/x"):
        body = (place % json.dumps(around.format(spelt))).encode()
        seen = observed(
            {"kind": "request", "number": 1, "method": "POST", "target": "/", "body": body,
             "fields": [("x-api-key", secret)]},
            {"kind": "response", "number": 1, "status": 200, "body": body},
        )  # fmt: skip
        text = write(compose(seen, {}, secrets=[], base="http://x"))
        assert spelt not in text
        assert secret not in text


PEM = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n-----END OPENSSH PRIVATE KEY-----"


@pytest.mark.parametrize(
    "secret",
    [
        PEM,
        PEM.partition("\n-----END")[0],  # cut off
        "ghp_" + "a1B2" * 9,
        "mcpd_" + "a1B2" * 3 + "_" + "c3D4" * 12 + "e",
        "mcpd_" + "a1B2" * 3 + "_" + "c3D4" * 5,  # cut off
        "gho_" + "a1B2" * 9,
        "github_pat_" + "11ABCDEFG0" * 4,
        "glpat-" + "a1B2_" * 4,
        "sk-" + "a1B2" * 8,
        "sk-ant-api03-" + "a1B2" * 8,
        "sk_live_" + "a1B2" * 6,
        "xoxb-" + "123456789012-" * 2 + "abcDEF",
        "xoxp-" + "123456789012-" * 2 + "abcDEF",
        "AKIA" + "ABCD" * 4,
        "ASIA" + "ABCD" * 4,
        "AIza" + "SyA1b" * 7,
        "ya29." + "a1B2" * 8,
        "npm_" + "a1B2" * 9,
        "hf_" + "aBcD" * 8,
        SECRET,
    ],
)
@pytest.mark.parametrize("place", ["{}", "it is {}.", "x={}", "({})", '"{}"'])
def test_a_secret_is_known_by_its_shape(secret, place):
    for body in ({"text": place.format(secret)}, {place.format(secret): 1}):
        asked = {"kind": "request", "number": 1, "method": "POST", "target": "/mcp/",
                 "body": msgspec.json.encode(body)}  # fmt: skip
        text = write(compose(observed(asked), {}, secrets=[], base="http://x"))
        assert secret.splitlines()[-1] not in text
        assert secret[4:20] not in text


def test_basic_credentials_are_known_by_their_password():
    header = "Basic " + b64encode(f"me:{S}".encode()).decode()
    asked = {"kind": "request", "number": 1, "method": "POST", "target": "/mcp/",
             "fields": [("authorization", header), ("cookie", "sid=c00kie-value; a=b")],
             "body": f'{{"echo": "{S} and c00kie-value"}}'.encode()}  # fmt: skip
    text = write(compose(observed(asked), {}, secrets=[], base="http://x"))
    assert S not in text
    assert "c00kie-value" not in text


def test_what_the_server_gave_as_a_secret_is_one_everywhere():
    seen = observed(
        {"kind": "request", "number": 1, "method": "POST", "target": "/token"},
        {"kind": "response", "number": 1, "status": 200,
         "body": b'{"refresh_token": "r3fresh-value"}'},
        {"kind": "request", "number": 2, "method": "POST", "target": "/mcp/",
         "body": b'{"note": "I have r3fresh-value"}'},
    )  # fmt: skip
    assert "r3fresh-value" not in write(compose(seen, {}, secrets=[], base="http://x"))


@pytest.mark.parametrize(
    "body",
    [
        {"max_tokens": "100", "progressToken": "p", "publicKey": "k", "author": "me", "spin": "x"},
        {"properties": {"password": {"type": "string", "title": "Password"}}},
        {"sort_key": "name", "monkey": "x", "keyboard": "y", "idempotency-key": "z"},
        {"text": "task-0123456789abcdef0123 and /a/b/c/d/e/f/g/h/i/j/k/l"},
        {"data": b64encode(b"only a picture of nothing at all").decode()},
    ],
)
def test_what_is_no_secret_stays(body):
    asked = {"kind": "request", "number": 1, "method": "POST", "target": "/mcp/",
             "body": msgspec.json.encode(body)}  # fmt: skip
    assert compose(observed(asked), {}, secrets=[], base="http://x").entries[0].body == body


def test_a_key_of_an_argument_is_another_one_each_time_and_the_same_in_one_run():
    def call(number, key):
        params = {"name": "x", "arguments": {"key": key}}
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "params": params})
        return {"kind": "request", "number": number, "method": "POST", "target": "/", "body": body}

    seen = observed(call(1, "one"), call(2, "two"), call(3, "one"))
    entries = compose(seen, {}, secrets=[], base="http://x").entries
    keys = [Bindings().fill(e.body)["params"]["arguments"]["key"] for e in entries[:3]]
    assert len(set(keys)) == 3
    bindings = Bindings()
    one, two, again = (bindings.fill(e.body)["params"]["arguments"]["key"] for e in entries[:3])
    assert one == again != two
    assert "<" not in one


def test_the_command_that_made_a_recording_is_scrubbed_too():
    head = {"command": f"client --token={S} --header 'Authorization: Bearer {SECRET}'"}
    text = write(compose([], head, secrets=[S], base="http://x"))
    assert S not in text
    assert SECRET not in text
    assert "client --token=<secret>" in text


@pytest.mark.parametrize(
    "words",
    ["--token {}", "--api-key {}", "--header 'Authorization: Bearer {}'", "http://me:{}@h/mcp",
     "--client-secret={}", "--header x-api-key={}", "MCP_TOKEN={} client"],
)  # fmt: skip
def test_secrets_in_a_command(words):
    head = {"command": f"client {words.format(S)} list"}
    text = write(compose([], head, secrets=[], base="http://x"))
    assert S not in text
    assert "list" in text


def test_a_numeric_password_and_what_is_no_secret():
    body = b'{"password":1234567,"error":{"code":-32600},"_meta":{"progressToken":77}}'
    asked = {"kind": "request", "number": 1, "method": "POST", "target": "/", "body": body}
    text = write(compose(observed(asked), {}, secrets=[], base="http://x"))
    assert "1234567" not in text
    assert "-32600" in text
    assert "77" in text


def test_credentials_without_a_scheme_are_a_secret():
    bare = {"kind": "request", "number": 1, "method": "GET", "target": "/mcp/",
            "fields": [("authorization", "sk-live-0123456789")]}  # fmt: skip
    text = write(compose(observed(bare), {}, secrets=[], base="http://x"))
    assert "sk-live" not in text
    assert "authorization: <token>" in text


def test_a_session_that_the_server_lost_is_marked():
    def post(number, session):
        return {"kind": "request", "number": number, "method": "POST", "target": "/mcp/",
                "fields": [("mcp-session-id", session)]}  # fmt: skip

    seen = observed(
        post(1, "one"), {"kind": "response", "number": 1, "status": 202},
        post(2, "one"), {"kind": "response", "number": 2, "status": 404},
        post(3, "one"), {"kind": "response", "number": 3, "status": 404},
        post(4, "never"), {"kind": "response", "number": 4, "status": 404},
    )  # fmt: skip
    text = write(compose(seen, {}, secrets=[], base="http://x"))
    assert text.count("> 1 forget") == 1
    assert text.index("> 1 forget") < text.index("> 2 POST")
    assert read(text).entries[2].kind == "forget"


def test_lists_keep_what_the_client_used():
    seen = observed(
        {"kind": "request", "number": 1, "method": "POST", "target": "/mcp/",
         "body": b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}'},
        {"kind": "response", "number": 1, "status": 200,
         "body": b'{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a"},{"name":"b","x":1}]}}'},
        {"kind": "request", "number": 2, "method": "POST", "target": "/mcp/",
         "body": b'{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"b"}}'},
        {"kind": "response", "number": 2, "status": 200,
         "body": b'{"jsonrpc":"2.0","id":2,"error":{"code":-32602,"message":"no"}}'},
    )  # fmt: skip
    entries = compose(seen, {}, secrets=[], base="http://x").entries
    assert entries[1].body["result"]["tools"] == [{"name": "b"}, "..."]
    assert entries[3].body["error"] == {"code": -32602, "message": "<any>"}


def test_what_was_never_answered_can_be_played_all_the_same():
    """The server went away, or the recording ended."""
    asked = {"kind": "request", "number": 1, "method": "GET", "target": "/mcp/"}
    text = write(compose(observed(asked), {}, secrets=[], base="http://x"))
    assert [entry.kind for entry in read(text).entries] == ["request", "close"]


@pytest.mark.parametrize("value", [3, 1.5, True, "on"])
def test_what_goes_by_a_secret_name_and_is_none_still_matches(value):
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "result": {"state": value}})
    seen = observed({"kind": "request", "number": 1, "method": "POST", "target": "/mcp/"},
                    {"kind": "response", "number": 1, "status": 200, "body": body})  # fmt: skip
    expected = compose(seen, {}, secrets=[], base="http://x").entries[1].body
    assert differences(expected, msgspec.json.decode(body), Bindings()) == []
