"""Lines on two byte streams: a client that started this process as its child (MCP, stdio)."""

import trio

from mcpd.auth.principals import LOCAL_PRINCIPAL
from mcpd.errors import ContentTooLarge, TooManyRequests
from mcpd.mcp.envelope.classify import BOTH_ERAS
from mcpd.mcp.runtime import Runtime
from mcpd.mcp.transports.channel import Batch, Channel, Send, read
from mcpd.observer import begin, leave
from mcpd.rpc.lines import LineWriter, read_lines
from mcpd.rpc.messages import Call, encode_error
from mcpd.sessions.record import Move, Session, State, new_session_id, step
from mcpd.sessions.streams import SESSION_STREAM

MAX_AT_ONCE = 100  # requests that run; further ones are refused
END_S = 0.8  # for running calls to notice that the client has gone


async def serve_stdio(
    runtime: Runtime,
    stdin: trio.abc.ReceiveStream,
    stdout: trio.abc.SendStream,
    *,
    max_line_bytes: int,
) -> None:
    """Serve until stdin ends, then cancel what still runs.

    Cancellation: ends it at once.
    """
    writer = LineWriter(stdout)
    async with trio.open_nursery() as nursery:
        pipe = _Pipe(runtime, writer, nursery)
        with writer.shielding():
            async for line in read_lines(stdin, max_line_bytes):
                if line is None:
                    error = ContentTooLarge(f"A line has more than {max_line_bytes} bytes.")
                    await writer.send(encode_error(None, error))
                elif line.strip():
                    await pipe.receive(line)
        leave()
        nursery.cancel_scope.deadline = trio.current_time() + END_S


class _Pipe:
    """The client at the other end, and how many of its requests run."""

    def __init__(self, runtime: Runtime, writer: LineWriter, nursery: trio.Nursery) -> None:
        self._runtime = runtime
        self._writer = writer
        self._nursery = nursery
        self._running = 0
        self._channel = Channel(
            runtime,
            self._runtime.access.local,
            None,
            writer.send,
            open_session=self._open_session,
            served=BOTH_ERAS,
        )

    async def receive(self, line: bytes) -> None:
        """Take a line; requests run in tasks of their own."""
        begin("stdio")
        incoming = read(line)
        if not isinstance(incoming, Call | Batch):  # cancellations and answers never queue
            await self._channel.receive(incoming)
        elif self._running >= MAX_AT_ONCE:
            await self._writer.send(_too_busy(incoming))
        else:
            self._running += 1
            self._nursery.start_soon(self._serve, incoming)
            await trio.lowlevel.checkpoint()

    async def _serve(self, incoming: Call | Batch) -> None:
        try:
            await self._channel.receive(incoming)
        finally:
            self._running -= 1

    async def _open_session(self, changes: dict[str, object]) -> Session:
        now = self._runtime.sessions.clock()
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
        await self._runtime.sessions.open(session)
        self._nursery.start_soon(_pass_on_changes, self._runtime, session, self._writer.send)
        return session


def _too_busy(incoming: Call | Batch) -> bytes:
    error = TooManyRequests(f"{MAX_AT_ONCE} requests run already.", fix="Wait for some.")
    return encode_error(incoming.id if isinstance(incoming, Call) else None, error)


async def _pass_on_changes(runtime: Runtime, session: Session, send: Send) -> None:
    """Changes of lists and subscribed resources, for as long as the channel is open."""
    await runtime.changes.watch(session.id, session.subscriptions)
    with runtime.streams.open_reader(session.id, SESSION_STREAM, 0) as reader:
        while events := await reader.next():
            for event in events:
                await send(event.data)
