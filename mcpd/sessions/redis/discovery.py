"""Which servers to connect to: the one of the URL, the primary that Sentinels name, or the
primaries of a cluster with their hash slots.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import trio

from mcpd.sessions.redis.address import Address, Kind, Login, Place
from mcpd.sessions.redis.causes import in_words
from mcpd.sessions.redis.failures import (
    HALF_CLUSTER,
    UNREACHABLE,
    Failure,
    Refused,
)
from mcpd.sessions.redis.keys import SLOTS, slot_of
from mcpd.sessions.redis.lua import Value
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


class _Questions:
    """Puts a command to one place after another, or to all."""

    def __init__(self, address: Address, login: Login, *command: Value) -> None:
        self._address = address
        self._login = login
        self._command = command
        self._errors: list[tuple[Place, BaseException]] = []

    async def ask(self, place: Place) -> Any:
        """What a place says; None: nothing, and ``failure`` tells why."""
        node = Node(place, self._address, login=self._login, db=0)
        reply: Any = TimeoutError()
        lost: BaseException | None = None
        try:
            with trio.move_on_after(ASK_S):
                async with trio.open_nursery() as nursery:
                    await nursery.start(node.run)
                    reply = await node.ask(self._command)
                    node.close()
        except* LOST as group:
            lost = group
        wrong = lost or (reply if isinstance(reply, Exception) else None)
        if wrong is not None:
            self._errors.append((place, wrong))
            return None
        return reply

    async def failure(self) -> Refused:
        """The one to tell of: what a person must change, before what passes by itself."""
        found: list[Failure] = []
        for place, error in self._errors:
            told = in_words(error)
            if told is None and not found:
                told = await explain(place, self._address)
            found.append(told or UNREACHABLE)
        return Refused(min(found, key=lambda failure: failure.passes, default=UNREACHABLE))


# --- Sentinel --------------------------------------------------------------------------------


async def _find_primary(address: Address) -> Place:
    """Ask all Sentinels; the one that knows of the latest fail-over is right."""
    questions = _Questions(address, address.sentinel_login, "SENTINEL", "MASTER", address.service)
    answers: list[dict[str, str]] = []

    async def ask(place: Place) -> None:
        told = await questions.ask(place)
        if told is not None:
            answers.append(_texts(told))

    async with trio.open_nursery() as nursery:
        for place in address.places:
            nursery.start_soon(ask, place)
    if not answers:
        raise await questions.failure()
    newest = max(answers, key=lambda told: int(told.get("config-epoch", 0)))
    return Place(newest["ip"], int(newest["port"]))


def _texts(told: Any) -> dict[str, str]:
    flat = told.items() if isinstance(told, dict) else zip(told[::2], told[1::2], strict=False)
    return {bytes(name).decode(): bytes(value).decode() for name, value in flat}


# --- Cluster ---------------------------------------------------------------------------------


async def _find_slots(address: Address, places: Iterable[Place]) -> Layout:
    """Ask one node after another; the first that answers is right."""
    questions = _Questions(address, address.login, "CLUSTER", "SLOTS")
    for place in dict.fromkeys(places):
        told = await questions.ask(place)
        if told is not None:
            return _layout(told, place)
    raise await questions.failure()


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
