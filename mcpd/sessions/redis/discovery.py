"""Which servers to connect to: the one of the URL, the primary that Sentinels name, or the
primaries of a cluster with their hash slots.
"""

from bisect import bisect_right
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import trio

from mcpd.sessions.redis.address import Address, Kind, Login, Place
from mcpd.sessions.redis.failures import (
    HALF_CLUSTER,
    SILENT,
    UNREACHABLE,
    Failure,
    Refused,
    chain,
    in_words,
)
from mcpd.sessions.redis.keys import SLOTS, slot_of
from mcpd.sessions.redis.node import BROKEN, Node
from mcpd.sessions.redis.probe import explain

ASK_S = 1.5  # for one server to be connected and to say who the others are

LOST = (*BROKEN, OSError, EOFError, Refused)


@dataclass(frozen=True, slots=True)
class Layout:
    """Which primary has which slots: ``starts[n]`` is the first slot that ``owners[n]`` has."""

    starts: tuple[int, ...]
    owners: tuple[Place, ...]

    @classmethod
    def of_one(cls, place: Place) -> "Layout":
        """All slots in one place."""
        return cls((0,), (place,))

    @property
    def places(self) -> frozenset[Place]:
        """Every primary."""
        return frozenset(self.owners)

    def place_of(self, key: str) -> Place:
        """Where a key is."""
        if len(self.owners) == 1:
            return self.owners[0]
        return self.owners[bisect_right(self.starts, slot_of(key)) - 1]


async def find_layout(address: Address, known: Iterable[Place] = ()) -> Layout:
    """Where to connect to now.

    Args:
        known: nodes of the cluster that were found earlier.

    Raises:
        Refused: it cannot be told, or it is no cluster.
        RedisError, OSError, TimeoutError: none of the places answers.
    """
    if address.kind is Kind.SINGLE:
        return Layout.of_one(address.places[0])
    if address.kind is Kind.SENTINEL:
        return Layout.of_one(await _find_primary(address))
    return await _find_slots(address, (*address.places, *known))


@asynccontextmanager
async def _connected(place: Place, address: Address, login: Login) -> AsyncIterator[Node]:
    """A connection for a question. What is raised within comes out as it is."""
    node = Node(place, address, login=login, db=0)
    async with trio.open_nursery(strict_exception_groups=False) as nursery:
        await nursery.start(node.run)
        yield node
        node.close()


class _Answers:
    """What places said, and what was wrong with the others."""

    def __init__(self, address: Address) -> None:
        self.given: list[Any] = []
        self._errors: list[tuple[Place, BaseException]] = []
        self._address = address

    def went_wrong(self, place: Place, error: BaseException) -> None:
        """No answer came from there."""
        self._errors.append((place, error))

    async def failure(self) -> Refused:
        """The one to tell of: what a person must change, before what passes by itself."""
        found: list[Failure] = []
        for place, error in self._errors:
            told = in_words(error, self._address)
            if told is None and any(isinstance(one, TimeoutError) for one in chain(error)):
                told = SILENT
            if told is None and len(self._errors) == len(found) + 1:
                told = await explain(place, self._address)
            found.append(told or UNREACHABLE)
        return Refused(min(found, key=lambda failure: failure.passes, default=UNREACHABLE))


# --- Sentinel --------------------------------------------------------------------------------


async def _find_primary(address: Address) -> Place:
    """Ask all Sentinels; the one that knows of the latest fail-over is right."""
    answers = _Answers(address)

    async def ask(place: Place) -> None:
        try:
            with trio.fail_after(ASK_S):
                async with _connected(place, address, address.sentinel_login) as sentinel:
                    told = await sentinel.get("SENTINEL", "MASTER", address.service)
        except (*LOST, trio.TooSlowError) as error:
            answers.went_wrong(place, error)
        else:
            answers.given.append(_texts(told))

    async with trio.open_nursery() as nursery:
        for place in address.places:
            nursery.start_soon(ask, place)
    if not answers.given:
        raise await answers.failure()
    newest = max(answers.given, key=lambda told: int(told.get("config-epoch", 0)))
    return Place(newest["ip"], int(newest["port"]))


def _texts(told: Any) -> dict[str, str]:
    flat = told.items() if isinstance(told, dict) else zip(told[::2], told[1::2], strict=False)
    return {bytes(name).decode(): bytes(value).decode() for name, value in flat}


# --- Cluster ---------------------------------------------------------------------------------


async def _find_slots(address: Address, places: Iterable[Place]) -> Layout:
    """Ask one node after another; the first that knows the whole cluster is right."""
    answers = _Answers(address)
    for place in dict.fromkeys(places):
        try:
            with trio.fail_after(ASK_S):
                async with _connected(place, address, address.login) as node:
                    told = await node.get("CLUSTER", "SLOTS")
            return _layout(told, place)
        except (*LOST, trio.TooSlowError) as error:
            answers.went_wrong(place, error)
    raise await answers.failure()


def _layout(told: list[Any], asked: Place) -> Layout:
    """
    Raises:
        Refused: slots are missing.
    """
    ranges = sorted((int(first), int(last), primary) for first, last, primary, *_ in told)
    starts, owners, expected = [], [], 0
    for first, last, primary in ranges:
        if first != expected:
            raise Refused(HALF_CLUSTER)
        host = bytes(primary[0] or b"").decode()  # empty: where it was asked
        starts.append(first)
        owners.append(Place(asked.host if host in ("", "?") else host, int(primary[1])))
        expected = last + 1
    if expected != SLOTS:
        raise Refused(HALF_CLUSTER)
    return Layout(tuple(starts), tuple(owners))
