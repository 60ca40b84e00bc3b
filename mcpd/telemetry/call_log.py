"""Who called what, refusals included: the call log.

The event loop makes an entry of each call and puts it into a queue; twice a second a thread writes
what has come. What a call answered is not in it, and what it was given only if it was asked for.
"""

import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol

import msgspec
import trio

from mcpd.errors import McpdError
from mcpd.events import CallServed, RequestServed
from mcpd.limits.seldom import Seldom
from mcpd.telemetry.call_entry import MAX_ARGUMENT_BYTES, Entry, bounded
from mcpd.telemetry.call_table import CallTable

WRITE_EVERY_S = 0.5
MAX_WAITING = 20_000  # entries; further ones are dropped and counted
MAX_ARGUMENTS_BYTES = 16 * 1024 * 1024  # of entries that wait
LEAVE_S = 2.0  # to write what is left at the end
REFUSED_FROM = 400  # HTTP statuses
STRANGERS_PER_S = 10  # refusals of requests without a user that are noted

log = logging.getLogger("mcpd.calls")


class LineWriter(Protocol):
    """Where JSON lines go."""

    def write(self, entries: Sequence[Entry]) -> None:
        """Write them; blocks.

        Raises:
            StoreError: they are not written.
        """


class CallLog:
    """Keeps entries.

    Args:
        table: of the newest; None: there is none.
        lines: None: there are none.
        kept_of: makes of a call's arguments what is kept of them.
        clock: Unix seconds.
    """

    def __init__(
        self,
        table: CallTable | None,
        lines: LineWriter | None = None,
        *,
        kept_of: Callable[[bytes], str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._table = table
        self._lines = lines
        self._kept_of = kept_of
        self._clock = clock
        self._waiting: deque[Entry] = deque(maxlen=MAX_WAITING)
        self._number = 0  # of the newest entry
        self._arguments: dict[int, bytes] = {}  # of entries that wait, by their numbers
        self._argument_bytes = 0
        self._dropped = 0
        self._complaints = Seldom()
        self._losses = Seldom()
        self._lost = 0  # since that was said
        self._strangers_since = 0.0
        self._strangers = 0  # refused since then

    def call(self, served: CallServed) -> None:
        """A listener of ``Observer``."""
        activity = served.activity
        if self._kept_of is not None and served.arguments:
            self._keep_arguments(served.arguments)
        self._put(Entry(
            self._clock(), activity.user, served.credential, bounded(served.client),
            served.revision, served.session, "", served.method, bounded(served.target),
            served.status, served.code, served.is_error, served.cancelled, served.seconds,
            activity.id, activity.trace, served.size_in, served.size_out,
            reason=bounded(served.reason),
        ))  # fmt: skip

    def _keep_arguments(self, arguments: bytes | msgspec.Raw) -> None:
        """For the entry that comes next. What is to be done with them is done by the thread that
        writes; what is large is not looked at.
        """
        size = len(arguments)
        if size > MAX_ARGUMENT_BYTES or self._argument_bytes + size > MAX_ARGUMENTS_BYTES:
            self._arguments[self._number + 1] = b""
        else:
            self._argument_bytes += size
            self._arguments[self._number + 1] = bytes(arguments)

    def request(self, served: RequestServed) -> None:
        """A listener of ``Observer``: what was refused before there was a call."""
        activity = served.activity
        if served.status < REFUSED_FROM or activity.method:
            return
        if activity.user or self._may_note_stranger():
            self._put(Entry(
                self._clock(), activity.user, activity.credential, "", "",
                bounded(activity.session), served.address, served.method, bounded(served.path),
                served.status, 0, False, False, served.seconds, activity.id, size_out=served.size,
            ))  # fmt: skip

    def _may_note_stranger(self) -> bool:
        """Who shows no credential must not push the others out."""
        now = self._clock()
        if now - self._strangers_since >= 1.0:
            self._strangers_since, self._strangers = now, 0
        self._strangers += 1
        return self._strangers <= STRANGERS_PER_S

    def _put(self, entry: Entry) -> None:
        self._number += 1
        if len(self._waiting) == MAX_WAITING:
            self._dropped += 1
            self._arguments.pop(self._number - MAX_WAITING, None)
        self._waiting.append(entry)

    async def run(self) -> None:
        """Write, for ever; what cannot be written is dropped, and the log says so."""
        try:
            while True:
                await trio.sleep(WRITE_EVERY_S)
                if self._waiting:
                    await self._write()
        finally:
            with trio.move_on_after(LEAVE_S, shield=True):
                if self._waiting:
                    await self._write()
            if self._table is not None:
                self._table.close()

    async def _write(self) -> None:
        entries, dropped = list(self._waiting), self._dropped
        first, arguments = self._number - len(entries) + 1, self._arguments
        self._waiting.clear()
        self._dropped, self._arguments, self._argument_bytes = 0, {}, 0
        if arguments:
            fill = partial(self._filled, entries, first, arguments)
            entries = await trio.to_thread.run_sync(fill)
        lost = 0
        if self._lines is not None and entries:
            write = partial(self._lines.write, entries)
            lines = partial(trio.to_thread.run_sync, write, abandon_on_cancel=True)
            lost = max(lost, await self._try(lines, len(entries)))
        if self._table is not None:
            lost = max(lost, await self._try(partial(self._table.write, entries), len(entries)))
        self._tell_lost(dropped + lost)

    def _filled(self, entries: list[Entry], first: int, arguments: dict[int, bytes]) -> list[Entry]:
        """The entries with what is kept of their arguments."""
        kept_of = self._kept_of or (lambda _: "")
        found = list(entries)
        for number, raw in arguments.items():
            entry = found[number - first]
            text = kept_of(raw) if raw else f"[{entry.size_in} bytes]"
            found[number - first] = msgspec.structs.replace(entry, arguments=text)
        return found

    async def _try(self, write: Callable[[], Awaitable[object]], number: int) -> int:
        """How many entries one place did not take; the others get them all the same."""
        try:
            await write()
        except Exception as error:  # whatever it is: calls go on
            words = error.message if isinstance(error, McpdError) else type(error).__name__
            if self._complaints.is_due(trio.current_time()):
                log.warning("the call log cannot be written: %s", words)
            return number
        return 0

    def _tell_lost(self, number: int) -> None:
        self._lost += number
        if self._lost and self._losses.is_due(trio.current_time(), anyway=False):
            log.warning("%d entries of the call log are lost", self._lost)
            self._lost = 0
