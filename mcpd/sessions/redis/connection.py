"""One connection to Redis, kept: commands in a pipeline, and what others publish.

In RESP3 what is published arrives beside the replies, so one connection carries both and is up
or down as a whole. While it is down every command fails at once; it is tried again with backoff.
"""

import hashlib
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import anyio
import trio
from coredis.connection import BaseConnection
from coredis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoScriptError,
    RedisError,
    ResponseError,
)
from coredis.pool import ConnectionPool

from mcpd.errors import ConfigError, StoreError

log = logging.getLogger("mcpd.redis")
logging.getLogger("coredis").setLevel(logging.CRITICAL)  # it logs what we say ourselves

CONNECT_S = 3.0  # for a connection and its handshake
ANSWER_S = 2.0  # for Redis to answer a command; then the connection is given up
FIRST_RETRY_S = 0.05
MAX_RETRY_S = 1.0
BEAT_S = 2.0  # between signs of life
DEFAULT_PREFIX = "mcpd"

Value = str | bytes | int | float
_BROKEN = (RedisError, TimeoutError, anyio.BrokenResourceError, anyio.ClosedResourceError)


@dataclass(frozen=True, slots=True)
class Address:
    """Where Redis is. ``url`` may hold a password and is never shown; ``shown`` is."""

    url: str = field(repr=False)
    shown: str
    prefix: str

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read ``redis://``, ``rediss://`` (TLS) or ``unix://``; ``?prefix=NAME`` sets what the
        keys begin with.

        Raises:
            ConfigError: it is no such URL.
        """
        try:
            parts = urlsplit(text)
            query = parse_qsl(parts.query)
            rest = urlencode([(name, value) for name, value in query if name != "prefix"])
            url = urlunsplit(parts._replace(query=rest))
            if parts.scheme != "unix" and parts.path.strip("/"):
                int(parts.path.strip("/"))
            if not (parts.path if parts.scheme == "unix" else parts.hostname):
                raise ValueError("it names no host")
            ConnectionPool.from_url(url, decode_components=True)
        except (ValueError, TypeError, OSError) as error:
            raise ConfigError(
                f"The address of Redis is not usable ({type(error).__name__}).",
                fix="Write redis://USER:PASSWORD@HOST:6379/0, rediss://… or unix:///PATH.",
            ) from None
        shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        return cls(url, shown, dict(query).get("prefix", DEFAULT_PREFIX))

    def connection(self) -> BaseConnection:
        """A fresh connection, not yet connected."""
        pool: Any = ConnectionPool.from_url(
            self.url,
            decode_components=True,
            connect_timeout=CONNECT_S,
            stream_timeout=ANSWER_S,
        )
        made: BaseConnection = pool.connection_class(pool.location, **pool.connection_kwargs)
        return made


class Script:
    """A Lua script, sent once and then named by its SHA-1 (EVALSHA)."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


