"""Plain calls and calls in sessions, one after the other on a connection that is kept."""

from random import Random

import trio

from benchmarks.soak.activities import SessionUser
from benchmarks.soak.client import Target, result_of, text_of
from benchmarks.soak.judge import Wrong
from benchmarks.soak.peer import Peer, connect


class Caller:
    """One connection; in sessions or without, which ``user`` tells."""

    def __init__(self, target: Target, user: SessionUser | None) -> None:
        self._target = target
        self._user = user
        self._peer: Peer | None = None
        self._number = 0

    async def call(self, rng: Random) -> None:
        """One call; a connection that is lost is opened again the next time."""
        a, b = rng.randrange(1000), rng.randrange(1_000_000)
        arguments = {"a": a, "b": b}
        if self._user is None:
            self._number += 1
            number, call = self._number, {"name": "add", "arguments": arguments}
            request = self._target.modern(number, "tools/call", call, "add")
        else:
            session = await self._user.session(self._target)
            number = session.number()
            request = session.call(number, "add", arguments)
        began = trio.current_time()
        try:
            result = await self._ask(request, number)
        except BaseException:
            self.close()
            raise
        if text_of(result) != str(a + b):
            raise Wrong(f"{a} + {b} is {result}")
        self._target.judge.answered(began)

    async def _ask(self, request: bytes, number: int) -> dict[str, object]:
        if self._peer is None:
            self._peer = await connect(self._target.port)
        await self._peer.send(request)
        head = await self._peer.head()
        body = await self._peer.body(head)
        if head.fields.get("connection") == "close":
            self.close()
        return result_of(head, body, number)

    def close(self) -> None:
        """The connection."""
        if self._peer is not None:
            self._peer.close()
            self._peer = None
