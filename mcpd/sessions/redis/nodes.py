"""The servers of a link, and commands that are sent to several of them at once."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any

from coredis.exceptions import ResponseError

from mcpd.sessions.redis.address import Place
from mcpd.sessions.redis.discovery import Layout
from mcpd.sessions.redis.lua import Run
from mcpd.sessions.redis.node import Item, Node


@dataclass(frozen=True, slots=True)
class Nodes:
    """Connected servers, and which has what."""

    layout: Layout
    by_place: dict[Place, Node]
    home: Node  # what is published is heard here

    @property
    def usable(self) -> bool:
        """Whether commands can be sent to all."""
        return all(node.usable for node in self.by_place.values())

    def of(self, item: Item) -> Node:
        """Where a command belongs: its key comes first."""
        key = item.keys[0] if isinstance(item, Run) else str(item[1]) if len(item) > 1 else ""
        return self.by_place[self.layout.place_of(key)]


async def exchange(asked: list[Node], items: Sequence[Item]) -> list[Any]:
    """Send each command to its node, all at once; errors of Redis are among the replies.

    Raises:
        RedisError, TimeoutError: a connection is of no use any more.
    """
    if len(items) == 1:
        return await replies_of([asked[0].send(items[0])])
    places: dict[Node, list[int]] = {}
    for place, node in enumerate(asked):
        places.setdefault(node, []).append(place)
    sent = [(its, node.send_all([items[place] for place in its])) for node, its in places.items()]
    replies: list[Any] = [None] * len(items)
    for its, batch in sent:
        for place, reply in zip(its, await batch, strict=True):
            replies[place] = reply
    return _checked(replies)


async def replies_of(sent: list[Awaitable[Any]]) -> list[Any]:
    """The replies to what was sent; see ``exchange``."""
    return _checked([await reply for reply in sent])


def _checked(replies: list[Any]) -> list[Any]:
    for reply in replies:
        if isinstance(reply, Exception) and not isinstance(reply, ResponseError):
            raise reply
    return replies
