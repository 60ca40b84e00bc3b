"""One connection to one server, kept: commands in a pipeline, and what others publish.

In RESP3 what is published arrives beside the replies, so one connection carries both.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any, NamedTuple

import anyio
import trio
from coredis.connection import BaseConnection, TCPConnection, UnixDomainSocketConnection
from coredis.connection._tcp import TCPLocation
from coredis.connection._uds import UnixDomainSocketLocation
from coredis.exceptions import RedisError

from mcpd.sessions.redis.address import Address, Login, Place
from mcpd.sessions.redis.failures import NOT_COPIED, Failure, Refused
from mcpd.sessions.redis.lua import Run, Value

logging.getLogger("coredis").setLevel(logging.CRITICAL)  # it logs what we say ourselves

CONNECT_S = 3.0  # for a connection and its handshake
ANSWER_S = 2.0  # for Redis to answer a command; then the connection is given up
COPY_S = 0.5  # for replicas to have a write; less than ANSWER_S, since it holds others up

Item = tuple[Value, ...] | Run
BROKEN = (RedisError, TimeoutError, anyio.BrokenResourceError, anyio.ClosedResourceError)


class Node:
    """One server, connected.

    Attributes:
        replicas: that it has, as far as that is of interest.
        failure: why it was given up, if that is known.
    """

    def __init__(
        self, place: Place, address: Address, *, login: Login | None = None, db: int | None = None
    ) -> None:
        self.place = place
        self.replicas = 0
        self.failure: Failure | None = None
        self._connection = _connection(place, address, login or address.login, db)
        self._closed = False
        self._sent = self._copied = self._doubtful = 0  # numbers of writes that are to be copied
        self._copying: trio.Event | None = None

    @property
    def usable(self) -> bool:
        """Whether commands can be sent."""
        return self._connection.usable and not self._closed

    @property
    def version(self) -> str:
        """As the server tells it."""
        return self._connection.server_version or ""

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Keep the connection until it ends.

        Raises:
            RedisError, OSError, TimeoutError: it never worked.
            EOFError: it ended, and ``close`` was not called.
        """
        await self._connection.run(task_status=task_status)
        if not self._closed:
            raise EOFError("the connection ended")

    def close(self) -> None:
        """It is not needed any more."""
        self._closed = True
        self._connection.invalidate("closed")

    def give_up(self, failure: Failure) -> None:
        """Let the connection end: it is of no use."""
        self.failure = self.failure or failure
        self._connection.invalidate(failure.kind)

    # --- commands -----------------------------------------------------------------------------

    def send(self, item: Item, *, with_text: bool = False) -> Awaitable[Any]:
        """Send a command now; awaiting what is returned gives its reply, or an exception that is
        returned as well.

        Raises:
            RedisError: the connection is down.
        """
        command = item.command(with_text=with_text) if isinstance(item, Run) else item
        name, *arguments = command
        return self._connection.create_request(
            str(name).encode("ascii"), *arguments, decode=False, raise_exceptions=False
        )

    def send_all(self, items: Sequence[Item]) -> Awaitable[list[Any]]:
        """The same for several; awaiting gives their replies in order."""
        batch = self._connection.create_request_batch([_command(item) for item in items])
        batch.disconnect_on_cancellation = False  # its replies are read and dropped then
        return batch

    async def ask(self, item: Item, *, with_text: bool = False) -> Any:
        """Send a command and wait for its reply, which may be an exception."""
        try:
            return await self.send(item, with_text=with_text)
        except BROKEN as error:
            return error

    async def get(self, *command: Value) -> Any:
        """The reply to a command.

        Raises:
            RedisError, TimeoutError: it was refused, or did not come.
        """
        reply = await self.ask(command)
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def subscribe(self, channels: tuple[str, ...]) -> None:
        """Receive what is published on the channels.

        Raises:
            RedisError, TimeoutError: that was refused.
        """
        for channel in channels:
            self._connection.send_command(b"SUBSCRIBE", channel)
        await self.get("PING")  # what has no reply may be answered by an error, which comes first

    async def messages(self) -> AsyncIterator[tuple[bytes, bytes]]:
        """What is published, with its channel, until the connection ends."""
        async for message in self._connection.push_messages:
            kind, *rest = message
            if kind == b"message" and isinstance(rest[0], bytes) and isinstance(rest[1], bytes):
                yield rest[0], rest[1]

    # --- copies -------------------------------------------------------------------------------

    async def look_at_replicas(self) -> None:
        """Ask how many there are.

        Raises:
            RedisError, TimeoutError: that was refused.
        """
        role = await self.get("ROLE")
        self.replicas = len(role[2]) if role[0] == b"master" else 0

    async def wait_copied(self, wanted: int) -> None:
        """Until replicas have all writes that were answered before, as far as there are that many.
        One question at a time is under way; it serves all who wait.

        Raises:
            Refused: they did not confirm it within COPY_S.
            RedisError, TimeoutError: that cannot be told.
        """
        self._sent += 1
        mine = self._sent
        while self._copied < mine:
            if mine <= self._doubtful:
                raise Refused(NOT_COPIED)
            if self._copying is not None:
                await self._copying.wait()
                continue
            self._copying = trio.Event()
            try:
                await self._copy(self._sent, wanted)
            finally:
                self._copying.set()
                self._copying = None

    async def _copy(self, through: int, wanted: int) -> None:
        needed = min(wanted, self.replicas)
        if needed:
            have = await self.get("WAIT", needed, int(COPY_S * 1000))
            if int(have) < needed:
                await self.look_at_replicas()
                if int(have) < min(wanted, self.replicas):
                    self._doubtful = through
                    return
        self._copied = max(self._copied, through)


class _Command(NamedTuple):
    """What coredis reads of a command in a batch."""

    name: bytes
    serialized_arguments: tuple[Value, ...]
    decode: bool = False


def _command(item: Item) -> Any:
    name, *arguments = item.command() if isinstance(item, Run) else item
    return _Command(str(name).encode("ascii"), tuple(arguments))


def _connection(place: Place, address: Address, login: Login, db: int | None) -> BaseConnection:
    options: dict[str, Any] = {
        "connect_timeout": CONNECT_S,
        "stream_timeout": ANSWER_S,
        "username": login.username,
        "password": login.password,
        "client_name": address.client_name,
        "db": address.db if db is None else db,
    }
    if not place.port:
        return UnixDomainSocketConnection(UnixDomainSocketLocation(place.host), **options)
    location = TCPLocation(place.host, place.port)
    return TCPConnection(location, ssl_context=address.tls, **options)