@dataclass(eq=False, slots=True)
class RedisConnection:
    """The connection of one process.

    Args:
        on_message: gets what is published on ``channels``.
        on_up: called after each connect, when commands work again.
        on_time: told Redis's Unix seconds at the first connect: the clock of all processes.
        beat: is sent every BEAT_S: a sign of life, and a look at Redis.
    """

    address: Address
    channels: tuple[str, ...] = ()
    on_message: Callable[[bytes], None] = lambda data: None
    on_up: Callable[[], None] = lambda: None
    beat: tuple[Value, ...] = ("PING",)
    on_time: Callable[[float], None] | None = None
    round_trips: int = 0
    up_since: float | None = None  # Trio's clock; None: it is down
    outages: int = 0
    ever_up: bool = False
    _connection: BaseConnection | None = None
    _reported: bool = False

    @property
    def is_up(self) -> bool:
        """Whether commands can be sent."""
        return self._connection is not None and self._connection.usable

    # --- commands -----------------------------------------------------------------------------

    async def call(self, *command: Value) -> Any:
        """Send one command and wait for its reply.

        Raises:
            StoreError: Redis is away, refused, or did not answer within ANSWER_S.
        """
        return (await self.pipeline(command))[0]

    async def pipeline(self, *commands: tuple[Value, ...]) -> list[Any]:
        """Send several commands in one round trip; their replies in order.

        Raises:
            StoreError: see ``call``; which commands were carried out is not known then.
        """
        self.round_trips += 1
        connection = self._connection
        if connection is None or not connection.usable:
            raise _away("Redis cannot be reached")
        try:
            requests = [_request(connection, command) for command in commands]
            return [await request for request in requests]
        except NoScriptError:
            raise
        except ResponseError as error:
            log.error("Redis refused %s: %s", commands[0][0], error)
            raise _away("Redis refused a command") from error
        except _BROKEN as error:
            connection.invalidate("no answer")
            raise _away("Redis does not answer") from error

    async def run_script(self, script: Script, *arguments: Value) -> Any:
        """Run a script with arguments alone; all keys are made in it.

        Raises:
            StoreError: see ``call``.
        """
        try:
            return await self.call("EVALSHA", script.sha, 0, *arguments)
        except NoScriptError:  # a fresh Redis, or SCRIPT FLUSH
            return await self.call("EVAL", script.text, 0, *arguments)

    def send(self, *command: Value) -> None:
        """Send a command whose reply is not waited for; dropped while the connection is down."""
        if self._connection is not None:
            try:
                _request(self._connection, command)
            except _BROKEN:
                return

    # --- the connection -----------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the connection, for ever. Started once it was tried: a Redis that is away does
        not keep the server from starting.

        Raises:
            ConfigError: at the first try, if Redis is there and will not have us.
        """
        tried = _Once(task_status.started)
        delay_s = FIRST_RETRY_S
        while True:
            connection = self.address.connection()
            began, refused = trio.current_time(), None
            try:
                await self._use(connection, tried)
            except* (AuthenticationError, AuthorizationError) as group:
                refused = group
                self._report("Redis refuses the user or the password")
            except* (RedisError, OSError, TimeoutError, trio.TooSlowError, StoreError, EOFError):
                self.outages += 1  # one that never worked counts as well
                self._report("Redis cannot be reached")
            if refused is not None and not tried.done:
                raise self._refused() from refused
            tried()
            if trio.current_time() - began > MAX_RETRY_S:
                delay_s = FIRST_RETRY_S
            await trio.sleep(delay_s * random.uniform(0.5, 1.0))
            delay_s = min(2 * delay_s, MAX_RETRY_S)

    async def _use(self, connection: BaseConnection, tried: "_Once") -> None:
        try:
            async with trio.open_nursery() as nursery:
                with trio.fail_after(CONNECT_S):
                    await nursery.start(self._carry, connection)
                for channel in self.channels:
                    connection.send_command(b"SUBSCRIBE", channel)
                self._connection, self.up_since = connection, trio.current_time()
                await self.call(*self.beat)
                if not self.ever_up:
                    await self._tell_time()
                log.info("connected to %s", self.address.shown)
                self._reported, self.ever_up = False, True
                self.on_up()
                tried()
                nursery.start_soon(self._listen, connection)
                nursery.start_soon(self._beat)
        finally:
            self.outages += self._connection is not None
            self._connection = self.up_since = None

    async def _tell_time(self) -> None:
        if self.on_time is None:
            return
        try:
            seconds, micros = await self.call("TIME")
        except StoreError:  # the user may not ask; then each process has its own
            return
        self.on_time(int(seconds) + int(micros) / 1e6)

    async def _carry(
        self, connection: BaseConnection, *, task_status: trio.TaskStatus[None]
    ) -> None:
        await connection.run(task_status=task_status)
        raise EOFError("the connection ended")

    async def _listen(self, connection: BaseConnection) -> None:
        async for message in connection.push_messages:
            if message[0] == b"message" and isinstance(message[2], bytes):
                self.on_message(message[2])

    async def _beat(self) -> None:
        while True:
            await trio.sleep(BEAT_S)
            await self.call(*self.beat)

    def _report(self, what: str) -> None:
        """Say it once, not at every try."""
        if not self._reported:
            advice = "" if self.ever_up else " Start it, or fix --store."
            log.warning("%s at %s; trying again.%s", what, self.address.shown, advice)
            self._reported = True

    def _refused(self) -> ConfigError:
        return ConfigError(
            f"Redis at {self.address.shown} refuses the user or the password, or what the user"
            " is allowed.",
            fix="Check the user and the password in the URL, and the ACL: +@all on the keys"
            f" and channels {self.address.prefix}:* will do.",
        )


def _request(connection: BaseConnection, command: tuple[Value, ...]) -> Awaitable[Any]:
    name, *arguments = command
    return connection.create_request(str(name).encode("ascii"), *arguments, decode=False)


def _away(message: str) -> StoreError:
    return StoreError(f"The session store is away: {message}.", fix="Try again in a moment.")


class _Once:
    """A call that is made the first time only."""

    def __init__(self, job: Callable[[], None]) -> None:
        self._job = job
        self.done = False

    def __call__(self) -> None:
        if not self.done:
            self.done = True
            self._job()
