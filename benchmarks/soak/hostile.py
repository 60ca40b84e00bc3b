"""Clients that leave in the middle, and bytes that no client should send."""

from dataclasses import dataclass
from random import Random

import trio

from benchmarks.soak.client import Target, open_session, rpc
from benchmarks.soak.judge import LOST, Cut, Wrong
from benchmarks.soak.peer import Head, Peer

HEAD_TIMEOUT_S = 3  # what the server is started with
SLOW_S = 0.25  # between two bytes
MAX_BODY_BYTES = 1024 * 1024  # what the server is started with
TLS_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
JSON = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "add",
        "Content-Type": "application/json"}  # fmt: skip


async def leave(target: Target, rng: Random) -> None:
    """Send a part, or all and do not wait, or read a part of the answer; then be gone."""
    call = {"name": "count", "arguments": {"key": "gone", "steps": 20, "pause_s": 0.05}}
    request = target.modern(1, "tools/call", call, "count")
    if rng.random() < 0.3:
        session = await open_session(target)
        request = session.call(session.number(), "count", call["arguments"])  # type: ignore[arg-type]
    async with target.connection() as peer:
        end = rng.choice((rng.randrange(1, len(request)), len(request)))
        await peer.send(request[:end])
        if end == len(request) and rng.random() < 0.7:
            with trio.move_on_after(rng.uniform(0, 0.5)):
                head = await peer.head()
                await peer.body(head)


@dataclass(frozen=True, slots=True)
class Attack:
    """Bytes, and the statuses that may answer them; None: closing without an answer may, too."""

    name: str
    parts: tuple[bytes, ...]
    statuses: tuple[int | None, ...]
    pause_s: float = 0.0


def attacks(target: Target) -> list[Attack]:
    """All kinds."""
    return [*_bodies(target), *_framings(target), *_heads(target)]


def _bodies(target: Target) -> list[Attack]:
    bodies = {
        "truncated JSON": b'{"jsonrpc":"2.0","id":1,"method":"tools/ca',
        "deep arrays": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":'
        + b"[" * 5000 + b"]" * 5000 + b"}",
        "deep objects": b'{"a":' * 5000 + b"1" + b"}" * 5000,
        "no UTF-8": b'{"jsonrpc":"2.0","id":1,"method":"\xff\xfe"}',
        "a huge number": b'{"jsonrpc":"2.0","id":' + b"9" * 5000 + b',"method":"ping"}',
        "params that are no object": rpc(1, "tools/call", {}).replace(b"{}", b"7"),
        "a NUL": b"\x00" * 100,
    }  # fmt: skip
    return [
        Attack(name, (target.request("POST", "/mcp/", JSON, body),), (400,))
        for name, body in bodies.items()
    ]


def _framings(target: Target) -> list[Attack]:
    chunked = target.request("POST", "/mcp/", {**JSON, "Transfer-Encoding": "chunked"})
    both = target.request(
        "POST", "/mcp/", {**JSON, "Transfer-Encoding": "chunked", "Content-Length": "5"}
    )
    large = target.request("POST", "/mcp/", {**JSON, "Content-Length": str(10**12)})
    negative = target.request("POST", "/mcp/", {**JSON, "Content-Length": "-1"})
    piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    pieces = (piece,) * (MAX_BODY_BYTES // 0x10000 + 2)
    return [
        Attack("chunk garbage", (chunked + b"zz\r\nwhat\r\n",), (400,)),
        Attack("a chunk without its end", (chunked + b"5\r\nabcdeXX0\r\n\r\n",), (400,)),
        Attack("two framings", (both + b"0\r\n\r\n",), (400,)),
        Attack("a body of 10^12 bytes", (large,), (413,)),
        Attack("a negative length", (negative,), (400,)),
        Attack("chunks without end", (chunked, *pieces), (413, None)),
    ]


def _heads(target: Target) -> list[Attack]:
    slow = tuple(bytes([byte]) for byte in b"POST /mcp/ HTTP/1.1\r\nHost: x\r\n")
    huge = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Big: " + b"x" * 200_000 + b"\r\n\r\n"
    stolen = target.request("POST", "/mcp/", JSON, rpc(1, "ping", {})).replace(
        target.token.encode(), target.token[:-8].encode() + b"AAAAAAAA"
    )
    foreign = b"GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n"
    return [
        Attack("a slow head", slow, (408, None), SLOW_S),
        Attack("a huge head", (huge,), (431, None)),
        Attack("a forged token", (stolen,), (401,)),
        Attack("a foreign Host", (foreign,), (400, 403, 421)),
        Attack(
            "TLS to a plain port",
            (TLS_HELLO,),
            (400, 408, None),
        ),
        Attack("HTTP/9", (b"GET / HTTP/9.9\r\n\r\n",), (400, 505)),
        Attack("bare line feeds", (b"GET /health HTTP/1.1\nHost: localhost\n\n",), (400, 200)),
    ]


async def attack(target: Target, rng: Random) -> None:
    """One of them; each must be refused in its way."""
    chosen, began = rng.choice(attacks(target)), trio.current_time()
    status = await _status(target, chosen)
    if status is None and None not in chosen.statuses and target.judge.excuses(began):
        raise Cut  # by a restart
    if status not in chosen.statuses:
        raise Wrong(f"{chosen.name}: {status}, expected {chosen.statuses}")


async def _status(target: Target, chosen: Attack) -> int | None:
    """How it was answered; None: the connection was closed."""
    async with target.connection() as peer, trio.open_nursery() as nursery:
        nursery.start_soon(_send, peer, chosen)
        try:
            head: Head | None = await peer.head()
        except (Cut, trio.BrokenResourceError):
            head = None
        nursery.cancel_scope.cancel()
    return None if head is None else head.status


async def _send(peer: Peer, chosen: Attack) -> None:
    for part in chosen.parts:
        try:
            await peer.send(part)
        except LOST:
            return  # it was refused before its end
        await trio.sleep(chosen.pause_s)
