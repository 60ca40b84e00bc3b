"""The streams of all sessions, as this process sees them: who writes and who reads which.

A message goes to the log first and then to the connection that reads, in this process or another.
``writer`` and ``reader`` are the two ends.
"""

import logging
import secrets
from functools import partial
from itertools import count

import trio

from mcpd.coalescing import Write
from mcpd.errors import StoreError
from mcpd.mcp.streams.lease import Lease
from mcpd.mcp.streams.local_readers import LocalReaders
from mcpd.mcp.streams.ownership import Ownership
from mcpd.mcp.streams.reader import Reader
from mcpd.mcp.streams.retry_queue import RetryQueue
from mcpd.mcp.streams.writer import CallWriter
from mcpd.sessions.backend import Backend
from mcpd.sessions.bus import Signal, SignalKind
from mcpd.sessions.record import SessionId
from mcpd.sessions.streams import SESSION_STREAM, KeptCall, StreamKey

SWEEP_EVERY_S = 60.0

log = logging.getLogger("mcpd.mcp")


class StreamHub:
    """The streams of all sessions, seen from this process.

    Attributes:
        events: what is kept of them.
        ownership: None: nothing can be taken over, from or by another process.
    """

    def __init__(self, backend: Backend) -> None:
        self.events = backend.events
        self.bus = backend.bus
        self._clock = backend.clock
        self._lease = backend.lease
        self._writers: dict[StreamKey, CallWriter] = {}
        self._readers: dict[StreamKey, LocalReaders] = {}
        self._read_elsewhere: set[StreamKey] = set()  # of those written here
        self._retries = RetryQueue()
        self._nursery: trio.Nursery | None = None  # owns what outlives a call or a connection
        self.ownership: Ownership | None = None
        if backend.ownership is not None:
            self.ownership = Ownership(backend.ownership, self._retries, self._writers.__contains__)
        self._names = map(f"{secrets.token_hex(4)}-{{}}".format, count(1))  # unlike any elsewhere
        self.bus.listen(SignalKind.GREW, self._grew_elsewhere)
        self.bus.listen(SignalKind.READ_ELSEWHERE, self._read_by_another)
        self.bus.listen(SignalKind.READER_LEFT, self._left_by_another)
        self.bus.on_resync.append(self._doubt_all)

    # --- writing ------------------------------------------------------------------------------

    def open_writer(self, call: KeptCall) -> CallWriter:
        """The writing end of a call's stream."""
        key = StreamKey(call.session_id, call.stream_id)
        writer = self._writers[key] = CallWriter(
            self.events,
            call,
            self._readers.setdefault(key, LocalReaders()),
            tell_elsewhere=partial(self._tell_elsewhere, key),
            on_end=partial(self._ended, key),
            write_later=partial(self._retries.add, (key, "end")),
            start_soon=self._start_soon,
        )
        return writer

    def _start_soon(self, write: Write) -> None:
        if self._nursery is None:
            raise RuntimeError("StreamHub.run_upkeep owns what is written later and does not run")
        self._nursery.start_soon(write)

    def _ended(self, key: StreamKey, unfinished: bool) -> None:
        del self._writers[key]
        self._forget_if_unused(key)
        if unfinished and self.ownership is not None:
            self.ownership.disown_soon(key)

    def _tell_elsewhere(self, key: StreamKey) -> None:
        if key in self._read_elsewhere:
            self.bus.publish(Signal(SignalKind.GREW, *key))
            if key not in self._writers:
                self._read_elsewhere.discard(key)

    def disconnect_calls(self, retry_ms: int) -> None:
        """End every call's connection here; their clients come back, perhaps elsewhere."""
        for key, readers in list(self._readers.items()):
            if key.stream_id != SESSION_STREAM:
                readers.disconnect(retry_ms)

    def abandon(self) -> None:
        """This process stops: what it still runs is not written any more, and stays for another
        process to go on with.
        """
        if self.ownership is not None:
            self.ownership.stop()
        for writer in list(self._writers.values()):
            writer.give_up()

    # --- reading ------------------------------------------------------------------------------

    def open_reader(
        self, session_id: SessionId, stream_id: str, after: int, *, returning: bool = True
    ) -> Reader:
        """Every event behind ``after``, then each new one; ends with the stream or when it is
        disconnected.

        A message goes out on one connection only, so a newer reader takes over. What a call
        had is then over for the older one; on the session's own stream it waits, since a client
        may hold several of those.

        Args:
            returning: False: the stream cannot have been read before.
        """
        key = StreamKey(session_id, stream_id)
        readers = self._readers.setdefault(key, LocalReaders())
        name = next(self._names)
        lease = None
        if self._lease is not None:
            lease = Lease(self._lease, key, name, returning=returning)
        reader = Reader(
            key,
            name,
            self.events,
            readers,
            lease,
            after=after,
            find_writer=self._writers.get,
            on_leave=self._leave,
        )
        readers.join(name)
        return reader

    def _leave(self, reader: Reader) -> None:
        """An older reader may be served again, here or elsewhere."""
        key, lease = reader.key, reader.lease
        reader.readers.leave(reader.name)
        if reader.missed_the_end:
            self._retries.add((key, "unread"), partial(self.events.mark_unread, *key))
        if lease is not None and lease.was_acquired and key.stream_id == SESSION_STREAM:
            delivered = reader.readers.delivered  # of a call's stream no older reader waits
            self._retries.add((key, reader.name), partial(self._release, lease, key, delivered))
        elif key.stream_id != SESSION_STREAM and key not in self._writers:
            # The process that writes it minds whether it is read.
            self.bus.publish(Signal(SignalKind.READER_LEFT, *key))
        self._forget_if_unused(key)

    async def _release(self, lease: Lease, key: StreamKey, delivered: int) -> None:
        await lease.release(delivered)
        self._doubt(key)

    def _forget_if_unused(self, key: StreamKey) -> None:
        readers = self._readers.get(key)
        if readers is not None and not readers.names and key not in self._writers:
            del self._readers[key]

    def session_grew(self, session_id: SessionId) -> None:
        """The session's own stream has more; the log tells the other processes."""
        self._wake(StreamKey(session_id, SESSION_STREAM))

    def forget(self, session_id: SessionId) -> None:
        """The session is over."""
        self.events.forget(session_id)

    async def run_upkeep(self) -> None:
        """Write to the store what waits for it, and let it drop what is past its age, for ever."""
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self._retries.run)
            while True:
                await trio.sleep(SWEEP_EVERY_S)
                try:
                    await self.events.sweep(self._clock())
                except StoreError as error:
                    log.warning("old streams stay for now: %s", error.message)

    # --- signals of other processes -----------------------------------------------------------

    def _wake(self, key: StreamKey) -> None:
        readers = self._readers.get(key)
        if readers is not None:
            readers.wake()

    def _grew_elsewhere(self, signal: Signal) -> None:
        self._wake(_key_of(signal))

    def _read_by_another(self, signal: Signal) -> None:
        key = _key_of(signal)
        if key in self._writers:
            self._read_elsewhere.add(key)
            self._writers[key].readers.read_elsewhere(is_read=True)
        self._doubt(key)

    def _left_by_another(self, signal: Signal) -> None:
        key = _key_of(signal)
        if key in self._writers:
            self._writers[key].readers.read_elsewhere(is_read=False)
        self._doubt(key)

    def _doubt(self, key: StreamKey) -> None:
        """Another reader may be served now."""
        readers = self._readers.get(key)
        if readers is not None:
            readers.lease_changed()

    def _doubt_all(self) -> None:
        for key in list(self._readers):
            self._doubt(key)


def _key_of(signal: Signal) -> StreamKey:
    return StreamKey(SessionId(signal.session_id), signal.name)
