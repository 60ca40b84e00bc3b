"""Where the readers of one stream wait in this process."""

from collections.abc import Callable

import trio

TURNS = 8  # of the event loop; a connection takes three, and more with TLS


class LocalReaders:
    """The readers of one stream, and what they are told.

    Attributes:
        changed: set, and replaced, at each change.
        names: of the readers; the last one is served, if none in another process is.
        lease_version: how often the reader that is served may have changed in other processes.
        delivered: the number of the last message that went out here.
        disconnects: how often readers were told to end.
        retry_ms: when their clients may come back.
        on_presence: told whether the stream is read, here or elsewhere, each time that may differ.
    """

    def __init__(self) -> None:
        self.changed = trio.Event()
        self.names: list[str] = []
        self.lease_version = 0
        self.delivered = 0
        self.disconnects = 0
        self.retry_ms = 0
        self.on_presence: Callable[[bool], None] | None = None
        self._is_elsewhere = False

    @property
    def is_read(self) -> bool:
        """Whether a connection of this process has what is written, and will go on to."""
        return bool(self.names) and not self.disconnects

    def join(self, name: str) -> None:
        """A reader came; it is the one to be served."""
        self.names.append(name)
        self._tell_presence()
        self.wake()

    def leave(self, name: str) -> None:
        """A reader is gone; the one before it may be served again."""
        self.names.remove(name)
        if not self.names:
            self.disconnects = 0
        self._tell_presence()
        self.wake()

    def read_elsewhere(self, *, is_read: bool) -> None:
        """A reader came or left in another process."""
        self._is_elsewhere = is_read
        self._tell_presence()

    def _tell_presence(self) -> None:
        if self.on_presence is not None:
            self.on_presence(bool(self.names) or self._is_elsewhere)

    def wake(self) -> None:
        """Something changed."""
        self.changed.set()
        self.changed = trio.Event()

    async def have_turns(self, number: int) -> None:
        """Give the connection that reads here its turns to send what was written up to a number."""
        for _ in range(TURNS):
            if not self.is_read or self.delivered >= number:
                return
            await trio.lowlevel.checkpoint()

    def disconnect(self, retry_ms: int) -> None:
        """End the connections that read, with an event that tells when to come back."""
        if self.names:
            self.disconnects += 1
            self.retry_ms = retry_ms
            self.wake()

    def lease_changed(self) -> None:
        """Another process may serve a reader of its own now, or no more."""
        self.lease_version += 1
        self.wake()
