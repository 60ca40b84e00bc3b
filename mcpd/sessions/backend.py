"""What one kind of store is made of, opened together and closed together."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

import trio

from mcpd.auth.credential_store import CredentialStore
from mcpd.clock import SteadyClock
from mcpd.limits.ledger import Ledger
from mcpd.observer import Observer
from mcpd.sessions.bus import Bus
from mcpd.sessions.store import SessionStore
from mcpd.sessions.streams import (
    AnswerInbox,
    CallOwnership,
    ChangeWatches,
    DeliveryLease,
    EventLog,
)
from mcpd.sessions.task_store import TaskStore


class Observed(Protocol):
    """Tells of each of its uses, by ``StoreUsed``."""

    observer: Observer


@dataclass(frozen=True, slots=True)
class Backend:
    """Records, streams, and the way to the other processes.

    Attributes:
        ownership: None: nothing that this process runs outlives it.
        lease: None: no other process has readers.
        tasks: None: tasks end with this process.
        process: the name of this process among all that use the store.
        clock: by which its times are; see ``SteadyClock``.
        credentials, ledger: None: they are kept elsewhere.
        observed: what tells of each use of the store.
        run: keeps what needs a task of its own, for ever; it is started with ``nursery.start``.
    """

    store: SessionStore
    events: EventLog
    answers: AnswerInbox
    watches: ChangeWatches
    ownership: CallOwnership | None = None
    lease: DeliveryLease | None = None
    bus: Bus = field(default_factory=Bus)
    tasks: TaskStore | None = None
    process: str = ""
    run: Callable[..., Awaitable[None]] | None = None
    clock: Callable[[], float] = field(default_factory=SteadyClock)
    credentials: CredentialStore | None = None
    ledger: Ledger | None = None
    observed: tuple[Observed, ...] = ()

    async def start(self, nursery: trio.Nursery) -> None:
        """Run in a nursery that outlives the users of the store.

        Raises:
            ConfigError: the store cannot be used as it is.
        """
        if self.run is not None:
            await nursery.start(self.run)
