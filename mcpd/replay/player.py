"""Plays transcripts against a server."""

import copy
from urllib.parse import urlsplit

import trio

from mcpd.http.client import HttpClient
from mcpd.http.origin import Origin
from mcpd.replay.matching import Bindings
from mcpd.replay.outcome import Mismatch, PlayOutcome
from mcpd.replay.scrub import BAD_TOKEN
from mcpd.replay.transcript import Transcript
from mcpd.replay.transcript_run import TranscriptRun

TRANSCRIPT_S = 120.0  # for a whole one


class Player:
    """One server.

    Args:
        path: of its endpoint; what the transcript calls /mcp/ goes there.
        token: shown where the client showed one.
    """

    def __init__(self, origin: Origin, path: str, token: str) -> None:
        self._origin = origin
        self._path = path
        self._token = token

    async def play(self, transcript: Transcript, *, limit_s: float) -> PlayOutcome:
        """Play it to its end, or to the first mismatch, or for ``limit_s`` seconds.

        Cancellation: ends the connections.
        """
        began = trio.current_time()
        transcript = copy.deepcopy(transcript)  # the endpoint of HTTP+SSE is put in
        async with HttpClient(self._origin) as client:
            walk = TranscriptRun(client, transcript, self._bindings(), self.target)
            mismatch: Mismatch | None = Mismatch(0, "the whole", f"{limit_s:g} s", "more", "")
            async with trio.open_nursery() as nursery:
                with trio.move_on_after(limit_s):
                    mismatch = await walk.walk(nursery)
                nursery.cancel_scope.cancel()
        skipped = walk.skipped if mismatch is None else ""
        seconds = trio.current_time() - began
        return PlayOutcome(transcript, mismatch, seconds, skipped, walk.silent, walk.connected)

    def _bindings(self) -> Bindings:
        base = f"{self._origin.scheme}://{self._origin.authority.decode('ascii')}"
        return Bindings({"<token>": self._token, "<bad-token>": BAD_TOKEN, "<base>": base})

    def target(self, target: str) -> str:
        """Where this server has what the recorded one had there."""
        path = urlsplit(target).path
        if path.rstrip("/") == "/mcp":
            return self._path + target[len(path) :]
        if path.endswith("/mcp") and "/.well-known/" in path:
            return target.removesuffix("/mcp") + self._path.rstrip("/")
        return target


async def play_all(
    player: Player, transcripts: list[Transcript], at_once: int
) -> list[PlayOutcome]:
    """Play them, some at a time."""
    outcomes: list[PlayOutcome] = []
    limiter = trio.CapacityLimiter(at_once)

    async def play(transcript: Transcript) -> None:
        async with limiter:
            outcomes.append(await player.play(transcript, limit_s=TRANSCRIPT_S))

    async with trio.open_nursery() as nursery:
        for transcript in transcripts:
            nursery.start_soon(play, transcript)
    return outcomes
