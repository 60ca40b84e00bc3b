"""Texts: a transcript or its error, and what was read is written the same way each time."""

from hypothesis import strategies as st

from mcpd.errors import ConfigError
from mcpd.replay.recorder import Observation
from mcpd.replay.transcript import FIRST_LINE, Entry, Transcript, read, write
from mcpd.replay.transcript_writer import compose
from tests.fuzz.drawing import COMMON, JSON_TOKENS, encode, mutated, texts, values
from tests.fuzz.target import Target, corpus

SEEDS = corpus("transcripts")
TOKENS = (
    *COMMON, *JSON_TOKENS, b"\n\n", b"\n\n> 1 POST /x\n\n", b"\n\n< 1 200\n\n", b"| text\n",
    b"# c\n", b"< 1 event\n\n", b"< 1 end\n", b"> 1 close\n", b"> 1 forget\n", b"200|405",
    b" later ",
    b"> 99999999999999999999 GET /\n", b"> 1 ", b"< 1 ", b"|", b"a: b\n", b": ", "\u0661".encode(),
    FIRST_LINE.encode(), b"[" * 2000, b'{"a":' * 1500, b"9" * 5000, b"\x0b", b"\xc2\x85",
)  # fmt: skip
TEXTS = mutated(SEEDS, TOKENS).map(lambda data: data.decode("utf-8", "replace"))


def shape(transcript: Transcript) -> list[object]:
    """A transcript without where it stood in a file."""
    return [transcript.head, *(described(entry) for entry in transcript.entries)]


def described(entry: Entry) -> list[object]:
    """An entry without its line."""
    return [entry.title, entry.fields, encode(entry.body), entry.text]


def check_text(text: str) -> None:
    """Read, written, read again."""
    try:
        transcript = read(text, "t")
    except ConfigError as error:
        assert error.message
        return
    written = write(transcript)
    written.encode("utf-8")
    again = read(written, "t")
    assert shape(again) == shape(transcript), "it is not the same when it is written and read"
    assert write(again) == written, "it is not written the same way twice"


NAMES = st.sampled_from(("accept", "x", "authorization"))
FIELD_TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=12)
EVENTS = st.tuples(
    st.one_of(st.none(), values()),
    st.one_of(st.text(" \t|#>a\n", max_size=12), st.text(max_size=40)),
    st.lists(st.tuples(NAMES, FIELD_TEXT)),
)


def check_written(value: tuple[object, str, list[tuple[str, str]]]) -> None:
    """What a recorder writes is read as it was."""
    body, text, fields = value
    if body is not None:
        text = ""
    entries = [
        Entry("request", 1, method="POST", target="/x", fields=fields, body=body, text=text),
        Entry("response", 1, statuses=(200,), fields=fields, body=body, text=text),
        Entry("event", 1, timing="soon", body=body),
    ]
    transcript = Transcript({"client": "a"}, entries)
    written = write(transcript)
    written.encode("utf-8")
    assert shape(read(written, "t")) == shape(transcript)


BODIES = st.one_of(
    mutated([b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}',
             b"a=b&token=c",
             b'{"jsonrpc":"2.0","id":1,"result":{"token":"abc","at":"2026-01-01T00:00:00Z"}}'],
            TOKENS),
    values(("jsonrpc", "id", "result", "method", "params", "error", "token", "tools", "_meta"),
           ("2.0", 1, "Bearer abc", "https://a.example/x?token=b", "tools/list")).map(encode),
)  # fmt: skip
NESTED = st.tuples(st.sampled_from((60, 127, 128, 129, 400, 900, 3000)), BODIES).map(
    lambda parts: b"[" * parts[0] + parts[1] + b"]" * parts[0]
)
RECORDED = st.tuples(st.one_of(BODIES, NESTED), st.one_of(BODIES, NESTED), BODIES, FIELD_TEXT)


def check_recording(value: tuple[bytes, bytes, bytes, str]) -> None:
    """Whatever passed is a transcript that is read as it was written, without the secret."""
    asked, answered, event, text = value
    fields = [("x", text)]
    seen = [
        Observation("request", 1, 0.0, "POST", f"/mcp?x={SECRET}", fields=fields, body=asked),
        Observation("response", 1, 0.1, status=200, fields=fields, body=answered),
        Observation("event", 1, 2.0, body=event, event_id="7"),
        Observation("end", 1, 30.0),
    ]
    made = compose(seen, {"client": "a"}, secrets=[SECRET], base="http://127.0.0.1:8000")
    written = write(made)
    assert SECRET not in written
    assert write(read(written.encode().decode(), "t")) == written


SECRET = "s3cr3t-s3cr3t"
TARGETS = [
    Target("recording", RECORDED, check_recording,
           ((b"[" * 900 + b"]" * 900, b"[" * 3000, b"", ""), (b"\r\n", b"a\rb", b"\0", "x")),
           short=60),
    Target("transcript", st.one_of(TEXTS, TEXTS, texts()), check_text,
           tuple(seed.decode() for seed in SEEDS), short=120),
    Target("written-transcript", EVENTS, check_written, ((None, "a\nb", [("x", "y")]),), short=80),
]  # fmt: skip
