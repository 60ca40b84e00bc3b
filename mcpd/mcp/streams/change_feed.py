"""Changes to those who listen: lists that changed, resources that were updated.

What waits for a listener is a set: a change that is announced twice before it is read is one
change, so a slow listener holds no more than what it asked for.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import trio

from mcpd.app.changes import ListKind
from mcpd.errors import InvalidParams, StoreError
from mcpd.limits.seldom import Seldom
from mcpd.mcp.catalog.provider import Provider
from mcpd.mcp.streams.hub import StreamHub
from mcpd.rpc.messages import encode_notification
from mcpd.sessions.bus import Signal, SignalKind
from mcpd.sessions.record import SessionId
from mcpd.sessions.streams import ChangeWatches

log = logging.getLogger("mcpd.mcp")

UPDATED = "notifications/resources/updated"
TASK_CHANGED = "notifications/tasks"
LIST_CHANGED: dict[ListKind, str] = {
    "tools": "notifications/tools/list_changed",
    "resources": "notifications/resources/list_changed",
    "prompts": "notifications/prompts/list_changed",
}
MAX_URIS = 1000  # that one listener or session may name, ids of tasks included
MAX_URI_BYTES = 2048  # of one of them; what browsers and proxies take is of that size
MAX_URIS_BYTES = 256 * 1024  # of all of them: a thousand of 256 bytes
LISTS = "lists"  # the topic of changed lists; a resource's topic is its URI
STORE_AWAY_S = 1.0  # until a change that could not be kept is tried again

Change = tuple[str, str]  # method and URI


def check_uris(uris: Sequence[str]) -> int:
    """How many bytes these URIs (or ids of tasks) of one listener or session have.

    Raises:
        InvalidParams: they are too many, or too long.
    """
    if len(uris) > MAX_URIS:
        raise InvalidParams(
            f"{len(uris)} resources are too many to watch at once: {MAX_URIS} may be.",
            fix="Watch fewer, or use another session or stream for the rest.",
        )
    sizes = [len(uri.encode()) for uri in uris]
    if max(sizes, default=0) > MAX_URI_BYTES:
        raise InvalidParams(
            f"A URI to watch has more than {MAX_URI_BYTES} bytes.", fix="Name a resource of ours."
        )
    total = sum(sizes)
    if total > MAX_URIS_BYTES:
        raise InvalidParams(
            f"The URIs to watch have more than {MAX_URIS_BYTES} bytes together.",
            fix="Watch fewer, or use another session or stream for the rest.",
        )
    return total


@dataclass(eq=False, slots=True)
class Listener:
    """What one stream wants, and what waits for it."""

    methods: set[str]
    uris: set[str]  # and ids of tasks
    _waiting: dict[tuple[str, str], None] = field(default_factory=dict)
    _wake: trio.Event = field(default_factory=trio.Event)

    def offer(self, method: str, uri: str = "") -> None:
        """Keep a change if it is wanted."""
        wanted = uri in self.uris if uri else method in self.methods
        if wanted:
            self._waiting[method, uri] = None
            self._wake.set()

    async def next(self) -> tuple[str, dict[str, Any]]:
        """The next change as method and params; waits for one.

        Cancellation: nothing is lost.
        """
        while not self._waiting:
            self._wake = trio.Event()
            await self._wake.wait()
        method, uri = next(iter(self._waiting))
        del self._waiting[method, uri]
        return method, {"uri": uri} if uri else {}


class ChangeFeed:
    """All listeners of this process, and the sessions of all. Made in the event loop; apps may
    announce from threads.
    """

    def __init__(
        self, providers: Sequence[Provider], watches: ChangeWatches, hub: StreamHub
    ) -> None:
        self._watches = watches
        self._hub = hub
        self._bus = hub.bus
        self._listeners: set[Listener] = set()
        self._waiting: dict[Change, None] = {}  # to be put onto the sessions' streams
        self._wake = trio.Event()
        self._token = trio.lowlevel.current_trio_token()
        self._thread = threading.get_ident()
        for provider in providers:
            provider.listen(self)
        self._bus.listen(SignalKind.ANNOUNCED, self._announced_elsewhere)

    def _in_event_loop(self, job: Callable[..., None], *args: str) -> None:
        if threading.get_ident() == self._thread:
            job(*args)
        else:
            self._token.run_sync_soon(job, *args)

    def list_changed(self, kind: ListKind) -> None:
        """A list is not what it was; from any thread."""
        self._in_event_loop(self._announce, LIST_CHANGED[kind], "")

    def resource_updated(self, uri: str) -> None:
        """A resource is not what it was; from any thread."""
        self._in_event_loop(self._announce, UPDATED, uri)

    def task_changed(self, task_id: str) -> None:
        """A task is not where it was; only those who listen to it are told."""
        self._tell(TASK_CHANGED, task_id)

    def _announce(self, method: str, uri: str) -> None:
        self._tell(method, uri)
        self._waiting[method, uri] = None
        self._wake.set()

    def _tell(self, method: str, uri: str) -> None:
        self._offer(method, uri)
        if self._bus.shared:
            self._bus.publish(Signal(SignalKind.ANNOUNCED, name=f"{method} {uri}"))

    def _announced_elsewhere(self, signal: Signal) -> None:
        method, _, uri = signal.name.partition(" ")
        self._offer(method, uri)

    def _offer(self, method: str, uri: str) -> None:
        for listener in self._listeners:
            listener.offer(method, uri)

    async def run(self) -> None:
        """Put changes onto the streams of the sessions that watch, for ever."""
        complaints = Seldom()
        while True:
            if not self._waiting:
                self._wake = trio.Event()
                await self._wake.wait()
            method, uri = next(iter(self._waiting))
            del self._waiting[method, uri]
            try:
                notice = encode_notification(method, {"uri": uri} if uri else {})
                for session_id in await self._watches.announce(uri or LISTS, notice):
                    self._hub.session_grew(session_id)
            except StoreError as error:
                if complaints.is_due(trio.current_time()):
                    log.warning("a change waits for the store: %s", error.message)
                self._waiting[method, uri] = None
                await trio.sleep(STORE_AWAY_S)
            except Exception:  # one app's odd URI must not end the server
                log.exception("a change could not be announced")

    @contextmanager
    def listen(self, methods: set[str], uris: set[str]) -> Iterator[Listener]:
        """A stream of its own, for as long as the block runs."""
        listener = Listener(methods, uris)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    async def watch(self, session_id: SessionId, uris: Iterable[str]) -> None:
        """Put changes onto a session's own stream, until the session is over.

        Raises:
            StoreError: it stays as it was.
        """
        await self._watches.watch(session_id, frozenset({LISTS, *uris}))
