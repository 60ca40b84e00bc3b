"""Where the readers of one stream wait in this process."""

import trio


class LocalReaders:
    """The readers of one stream, and what they are told.

    Attributes:
        changed: set, and replaced, at each change.
        names: of the readers; the last one is served, if none in another process is.
        lease_version: how often the reader that is served may have changed in other processes.
        delivered: the number of the last message that went out here.
        disconnects: how often readers were told to end.
        retry_ms: when their clients may come back.
    """

    def __init__(self) -> None:
        self.changed = trio.Event()
        self.names: list[str] = []
        self.lease_version = 0
        self.delivered = 0
        self.disconnects = 0
        self.retry_ms = 0

    @property
    def is_read(self) -> bool:
        """Whether a connection of this process has what is written, and will go on to."""
        return bool(self.names) and not self.disconnects

    def join(self, name: str) -> None:
        """A reader came; it is the one to be served."""
        self.names.append(name)
        self.wake()

    def leave(self, name: str) -> None:
        """A reader is gone; the one before it may be served again."""
        self.names.remove(name)
        if not self.names:
            self.disconnects = 0
        self.wake()

    def wake(self) -> None:
        """Something changed."""
        self.changed.set()
        self.changed = trio.Event()

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
