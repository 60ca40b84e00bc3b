"""Lines on byte streams: bounded, whole, and read in linear time."""

import pytest
import trio
import trio.testing

from mcpd.rpc import lines
from mcpd.rpc.lines import LineWriter, read_lines


class Counting(trio.abc.ReceiveStream):
    """Gives a long line in small pieces, and counts what is copied to find its end."""

    def __init__(self, pieces):
        self.pieces = list(pieces)

    async def receive_some(self, max_bytes=None):
        await trio.lowlevel.checkpoint()
        return self.pieces.pop(0) if self.pieces else b""

    async def aclose(self):
        await trio.lowlevel.checkpoint()


async def read_all(pieces, max_bytes=100):
    return [line async for line in read_lines(Counting(pieces), max_bytes)]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([b"a\nb\n"], [b"a", b"b"]),
        ([b"a", b"b", b"\n", b"c"], [b"ab", b"c"]),
        ([b"a\n\nb"], [b"a", b"", b"b"]),
        ([b"x" * 101, b"y\nok\n"], [None, b"ok"]),
        ([b"x" * 60, b"x" * 60, b"\nok\n"], [None, b"ok"]),
        ([b"x" * 101 + b"\nok"], [None, b"ok"]),
        ([b"ok\n" + b"x" * 101], [b"ok", None]),
        ([b"x" * 100 + b"\n"], [b"x" * 100]),
        ([], []),
    ],
)
async def test_lines_are_found_however_they_arrive(pieces, expected):
    assert await read_all(pieces) == expected


async def test_a_long_line_in_small_pieces_is_put_together_once(monkeypatch):
    joined = []

    class Piece(bytes):
        """Adding to what is there already copies all of it again."""

        def __radd__(self, other):
            joined.append(len(other))
            return bytes(other) + bytes(self)

    pieces = [Piece(b"x" * 1000) for _ in range(500)] + [b"\n"]
    (line,) = await read_all(pieces, max_bytes=10**6)
    assert len(line) == 500_000
    assert sum(joined) < 10_000


async def test_half_a_line_is_the_end(monkeypatch, autojump_clock):
    """Whoever does not read for WRITE_S has half a line, and the next would be glued to it."""
    sent = []

    class Stuck(trio.abc.SendStream):
        async def send_all(self, data):
            sent.append(bytes(data[:2]))
            await trio.sleep_forever()

        async def wait_send_all_might_not_block(self):
            await trio.lowlevel.checkpoint()

        async def aclose(self):
            await trio.lowlevel.checkpoint()

    writer = LineWriter(Stuck())
    with pytest.raises(trio.BrokenResourceError):
        await writer.send(b"one")
    with pytest.raises(trio.BrokenResourceError):
        await writer.send(b"two")
    assert sent == [b"on"]
    assert trio.current_time() >= lines.WRITE_S
