"""Lines of a client on stdin to a server, messages of the server to stdout.

Each request runs in a task of its own; notifications keep their order; whatever the server says
goes to stdout, an answer exactly once.
"""

import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import msgspec
import trio

from mcpd.bridge.notification_queue import NotificationQueue
from mcpd.client.client import Client, keys_of
from mcpd.client.errors import Undeliverable
from mcpd.client.exchange import Exchange
from mcpd.client.http_transport import HttpTransport
from mcpd.client.messages import Outgoing, id_key, is_id, read_outgoing
from mcpd.client.mirroring import is_modern
from mcpd.errors import ContentTooLarge, InvalidRequest, McpdError, TooManyRequests
from mcpd.rpc.lines import LineWriter, read_lines
from mcpd.rpc.messages import Call, Notification, encode_call, encode_error, readable_id
from mcpd.version import __version__

log = logging.getLogger("mcpd.bridge")

Job = Callable[..., Awaitable[None]]

CLIENT_INFO = {"name": "mcpd-bridge", "version": __version__}
MAX_LINE_BYTES = 64 * 1024 * 1024
MAX_AT_ONCE = 500  # requests that run; further ones are refused
LAST_ANSWERS_S = 0.6  # for running requests, when stdin has ended
GOODBYE_S = 0.3  # to tell the server that the session is over


class Bridge:
    """One client on a pipe, one server."""

    def __init__(self, http: HttpTransport, stdout: trio.abc.SendStream) -> None:
        self._writer = LineWriter(stdout)
        self._client = Client(http, self._writer.send)
        self._nursery: trio.Nursery | None = None
        self._notifications = NotificationQueue(self._client.post, self._client.confirm)

    async def run(self, stdin: trio.abc.ReceiveStream) -> None:
        """Serve until stdin ends.

        Cancellation: ends it at once.
        """
        async with trio.open_nursery() as self._nursery:
            self._spawn(self._client.listen, self._nursery)
            self._spawn(self._notifications.run)
            self._spawn(self._writer.unshield_at_end)
            async with aclosing(read_lines(stdin, MAX_LINE_BYTES)) as lines:
                async for line in lines:
                    await self._receive(line)
            await self._end()
            self._nursery.cancel_scope.cancel()

    async def _end(self) -> None:
        """The client has gone; what it asked last may still be answered to a pipe."""
        with trio.move_on_after(LAST_ANSWERS_S):
            for exchange in list(self._client.exchanges.values()):
                await exchange.pending.done.wait()
        self._writer.shielded = False
        with trio.move_on_after(GOODBYE_S):
            await self._give_up()
            await self._client.end_session()

    async def _give_up(self) -> None:
        """A client that closed stdin may still read: what got no answer is told why."""
        trouble = self._client.http.trouble or "the server has not answered yet"
        error = Undeliverable(
            f"stdin ended before the answer came: {trouble}.",
            fix="Keep stdin open for longer to wait for it.",
        )
        for exchange in set(self._client.exchanges.values()):
            if not exchange.pending.cancelled:
                await exchange.pending.fail(error)

    # --- lines ----------------------------------------------------------------------------------

    async def _receive(self, raw: bytes | None) -> None:
        if raw is None:
            error = ContentTooLarge(f"A line has more than {MAX_LINE_BYTES} bytes.")
            await self._writer.send(encode_error(None, error))
            return
        raw = raw.strip()
        if not raw:
            return
        try:
            outgoing = read_outgoing(raw)
        except McpdError as error:
            await self._writer.send(encode_error(readable_id(raw), error))
            return
        try:
            await self._send(outgoing)
        except msgspec.DecodeError as error:  # it was JSON, but a number has no place anywhere
            await self._refuse(outgoing, InvalidRequest(f"Not a message: {error}."))
        await trio.lowlevel.checkpoint()

    async def _send(self, outgoing: Outgoing) -> None:
        if outgoing.calls:
            await self._begin(outgoing)
        elif len(outgoing.messages) == 1 and isinstance(outgoing.messages[0], Notification):
            self._notify(outgoing.messages[0], outgoing)
        else:
            self._spawn(self._client.post, outgoing)

    async def _refuse(self, outgoing: Outgoing, error: McpdError) -> None:
        log.warning("a line of the client is refused: %s", error.message)
        for call in outgoing.calls:
            await self._writer.send(encode_error(call.id if is_id(call.id) else None, error))

    async def _begin(self, outgoing: Outgoing) -> None:
        open_now = self._client.exchanges
        if len(open_now) >= MAX_AT_ONCE or any(key in open_now for key in keys_of(outgoing)):
            busy = f"{MAX_AT_ONCE} requests run already, or one with this id does."
            await self._refuse(outgoing, TooManyRequests(busy))
            return
        exchange = self._client.begin(_with_client_info(outgoing))
        gate = self._notifications.gate
        if exchange.is_initialize:
            self._notifications.gate = exchange.pending.done  # what comes behind waits for its end
        self._spawn(self._run, exchange, gate)

    async def _run(self, exchange: Exchange, gate: trio.Event) -> None:
        async def wait_turn() -> None:
            if exchange.mirrored is None:
                await gate.wait()

        await self._client.run(exchange, wait_turn)

    def _notify(self, notification: Notification, outgoing: Outgoing) -> None:
        if notification.method == "notifications/cancelled" and self._cancel(notification):
            return
        is_initialized = notification.method == "notifications/initialized"
        self._notifications.add(outgoing, is_initialized=is_initialized)

    def _cancel(self, notification: Notification) -> bool:
        """Whether that is all there is to do."""
        given = msgspec.json.decode(notification.params).get("requestId")
        key = id_key(msgspec.json.encode(given))
        exchange = self._client.exchanges.get(key)
        if exchange is None:
            return False
        modern = exchange.mirrored is not None
        exchange.pending.cancel(key, at_once=modern)
        return modern

    def _spawn(self, job: Job, *args: Any) -> None:
        if self._nursery is None:
            raise RuntimeError("Bridge.run does not run")
        self._nursery.start_soon(_contained, job, *args)


def _with_client_info(outgoing: Outgoing) -> Outgoing:
    """``initialize`` of the handshake era with the client's name, if it does not say it."""
    call = outgoing.calls[0]
    if call.method != "initialize" or len(outgoing.calls) > 1 or is_modern(call):
        return outgoing
    params = msgspec.json.decode(call.params)
    if isinstance(params.get("clientInfo"), dict):
        return outgoing
    named = Call(
        call.id,
        call.method,
        msgspec.Raw(msgspec.json.encode({**params, "clientInfo": CLIENT_INFO})),
    )
    return Outgoing(encode_call(named), [named])


async def _contained(job: Job, *args: Any) -> None:
    """One task of many: a fault in it must not end the others. A client that has gone does."""
    try:
        await job(*args)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        raise
    except Exception:
        log.exception("a part of the bridge failed")
