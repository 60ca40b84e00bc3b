"""Lines of the client to the server, messages of the server to the client.

Each request runs in a task of its own; notifications keep their order; whatever the server says is
looked at once and goes to stdout, an answer exactly once.
"""

import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import msgspec
import trio

from mcpd.bridge.exchange import Exchange
from mcpd.bridge.listening import listen
from mcpd.bridge.messages import (
    Arrived,
    Line,
    Mirrors,
    id_key,
    is_id,
    read_arrived,
    read_line,
    with_client_info,
)
from mcpd.bridge.notices import Notices
from mcpd.bridge.old_sse import OldSse
from mcpd.bridge.patience import Undeliverable
from mcpd.bridge.reading import POSTED, read_quietly
from mcpd.bridge.session import Session, session_id_of
from mcpd.bridge.upstream import Upstream
from mcpd.errors import ContentTooLarge, InvalidRequest, McpdError, TooManyRequests
from mcpd.rpc.lines import LineWriter, read_lines
from mcpd.rpc.messages import Notification, encode_error, readable_id

log = logging.getLogger("mcpd.bridge")

Job = Callable[..., Awaitable[None]]

MAX_LINE_BYTES = 64 * 1024 * 1024
MAX_AT_ONCE = 500  # requests that run; further ones are refused
TAKEN_S = 10.0  # for the server to say that it took what wants no answer
LAST_ANSWERS_S = 0.6  # for running requests, when stdin has ended
GOODBYE_S = 0.3  # to tell the server that the session is over


