"""Changes to whoever listens: lists that changed, resources that were updated.

What waits for a listener is a set: a change that is announced twice before it is read is one
change, so a slow listener holds no more than what it asked for.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import trio

from mcpd.app.app import App, ListKind
from mcpd.mcp.streams import Stream
from mcpd.rpc.messages import encode_notice
from mcpd.sessions.record import SessionId

UPDATED = "notifications/resources/updated"
TASK_CHANGED = "notifications/tasks"
LIST_CHANGED: dict[ListKind, str] = {
    "tools": "notifications/tools/list_changed",
    "resources": "notifications/resources/list_changed",
    "prompts": "notifications/prompts/list_changed",
}
MAX_URIS = 1000  # that one listener may name


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

    async def take(self) -> tuple[str, dict[str, Any]]:
        """The next change as method and params; waits for one.

        Cancellation: nothing is lost.
        """
        while not self._waiting:
            self._wake = trio.Event()
            await self._wake.wait()
        method, uri = next(iter(self._waiting))
        del self._waiting[method, uri]
        return method, {"uri": uri} if uri else {}


class Broadcast:
    """All listeners of this process. Made in the event loop; apps may announce from threads."""

    def __init__(self, apps: tuple[App, ...]) -> None:
        self._listeners: set[Listener] = set()
        self._sessions: dict[SessionId, tuple[set[str], Stream]] = {}
        self._token = trio.lowlevel.current_trio_token()
        self._thread = threading.get_ident()
        for app in apps:
            app.on_list_changed.append(lambda kind: self._soon(self.list_changed, kind))
            app.on_resource_updated.append(lambda uri: self._soon(self.resource_updated, uri))

    def _soon(self, job: Callable[[Any], None], value: Any) -> None:
        if threading.get_ident() == self._thread:
            job(value)
        else:
            self._token.run_sync_soon(job, value)

    def list_changed(self, kind: ListKind) -> None:
        """A list is not what it was."""
        method = LIST_CHANGED[kind]
        for listener in self._listeners:
            listener.offer(method)
        notice = encode_notice(method, {})
        for _, stream in self._sessions.values():
            stream.append(notice)

    def resource_updated(self, uri: str) -> None:
        """A resource is not what it was."""
        for listener in self._listeners:
            listener.offer(UPDATED, uri)
        notice = encode_notice(UPDATED, {"uri": uri})
        for uris, stream in self._sessions.values():
            if uri in uris:
                stream.append(notice)

    def task_changed(self, task_id: str) -> None:
        """A task is not where it was."""
        for listener in self._listeners:
            listener.offer(TASK_CHANGED, task_id)

    @contextmanager
    def listen(self, methods: set[str], uris: set[str]) -> Iterator[Listener]:
        """A stream of its own, for as long as the block runs."""
        listener = Listener(methods, uris)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def keep_for_session(self, session_id: SessionId, uris: set[str], stream: Stream) -> None:
        """Put changes into a session's own stream, until the session is over."""
        self._sessions[session_id] = (uris, stream)

    def subscribed(self, session_id: SessionId, uris: set[str]) -> None:
        """The session's subscriptions changed."""
        kept = self._sessions.get(session_id)
        if kept is not None:
            self._sessions[session_id] = (uris, kept[1])

    def forget(self, session_id: SessionId) -> None:
        """The session is over."""
        self._sessions.pop(session_id, None)
