"""Plays transcripts against a server."""

import copy
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec
import trio

from mcpd.client.requests import initialize
from mcpd.client.responses import POST_HEADERS
from mcpd.http.client import Broken, HttpClient, NotConnected
from mcpd.http.origin import Origin
from mcpd.mcp.revisions import NEWEST_HANDSHAKE
from mcpd.replay.matching import Bindings
from mcpd.replay.outcome import Mismatch, PlayOutcome
from mcpd.replay.requirements import ServerProfile, missing, needs_of
from mcpd.replay.scrub import BAD_TOKEN
from mcpd.replay.transcript import Transcript
from mcpd.replay.transcript_run import TranscriptRun

LOOK_S = 10.0  # for a server to say anything, when a request got no answer
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

    async def look(self) -> str:
        """Whether the server is there at all; if not, how that shows."""
        body = msgspec.json.encode(initialize("mcpd-replay", NEWEST_HANDSHAKE.name))
        with trio.move_on_after(LOOK_S):
            try:
                async with HttpClient(self._origin) as client:
                    await client.begin("POST", self._path, POST_HEADERS, body)
            except (NotConnected, Broken) as error:
                return f"the server is gone ({error})"
            return ""
        return f"the server is gone (no answer within {LOOK_S:g} s)"

    def target(self, target: str) -> str:
        """Where this server has what the recorded one had there."""
        path = urlsplit(target).path
        if path.rstrip("/") == "/mcp":
            return self._path + target[len(path) :]
        if path.endswith("/mcp") and "/.well-known/" in path:
            return target.removesuffix("/mcp") + self._path.rstrip("/")
        return target


@dataclass(frozen=True, slots=True)
class Played:
    """What came of playing many.

    Attributes:
        outcomes: of those that were played, or skipped.
        gone: the server was there no more, in words, and the rest was not played; empty: it was.
    """

    outcomes: list[PlayOutcome]
    gone: str = ""


async def play_all(
    player: Player,
    transcripts: list[Transcript],
    at_once: int,
    *,
    profile: ServerProfile | None = None,
) -> Played:
    """Play them, some at a time, until the server is there no more.

    Args:
        profile: what the server has; what is not for it is skipped. None: everything is played.
    """
    outcomes: list[PlayOutcome] = []
    gone = ""
    limiter = trio.CapacityLimiter(at_once)

    async def play(transcript: Transcript, scope: trio.CancelScope) -> None:
        nonlocal gone
        reason = "" if profile is None else missing(needs_of(transcript), profile)
        if reason:
            outcomes.append(PlayOutcome(transcript, None, 0.0, reason))
            return
        async with limiter:
            outcome = await player.play(transcript, limit_s=TRANSCRIPT_S)
            trouble = await player.look() if outcome.silent else ""
            if not trouble or outcome.connected:  # what it died of is a failure
                outcomes.append(outcome)
            if trouble:
                gone = f"{trouble} while {transcript.name} was played"
                scope.cancel()

    async with trio.open_nursery() as nursery:
        for transcript in transcripts:
            nursery.start_soon(play, transcript, nursery.cancel_scope)
    left = len(transcripts) - len(outcomes)
    return Played(outcomes, f"{gone}; {left} of {len(transcripts)} were not played" if gone else "")
