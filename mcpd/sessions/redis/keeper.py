"""Keeps the link of a process up: the one owner of its connections.

One round connects to every server that there is, and ends with the first connection that ends;
then all is tried again with backoff. So a fail-over is an outage that passes by itself.
"""

import logging
import random
from collections.abc import Awaitable, Callable
from functools import partial

import trio

from mcpd.errors import ConfigError, StoreError
from mcpd.sessions.redis.address import Kind, Place
from mcpd.sessions.redis.causes import chain, in_words
from mcpd.sessions.redis.discovery import LOST, Layout, find_layout
from mcpd.sessions.redis.failures import (
    SILENT,
    UNREACHABLE,
    Failure,
    Refused,
)
from mcpd.sessions.redis.inspection import check_rights, inspect, rights_key, warn_of_eviction
from mcpd.sessions.redis.link import RedisLink, away
from mcpd.sessions.redis.node import CONNECT_S, Node
from mcpd.sessions.redis.nodes import Nodes
from mcpd.sessions.redis.probe import explain

FIRST_RETRY_S = 0.05
MAX_RETRY_S = 1.0
BEAT_S = 2.0  # between signs of life
LEASE_S = 3 * BEAT_S  # without one, until a process counts as gone
LOOK_AT_SENTINELS_S = 5.0  # for another primary: the old one may live, cut off from the others


