"""The link of one process to its Redis: one server, or one connection to each primary of a cluster.

It is up or down as a whole. While it is down every command fails at once; ``keeper`` owns it and
brings it up again.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import trio
from coredis.exceptions import (
    AskError,
    MovedError,
    NoScriptError,
    ResponseError,
    TryAgainError,
)

from mcpd.errors import StoreError
from mcpd.events import StoreUsed
from mcpd.observer import Observer
from mcpd.sessions.redis.address import Address, Kind, Place
from mcpd.sessions.redis.complaints import Complaints
from mcpd.sessions.redis.failures import OUT_OF_MEMORY, SILENT, Failure, Refused, of_reply
from mcpd.sessions.redis.keys import Keys
from mcpd.sessions.redis.lua import Run, Script, Value
from mcpd.sessions.redis.node import BROKEN, Item, Node
from mcpd.sessions.redis.nodes import Nodes, exchange, replies_of

log = logging.getLogger("mcpd.redis")

MOVING_S = 5.0  # that a command follows a slot that moves in a cluster
TRY_AGAIN_S = 0.05  # until a command is sent again whose keys are on their way to another node

_MOVING = (AskError, MovedError, TryAgainError)


async def _no_refresh(nodes: Nodes) -> None:
    raise StoreError("The session store is away: its link is down.", fix="Try again in a moment.")


@dataclass(eq=False, slots=True)
class RedisLink:
    """See above.

    Attributes:
        hears: whether what other processes publish surely arrives.
        refusing: what keeps Redis from taking writes, if that is so.
        observer: told of each round trip.
        refresh: finds out which node has which slots, when it is not as in the ``Nodes`` given.
    """

    address: Address
    keys: Keys
    round_trips: int = 0
    up_since: float | None = None  # Trio's clock; None: it is down
    outages: int = 0
    ever_up: bool = False
    hears: bool = True
    nodes: Nodes | None = None
    away: Failure | None = None
    refusing: Failure | None = None
    refresh: Callable[[Nodes], Awaitable[None]] = _no_refresh
    observer: Observer = field(default_factory=Observer)
    complaints: Complaints = field(default_factory=lambda: Complaints(log))

    @property
    def is_up(self) -> bool:
        """Whether commands can be sent, and signals arrive."""
        nodes = self.nodes  # asked for every call in a session: no generator
        if nodes is None or not self.hears:
            return False
        return nodes.home.usable if len(nodes.by_place) == 1 else nodes.usable

    @property
    def trouble(self) -> str:
        """What is wrong, in public words; empty: nothing."""
        failure = (self.away if self.nodes is None else None) or self.refusing
        return _sentence(failure.message) if failure else ""

    @property
    def state(self) -> str:
        """``ok``, or in a word why it takes no writes."""
        if self.refusing is None:
            return "ok"
        return "full" if self.refusing is OUT_OF_MEMORY else "failing"

    # --- commands -----------------------------------------------------------------------------

    async def call(self, *command: Value) -> Any:
        """Send one command and wait for its reply.

        Raises:
            StoreError: Redis is away, refused, or did not answer within ANSWER_S.
        """
        return (await self.pipeline(command))[0]

    async def run(
        self, script: Script, keys: tuple[str, ...], *arguments: Value, durable: bool = False
    ) -> Any:
        """Run a script over keys of one slot.

        Args:
            durable: see ``pipeline``.

        Raises:
            StoreError: see ``call``.
        """
        return (await self.pipeline(Run(script, keys, arguments), durable=durable))[0]

    async def pipeline(self, *items: Item, durable: bool = False) -> list[Any]:
        """Send several commands in one round trip; their replies in order. Those that go to one
        node are carried out in order.

        Args:
            durable: return when as many replicas as the address says have what was written.

        Raises:
            StoreError: see ``call``; which commands were carried out is not known then.
        """
        self.round_trips += 1
        began, failed = trio.current_time(), True
        try:
            replies = await self._pipeline(*items, durable=durable)
            failed = False
            return replies
        finally:
            if self.observer.hears(StoreUsed):
                seconds = trio.current_time() - began
                self.observer.tell(StoreUsed("redis", "exchange", seconds, failed))

    async def _pipeline(self, *items: Item, durable: bool) -> list[Any]:
        nodes = self._up()
        asked = [nodes.of(item) for item in items]
        try:
            replies = await exchange(asked, items)
            settled = [
                reply
                if not isinstance(reply, Exception)
                else await self._settle(nodes, node, item, reply)
                for node, item, reply in zip(asked, items, replies, strict=True)
            ]
            if durable and self.address.wait_replicas:
                for node in set(asked):
                    await node.wait_copied(self.address.wait_replicas)
            if durable:
                self.refusing = None
        except Refused as refused:
            raise self._store_error(refused.failure) from refused
        except BROKEN as error:
            raise self._broken(asked, error) from error
        return settled

    def send(self, *command: Value) -> None:
        """Send a command whose reply is not waited for; dropped while the link is down."""
        if self.nodes is not None:
            self._drop(self.nodes.of(command), command)

    def publish(self, channel: str, data: bytes) -> None:
        """Tell all processes; dropped while the link is down."""
        if self.nodes is not None:
            self._drop(self.nodes.home, ("PUBLISH", channel, data))

    def _drop(self, node: Node, command: tuple[Value, ...]) -> None:
        try:
            node.send(command)
        except BROKEN:
            return

    async def everywhere(self, *command: Value) -> list[Any]:
        """Send a command to every node, and return their replies.

        Raises:
            StoreError: see ``call``.
        """
        self.round_trips += 1
        nodes = list(self._up().by_place.values())
        try:
            sent = [node.send(command) for node in nodes]
            replies = await replies_of(sent)
            for node, reply in zip(nodes, replies, strict=True):
                if isinstance(reply, Exception):
                    raise self._refused(node, command, reply)
        except BROKEN as error:
            raise self._broken(nodes, error) from error
        return replies

    # --- what is no reply ---------------------------------------------------------------------

    def _up(self) -> Nodes:
        nodes = self.nodes
        if nodes is None or not nodes.usable:
            failure = self.away
            raise away(failure.message if failure else "Redis cannot be reached")
        return nodes

    async def _settle(self, nodes: Nodes, node: Node, item: Item, reply: Any) -> Any:
        """What Redis has not carried out is sent again, to where it belongs."""
        if isinstance(reply, NoScriptError):  # a fresh Redis, or SCRIPT FLUSH
            reply = await node.ask(item, with_text=True)
        if self.address.kind is Kind.CLUSTER:
            deadline = trio.current_time() + MOVING_S
            while isinstance(reply, _MOVING) and trio.current_time() < deadline:
                nodes, reply = await self._follow(nodes, item, reply)
                if isinstance(reply, NoScriptError):
                    reply = await nodes.of(item).ask(item, with_text=True)
        if isinstance(reply, Exception):
            raise self._refused(node, item, reply)
        return reply

    async def _follow(self, nodes: Nodes, item: Item, reply: Exception) -> tuple[Nodes, Any]:
        """Its slot is on another node, or on its way."""
        if isinstance(reply, MovedError):
            await self.refresh(nodes)
            nodes = self._up()
            node = nodes.by_place.get(_place(reply, nodes.of(item))) or nodes.of(item)
            again = await node.ask(item)
            if isinstance(again, _MOVING):  # the nodes do not agree yet
                await trio.sleep(TRY_AGAIN_S)
            return nodes, again
        if isinstance(reply, AskError):
            return nodes, await self._ask_elsewhere(nodes, nodes.of(item), item, reply)
        await trio.sleep(TRY_AGAIN_S)
        return nodes, await nodes.of(item).ask(item)

    async def _ask_elsewhere(self, nodes: Nodes, node: Node, item: Item, error: AskError) -> Any:
        """A slot is on its way: the new node takes the command if it is announced."""
        other = nodes.by_place.get(_place(error, node))
        if other is None:
            await self.refresh(nodes)
            other = self._up().by_place.get(_place(error, node))
        if other is None:
            await trio.sleep(TRY_AGAIN_S)
            return await node.ask(item)
        announced, reply = other.send(("ASKING",)), other.send(item, with_text=True)
        await announced
        return await reply

    def _refused(self, node: Node, item: Item, error: Exception) -> Exception:
        if not isinstance(error, ResponseError):
            return error
        if isinstance(error, _MOVING) and self.address.kind is Kind.CLUSTER:
            return away("the cluster is changing")
        failure = of_reply(error)
        if failure is None:
            name = "a script" if isinstance(item, Run) else str(item[0])
            self.complaints.say("refused", f"Redis refused {name}: {error}", level=logging.ERROR)
            return away("Redis refused a command")
        if failure.ends_link:
            node.give_up(failure)
        return self._store_error(failure)

    def _store_error(self, failure: Failure) -> StoreError:
        where = self.address.shown
        self.complaints.say(failure.kind, f"{_sentence(failure.message)} ({where}). {failure.fix}")
        if failure.takes_no_writes:
            self.refusing = failure
            return StoreError(
                f"The session store takes no writes: {failure.message}.",
                fix="Try again later.",
                lasting=True,
            )
        return away(failure.message)

    def _broken(self, nodes: list[Node], error: Exception) -> StoreError:
        failure = of_reply(error) or SILENT
        for node in nodes:
            if isinstance(error, TimeoutError) or failure.ends_link or not node.usable:
                node.give_up(failure)
        return away(failure.message)


def away(why: str) -> StoreError:
    """What a command raises while there is no Redis for it."""
    return StoreError(f"The session store is away: {why}.", fix="Try again in a moment.")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _place(error: AskError, asked: Node) -> Place:
    return Place(error.host or asked.place.host, error.port)
