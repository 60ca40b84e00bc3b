"""Lines on two byte streams: a client that started this process as its child (MCP, stdio)."""

import trio

from mcpd.auth.principals import LOCAL_PRINCIPAL
from mcpd.errors import ContentTooLarge, TooManyRequests
from mcpd.mcp.request import Services
from mcpd.mcp.transports.channel import Batch, Channel, Send, read
from mcpd.rpc.lines import LineWriter, read_lines
from mcpd.rpc.messages import Call, encode_error
from mcpd.sessions.log import SESSION_STREAM
from mcpd.sessions.record import Move, Session, State, new_session_id, step

MAX_AT_ONCE = 100  # requests that run; further ones are refused
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
        with writer.shielding():
            async for line in read_lines(stdin, max_line_bytes):
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
        nursery.cancel_scope.deadline = trio.current_time() + END_S


def _too_busy(arrived: Call | Batch) -> bytes:
    error = TooManyRequests(f"{MAX_AT_ONCE} requests run already.", fix="Wait for some.")
    return encode_error(arrived.id if isinstance(arrived, Call) else None, error)


async def _pass_on_changes(services: Services, session: Session, send: Send) -> None:
    """Changes of lists and subscribed resources, for as long as the channel is open."""
    await services.broadcast.watch(session.id, session.subscriptions)
    with services.streams.follow(session.id, SESSION_STREAM, 0) as follower:
        while event := await follower.next():
            await send(event.data)
