"""Lines on two byte streams: a client that started this process as its child (MCP, stdio)."""

from collections.abc import AsyncIterator

import trio

from mcpd.auth.principals import LOCAL_PRINCIPAL
from mcpd.errors import ContentTooLarge, TooManyRequests
from mcpd.mcp.job import Services
from mcpd.mcp.transports.channel import Batch, Channel, Send, read
from mcpd.rpc.messages import Call, encode_error
from mcpd.sessions.log import SESSION_STREAM
from mcpd.sessions.record import Move, Session, State, new_session_id, step

READ_BYTES = 64 * 1024
MAX_AT_ONCE = 100  # requests that run; further ones are refused
WRITE_S = 60.0  # for the client to read one line
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
    writer = LineWriter(stdout)

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
        nursery.start_soon(_pass_on_changes, services, session, writer.send)
        return session

    channel = Channel(
        services, LOCAL_PRINCIPAL, None, writer.send, open_session=open_session, takes_modern=True
    )
    running = 0

    async def take(call: Call | Batch) -> None:
        nonlocal running
        try:
            await channel.take(call)
        finally:
            running -= 1

    async with trio.open_nursery() as nursery:
        async for line in _lines(stdin, max_line_bytes):
            if line is None:
                error = ContentTooLarge(f"A line has more than {max_line_bytes} bytes.")
                await writer.send(encode_error(None, error))
                continue
            if not line.strip():
                continue
            arrived = read(line)
            if not isinstance(arrived, Call | Batch):  # cancellations and answers never queue
                await channel.take(arrived)
            elif running >= MAX_AT_ONCE:
                await writer.send(_too_busy(arrived))
            else:
                running += 1
                nursery.start_soon(take, arrived)
                await trio.lowlevel.checkpoint()
        writer.shielded = False
        nursery.cancel_scope.deadline = trio.current_time() + END_S


def _too_busy(arrived: Call | Batch) -> bytes:
    error = TooManyRequests(f"{MAX_AT_ONCE} requests run already.", fix="Wait for some.")
    return encode_error(arrived.id if isinstance(arrived, Call) else None, error)


class LineWriter:
    """Whole lines, whatever is cancelled around them: half of one would spoil the next."""

    def __init__(self, stdout: trio.abc.SendStream) -> None:
        self._stdout = stdout
        self._lock = trio.Lock()
        self._scope: trio.CancelScope | None = None
        self._shielded = True

    @property
    def shielded(self) -> bool:
        """Whether a line under way is finished; off when nobody may be there to read it."""
        return self._shielded

    @shielded.setter
    def shielded(self, shielded: bool) -> None:
        self._shielded = shielded
        if self._scope is not None:
            self._scope.shield = shielded

    async def send(self, message: bytes) -> None:
        """Write one line.

        Cancellation: before the line or not at all.
        """
        async with self._lock:
            with trio.move_on_after(WRITE_S, shield=True) as self._scope:
                self._scope.shield = self._shielded
                await self._stdout.send_all(message + b"\n")
            self._scope = None


async def _pass_on_changes(services: Services, session: Session, send: Send) -> None:
    """Changes of lists and subscribed resources, for as long as the channel is open."""
    await services.broadcast.watch(session.id, session.subscriptions)
    with services.streams.follow(session.id, SESSION_STREAM, 0) as follower:
        while event := await follower.next():
            await send(event.data)


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
