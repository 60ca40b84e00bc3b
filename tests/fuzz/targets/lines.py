"""Lines on pipes, as stdio and the bridge have them: the same lines however they are cut."""

import json
from typing import Any

import msgspec
import trio
import trio.testing
from hypothesis import strategies as st

from mcpd.client.client import keys_of
from mcpd.client.messages import is_id, read_messages, read_outgoing, with_id
from mcpd.client.mirroring import ParameterMirrors
from mcpd.client.session import _read_terms
from mcpd.errors import PeerError
from mcpd.rpc.lines import LineWriter, read_lines
from mcpd.rpc.messages import Notification, RpcResponse
from tests.fuzz.drawing import COMMON, JSON_TOKENS, cuts, encode, mutated, pieces, values
from tests.fuzz.target import Target, corpus

MAX_BYTES = 24
SEEDS = corpus("rpc")
MODERN = next(seed for seed in SEEDS if b"clientCapabilities" in seed)
TOKENS = (
    *COMMON, *JSON_TOKENS, b'"error":{"code":1,"message":"x"},', b'"error":null,', b'"error":{},',
    b'"error":{"code":1e3},', b'"id":[],', b'"id":1e999,', b'"id":1.0,', b'"result":1e999,',
    b'"result":{},',
)  # fmt: skip


class Pieces(trio.abc.ReceiveStream):
    """A stream that gives these pieces."""

    def __init__(self, parts: list[bytes]) -> None:
        self._parts = [part for part in parts if part]

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return self._parts.pop(0) if self._parts else b""

    async def aclose(self) -> None:
        return


async def _lines(parts: list[bytes]) -> list[bytes | None]:
    return [line async for line in read_lines(Pieces(parts), MAX_BYTES)]


def check_lines(value: tuple[bytes, list[int]]) -> None:
    """The lines that are there; None in the place of each that is too long."""
    data, shares = value
    ends = data.split(b"\n")
    if not ends[-1]:
        ends.pop()
    expected = [line if len(line) <= MAX_BYTES else None for line in ends]
    for parts in ([data], pieces(data, shares)):
        assert trio.run(_lines, parts) == expected, "other lines than there are"


def check_writer(value: list[bytes]) -> None:
    """What is written at once by several tasks is whole lines."""

    async def write() -> bytes:
        stdout, other = trio.testing.memory_stream_one_way_pair()
        writer = LineWriter(stdout)
        async with trio.open_nursery() as nursery:
            for message in value:
                nursery.start_soon(writer.send, message)
        await stdout.aclose()
        found = b""
        while data := await other.receive_some():
            found += data
        return found

    lines = trio.run(write).split(b"\n")[:-1]
    assert sorted(lines) == sorted(value)


def check_outgoing(body: bytes) -> None:
    """A line of a client: what it is, or the refusal that it gets; then all that is read of it."""
    try:
        outgoing = read_outgoing(body)
    except PeerError:
        return
    mirrors = ParameterMirrors()
    mirrors.learn(LISTED)
    for call in outgoing.calls:
        assert isinstance(is_id(call.id), bool)
    try:
        keys_of(outgoing)
        for message in outgoing.messages:
            if not isinstance(message, RpcResponse):
                for name, value in mirrors.headers(message) or ():
                    assert b"\n" not in value, name
                    assert b"\r" not in value, name
                if isinstance(message, Notification):
                    msgspec.json.decode(message.params)
    except msgspec.DecodeError:
        return  # the bridge refuses these


LISTED = encode({"tools": [{"name": "echo", "inputSchema": {"properties": {
    "text": {"type": "string", "x-mcp-header": "Text"}}}}]})  # fmt: skip


def check_incoming(body: bytes) -> None:
    """A body of a server: lines for the client, each of them JSON, or none."""
    try:
        messages = read_messages(body)
    except msgspec.DecodeError:
        return
    for message in messages:
        for octet in b"\r\n":
            assert octet not in message.line, "a message over several lines"
        json.loads(message.line)
        assert message.key is None or not message.method
        if message.is_error:
            json.loads(with_id(message.line, b"7"))
        elif message.key is not None:
            ParameterMirrors().learn(message.result)
            _read_terms("s", message.result)


def check_lists(value: Any) -> None:
    """A list of tools of any server: something to mirror, or nothing."""
    text = encode(value)
    mirrors = ParameterMirrors()
    mirrors.learn(text)
    call = read_outgoing(MODERN).calls[0]
    for name, field in mirrors.headers(call) or ():
        assert b"\n" not in name + field
        assert b":" not in name


BODIES = mutated(SEEDS, TOKENS)
NAMES = ("tools", "name", "inputSchema", "properties", "x-mcp-header", "type", "text")
LISTS = st.one_of(
    values(NAMES, ("echo", "string", "Text")),
    values(NAMES, ("echo", "string", "Text")).map(lambda schema: {
        "tools": [{"name": "echo", "inputSchema": {"properties": {"text": schema}}}]}),
)  # fmt: skip
LINES = st.lists(st.binary(max_size=30), max_size=6).map(b"\n".join)
TARGETS = [
    Target("lines", st.tuples(LINES, cuts()), check_lines, ((b"a\n\nb", [0]),), short=80),
    Target("line-writer",
           st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line), max_size=5),
           check_writer, (), short=20),
    Target("outgoing", BODIES, check_outgoing, tuple(SEEDS), short=100),
    Target("incoming", BODIES, check_incoming, tuple(SEEDS), short=100),
    Target("listed-tools", LISTS, check_lists, (), short=60),
]  # fmt: skip