class LinkKeeper:
    """Brings the link up, again and again.

    Args:
        process: the name of this process.
        on_signal: gets what is published for all processes.
        on_up: called after each connect, when commands work again, and when signals may have been
            lost.
        on_time: told Redis's Unix seconds at the first connect: the clock of all processes.
        prepare: what must be done before the store is used, each time the link comes up.
    """

    def __init__(
        self,
        link: RedisLink,
        process: str,
        *,
        on_signal: Callable[[bytes], None],
        on_up: Callable[[], None],
        on_time: Callable[[float], None],
        prepare: Callable[[], Awaitable[None]],
    ) -> None:
        self._link = link
        self._address = link.address
        self._process = process
        self._on_signal = on_signal
        self._on_up = on_up
        self._on_time = on_time
        self._prepare = prepare
        self._known: frozenset[Place] = frozenset()  # nodes of the cluster
        self._nursery: trio.Nursery | None = None
        self._refreshing = trio.Lock()
        self._channel = link.keys.channel_of(process)
        self._echoes: dict[Place, bool] = {}  # what was published there → it was heard

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the link, for ever. Started once it was tried: a Redis that is away does not keep
        the server from starting.

        Raises:
            ConfigError: at the first try, if a person must change something.
        """
        tried = _Once(task_status.started)
        delay_s = FIRST_RETRY_S
        while True:
            began, lost = trio.current_time(), None
            try:
                await self._use(tried)
            except* (*LOST, StoreError, trio.TooSlowError) as group:
                lost = group
            self._link.outages += 1  # one that never worked counts as well
            failure = await self._explain(lost)
            self._link.away = failure
            if not tried.done and not failure.passes:
                raise ConfigError(self._say(failure), fix=failure.fix)
            self._link.complaints.say(
                failure.kind, f"{self._say(failure)} Trying again. {failure.fix}"
            )
            tried()
            if trio.current_time() - began > MAX_RETRY_S:
                delay_s = FIRST_RETRY_S
            await trio.sleep(delay_s * random.uniform(0.5, 1.0))
            delay_s = min(2 * delay_s, MAX_RETRY_S)

    def _say(self, failure: Failure) -> str:
        return f"{failure.message[:1].upper()}{failure.message[1:]} ({self._address.shown})."

    async def _explain(self, lost: BaseException | None) -> Failure:
        if lost is None:
            return UNREACHABLE
        if found := in_words(lost):
            return found
        if not self._link.ever_up:  # perhaps it never will: look at what is there
            place = min(self._known, default=self._address.places[0])
            return await explain(place, self._address)
        late = any(isinstance(one, TimeoutError | trio.TooSlowError) for one in chain(lost))
        return SILENT if late else UNREACHABLE

    # --- one round ----------------------------------------------------------------------------

    async def _use(self, tried: "_Once") -> None:
        link = self._link
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                with trio.fail_after(2 * CONNECT_S):
                    nodes = await self._connect(nursery)
                    await self._take_up(nodes)
                await self._prepare()
                link.complaints.say("up", f"connected to {self._address.shown}", level=logging.INFO)
                link.away, link.ever_up, link.hears = None, True, True
                self._on_up()
                tried()
                nursery.start_soon(self._listen, nodes.home)
                nursery.start_soon(self._beat)
                if self._address.kind is Kind.SENTINEL:
                    nursery.start_soon(self._watch_primary, nodes.home.place)
        finally:
            self._nursery = None
            link.nodes = link.up_since = None

    async def _connect(self, nursery: trio.Nursery) -> Nodes:
        layout = await find_layout(self._address, self._known)
        self._known = layout.places
        opened = await self._open(nursery, layout.places)
        home = opened[random.choice(sorted(layout.places))]
        return Nodes(layout, opened, home)

    async def _open(self, nursery: trio.Nursery, places: frozenset[Place]) -> dict[Place, Node]:
        nodes = {place: Node(place, self._address) for place in places}

        async def start(node: Node) -> None:
            await nursery.start(partial(self._carry, node))
            await inspect(node, self._address)

        async with trio.open_nursery() as starting:
            for node in nodes.values():
                starting.start_soon(start, node)
        return nodes

    async def _carry(self, node: Node, *, task_status: trio.TaskStatus[None]) -> None:
        try:
            await node.run(task_status=task_status)
        except EOFError:
            if node.failure is not None:
                raise Refused(node.failure) from None
            raise

    async def _take_up(self, nodes: Nodes) -> None:
        await nodes.home.subscribe((self._link.keys.signals, self._channel))
        if not self._link.ever_up:
            keys = self._link.keys
            key = rights_key(keys, self._process)
            await check_rights(nodes.of(("GET", key)), keys, key)
            await warn_of_eviction(nodes.home, self._link.complaints)
        self._echoes = {}
        self._link.nodes, self._link.up_since = nodes, trio.current_time()
        self._link.refresh = self._refresh
        await self._show_life()
        if not self._link.ever_up:
            await self._tell_time()

    # --- while it is up -----------------------------------------------------------------------

    async def _listen(self, home: Node) -> None:
        async for channel, data in home.messages():
            if channel.decode() == self._channel:
                self._heard(data)
            else:
                self._on_signal(data)

    async def _beat(self) -> None:
        while True:
            await trio.sleep(BEAT_S)
            await self._show_life()
            nodes = self._link.nodes
            if nodes is None:
                return
            for node in nodes.by_place.values():
                await (node.look_at_replicas() if self._address.wait_replicas else node.get("PING"))
            if self._address.kind is Kind.CLUSTER:
                await self._try_the_ways(nodes)

    async def _show_life(self) -> None:
        """This is the only key that is written when nothing happens; so it shows as well whether
        Redis takes writes. One that does not may still let what is there live on.
        """
        link, key = self._link, self._link.keys.process(self._process)
        try:
            await link.call("SET", key, "1", "EX", int(LEASE_S))
        except StoreError as error:
            if not error.lasting:
                raise
            await self._prolong_life(key)
        else:
            if link.refusing is not None:
                link.complaints.say("writes", "Redis takes writes again", level=logging.INFO)
            link.refusing = None

    async def _prolong_life(self, key: str) -> None:
        try:
            await self._link.call("EXPIRE", key, int(LEASE_S))
        except StoreError as error:
            if not error.lasting:  # otherwise no process can claim anything either
                raise

    async def _tell_time(self) -> None:
        if self._link.nodes is not None:
            seconds, micros = await self._link.nodes.home.get("TIME")
            self._on_time(int(seconds) + int(micros) / 1e6)

    async def _watch_primary(self, place: Place) -> None:
        while True:
            await trio.sleep(LOOK_AT_SENTINELS_S)
            layout = Layout.of_one(place)
            try:
                with trio.fail_after(CONNECT_S):
                    layout = await find_layout(self._address)
            except* (*LOST, trio.TooSlowError):
                pass  # they are away; the primary is not
            if layout.owners[0] != place:
                raise EOFError("another server is the primary now")

    # --- a cluster that changes ---------------------------------------------------------------

    async def _try_the_ways(self, nodes: Nodes) -> None:
        """What is published at one node reaches the others over connections of their own, which can
        break without ours. So something is published at each, and must arrive.
        """
        link = self._link
        heard = all(self._echoes.get(place, True) for place in nodes.by_place)
        if heard and not link.hears:
            link.hears = True
            self._on_up()
        elif not heard and link.hears:
            link.hears = False
            link.complaints.say("signals", "Signals of other processes get lost in the cluster.")
        self._echoes = dict.fromkeys(nodes.by_place, False)
        for place, node in nodes.by_place.items():
            await node.get("PUBLISH", self._channel, str(place))

    def _heard(self, data: bytes) -> None:
        for place in self._echoes:
            if str(place).encode() == data:
                self._echoes[place] = True

    async def _refresh(self, seen: Nodes) -> None:
        """Slots moved: find out to where, and connect to what is new.

        Raises:
            StoreError: that cannot be told.
        """
        async with self._refreshing:
            nodes, nursery = self._link.nodes, self._nursery
            if nodes is not seen or nodes is None or nursery is None:
                return  # another command found that out, or the link ended
            lost = False
            try:
                with trio.fail_after(2 * CONNECT_S):
                    layout = await find_layout(self._address, self._known)
                    opened = await self._open(nursery, layout.places - nodes.by_place.keys())
            except* (*LOST, trio.TooSlowError):
                lost = True
            if lost:
                raise away("the cluster is changing")
            if self._link.nodes is nodes:
                self._known = layout.places
                self._link.nodes = Nodes(layout, {**nodes.by_place, **opened}, nodes.home)


class _Once:
    """A call that is made the first time only."""

    def __init__(self, job: Callable[[], None]) -> None:
        self._job = job
        self.done = False

    def __call__(self) -> None:
        if not self.done:
            self.done = True
            self._job()