class Bridge:
    """One client, one server."""

    def __init__(self, upstream: Upstream, stdout: trio.abc.SendStream) -> None:
        self.upstream = upstream
        self.session = Session(upstream, self.take)
        self.old: OldSse | None = None
        self._mirrors = Mirrors()
        self._writer = LineWriter(stdout)
        self._open: dict[bytes, Exchange] = {}
        self._nursery: trio.Nursery | None = None
        self._notices = Notices(self._post, self._confirm)

    async def run(self, stdin: trio.abc.ReceiveStream) -> None:
        """Serve until stdin ends.

        Cancellation: ends it at once.
        """
        async with trio.open_nursery() as self._nursery:
            self._spawn(listen, self.upstream, self.session, self.take)
            self._spawn(self._notices.run)
            self._spawn(self._writer.unshield_at_end)
            async with aclosing(read_lines(stdin, MAX_LINE_BYTES)) as lines:
                async for line in lines:
                    await self._take_line(line)
            await self._end()
            self._nursery.cancel_scope.cancel()

    async def _end(self) -> None:
        """The client has gone; what it asked last may still be answered to a pipe."""
        with trio.move_on_after(LAST_ANSWERS_S):
            for exchange in list(self._open.values()):
                await exchange.done.wait()
        self._writer.shielded = False
        with trio.move_on_after(GOODBYE_S):
            await self._give_up()
            if self.session.is_there and self.old is None:
                try:
                    gone = await self.upstream.begin(
                        "DELETE", self.session.headers, repeatable=True
                    )
                    await read_quietly(gone)
                except McpdError:
                    return

    async def _give_up(self) -> None:
        """Whoever closed stdin may still read: what got no answer is not left without a word."""
        trouble = self.upstream.trouble or "the server has not answered yet"
        error = Undeliverable(
            f"stdin ended before the answer came: {trouble}.",
            fix="Keep stdin open for longer to wait for it.",
        )
        for exchange in set(self._open.values()):
            unanswered, exchange.waiting = list(exchange.waiting.values()), {}
            if not exchange.cancelled:
                for request_id in unanswered:
                    await self.emit(encode_error(request_id, error))

    # --- from the client ----------------------------------------------------------------------

    async def _take_line(self, raw: bytes | None) -> None:
        if raw is None:
            error = ContentTooLarge(f"A line has more than {MAX_LINE_BYTES} bytes.")
            await self.emit(encode_error(None, error))
            return
        raw = raw.strip()
        if not raw:
            return
        try:
            line = read_line(raw)
        except McpdError as error:
            await self.emit(encode_error(readable_id(raw), error))
            return
        try:
            if line.calls:
                await self._begin(line)
            elif len(line.messages) == 1 and isinstance(line.messages[0], Notification):
                self._notify(line.messages[0], line)
            else:
                self._spawn(self._post, line)
        except msgspec.DecodeError as error:  # it was JSON, but a number has no place anywhere
            await self._refuse(line, InvalidRequest(f"Not a message: {error}."))
        await trio.lowlevel.checkpoint()

    async def _refuse(self, line: Line, error: McpdError) -> None:
        log.warning("a line of the client is refused: %s", error.message)
        for call in line.calls:
            await self.emit(encode_error(call.id if is_id(call.id) else None, error))

    async def _begin(self, line: Line) -> None:
        keys = [id_key(call.id) for call in line.calls]
        if len(self._open) >= MAX_AT_ONCE or any(key in self._open for key in keys):
            busy = f"{MAX_AT_ONCE} requests run already, or one with this id does."
            await self._refuse(line, TooManyRequests(busy))
            return
        call = line.calls[0]
        mirrored = self._mirrors.headers(call) if len(line.calls) == 1 else None
        if call.method == "initialize" and mirrored is None:
            line = Line(with_client_info(call, line.body), line.messages)
        exchange = Exchange(self, line, mirrored)
        self._open.update(dict.fromkeys(keys, exchange))
        gate = self._notices.gate
        if exchange.is_initialize:
            self._notices.gate = exchange.done  # what comes behind waits for its end
        self._spawn(self._run, exchange, keys, gate)

    async def _run(self, exchange: Exchange, keys: list[bytes], gate: trio.Event) -> None:
        async def turn() -> None:
            if exchange.mirrored is None:
                await gate.wait()
            if exchange.is_initialize:
                self.session.forget()

        try:
            await exchange.run(turn)
        finally:
            for key in keys:
                self._open.pop(key, None)

    def _notify(self, notice: Notification, line: Line) -> None:
        if notice.method == "notifications/cancelled" and self._cancel(notice):
            return
        is_initialized = notice.method == "notifications/initialized"
        self._notices.add(line, is_initialized=is_initialized)

    async def _confirm(self, line: Line) -> None:
        """The handshake is done."""
        if self.session.is_known:
            await self._post(line)
            if self.old is None:
                self.session.begun.set()

    def _cancel(self, notice: Notification) -> bool:
        """Whether that is all there is to do."""
        given = msgspec.json.decode(notice.params).get("requestId")
        key = msgspec.json.encode(given)
        exchange = self._open.get(key)
        if exchange is None:
            return False
        exchange.cancel(key)
        return exchange.mirrored is not None

    async def _post(self, line: Line) -> None:
        """Send what wants no answer. A server that does not take it holds up nothing else."""
        with trio.move_on_after(self.upstream.wait_s + TAKEN_S) as scope:
            try:
                await self._send(line)
            except McpdError as error:
                log.warning("a message is lost: %s", error.message)
        if scope.cancelled_caught:
            log.warning("a message may be lost: the server said nothing to it")

    async def _send(self, line: Line) -> None:
        if self.old is not None:
            await self.old.post(line.body)
            return
        message = line.messages[0]
        modern = self._mirrors.headers(message) if isinstance(message, Notification) else None
        headers = self.session.headers if modern is None else modern
        response = await self.upstream.begin(
            "POST", [*POSTED, *headers], line.body, repeatable=True
        )
        if response.status >= 400:
            words = await self.upstream.explain(response)
            log.warning("a message was refused: %d %s", response.status, words)
        else:
            await read_quietly(response)

    def _spawn(self, job: Job, *args: Any) -> None:
        if self._nursery is None:
            raise RuntimeError("Bridge.run does not run")
        self._nursery.start_soon(_contained, job, *args)

    # --- from the server ----------------------------------------------------------------------

    async def take(self, body: bytes, *, answers: Exchange | None = None) -> bool:
        """Messages of the server, with the exchange on whose stream they came; False: they are
        none.
        """
        try:
            found = read_arrived(body)
        except msgspec.DecodeError:
            log.warning("the server sent something that is no message")
            return False
        for arrived in found:
            await self._pass_on(arrived, answers)
        return True

    async def _pass_on(self, arrived: Arrived, stream: Exchange | None) -> None:
        if arrived.key is None:
            if stream is None or stream.heard(arrived):
                await self.emit(arrived.line)
            return
        exchange = self._open.get(arrived.key)
        if exchange is None or arrived.key not in exchange.waiting:
            log.info("an answer that nobody waits for is dropped")
            return
        self._learn(exchange, arrived)
        exchange.heard(arrived)
        await self.emit(arrived.line)
        exchange.told()

    def _learn(self, exchange: Exchange, arrived: Arrived) -> None:
        call = exchange.call_of(arrived.key or b"")
        if call is None or arrived.is_error:
            return
        if call.method == "initialize":
            response = exchange.response  # HTTP+SSE has none: its session is its stream
            session_id = "" if response is None else session_id_of(response)
            self.session.opened(call, session_id, arrived.result)
        elif call.method == "tools/list":
            self._mirrors.learn(arrived.result)
        else:
            self.session.keep(call)

    async def emit(self, line: bytes) -> None:
        """Write one message to the client."""
        await self._writer.send(line)

    async def fall_back(self, reason: str) -> bool:
        """Use HTTP+SSE from here on, if the server has it."""
        if self._nursery is None:
            return False
        log.info("trying HTTP+SSE (%s)", reason)
        old = OldSse(self.upstream, self.take)
        if not await old.open(self._nursery):
            return False
        self.old = old
        return True


async def _contained(job: Job, *args: Any) -> None:
    """One task of many: what nobody thought of must not end the others. A client that has gone
    does.
    """
    try:
        await job(*args)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        raise
    except Exception:
        log.exception("a part of the bridge failed")
