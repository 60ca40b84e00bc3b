"""Lines on two byte streams: a client that started this process as its child (MCP, stdio)."""

from collections.abc import AsyncIterator

import trio

from mcpd.auth.principals import LOCAL_PRINCIPAL
from mcpd.errors import ContentTooLarge
from mcpd.mcp.job import Services
from mcpd.mcp.transports.channel import Channel
from mcpd.rpc.messages import encode_error
from mcpd.sessions.record import Move, Session, State, new_session_id, step

READ_BYTES = 64 * 1024
MAX_AT_ONCE = 100  # requests that run; further lines wait
END_S = 0.8  # for running calls to notice that the client has gone


async def serve_stdio(
    services: Services,
    stdin: trio.abc.ReceiveStream,
    stdout: trio.abc.SendStream,
    *,
    max_line_bytes: int,
) -> None:
    """Serve until stdin ends, then cancel what still runs.

    Cancellation: ends it at once.
    """
    writing = trio.Lock()

    async def send(message: bytes) -> None:
        async with writing:
            await stdout.send_all(message + b"\n")

    async def open_session(changes: dict[str, object]) -> Session:
        now = services.sessions.clock()
        session = Session(
            id=new_session_id(),
            created_at=now,
            last_activity=now,
            state=step(State.REGISTERED, Move.INITIALIZE),
            issuer=LOCAL_PRINCIPAL.issuer,
            subject=LOCAL_PRINCIPAL.subject,
            transport="stdio",
            **changes,  # type: ignore[arg-type]  # members of the record
        )
        await services.sessions.open(session)
        return session

    channel = Channel(
        services, LOCAL_PRINCIPAL, None, send, open_session=open_session, takes_modern=True
    )
    limit = trio.Semaphore(MAX_AT_ONCE)

    async def take(line: bytes) -> None:
        try:
            await channel.take(line)
        finally:
            limit.release()

    async with trio.open_nursery() as nursery:
        async for line in _lines(stdin, max_line_bytes):
            if line is None:
                error = ContentTooLarge(f"A line has more than {max_line_bytes} bytes.")
                await send(encode_error(None, error))
            elif line.strip():
                await limit.acquire()
                nursery.start_soon(take, line)
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.deadline = trio.current_time() + END_S


async def _lines(stdin: trio.abc.ReceiveStream, max_bytes: int) -> AsyncIterator[bytes | None]:
    """Lines without their ends; None for one that was too long and is skipped."""
    buffer, skipping = b"", False
    while data := await stdin.receive_some(READ_BYTES):
        *lines, buffer = (buffer + data).split(b"\n")
        for line in lines:
            if not skipping:
                yield line if len(line) <= max_bytes else None
            skipping = False
        if len(buffer) > max_bytes:
            if not skipping:
                yield None
            buffer, skipping = b"", True
    if buffer and not skipping:
        yield buffer
