"""One transcript against one server: sends what the client sent, when it did, and compares.

Before a request goes out, everything that the transcript has before it must have come; what the
client had under way at once is under way at once here.
"""

from collections.abc import Callable

import trio

from mcpd.http.client import HttpClient
from mcpd.replay.expecting import Expectations
from mcpd.replay.invariants import faults
from mcpd.replay.matching import Bindings, Unbound
from mcpd.replay.outcome import Mismatch, NotOffered, Otherwise
from mcpd.replay.received import PlayedRequest, summary
from mcpd.replay.sending import Sender
from mcpd.replay.specification import reference
from mcpd.replay.transcript import Entry, Transcript

PAUSE_S = {"": 0.0, "soon": 0.3, "later": 1.0, "late": 3.0}  # before a request of this timing
SETTLE_S = 0.5  # for streams to end whose answer has come
WELL_FORMED = "answers as JSON-RPC and MCP have them"


class TranscriptRun:
    """One transcript on its way, entry by entry.

    Args:
        target: where this server has what the recorded one had at a target.

    Attributes:
        skipped: what the server need not have, and has not, so that the rest was not played.
        silent, connected: see ``PlayOutcome``.
    """

    def __init__(
        self,
        client: HttpClient,
        transcript: Transcript,
        bindings: Bindings,
        target: Callable[[str], str],
    ) -> None:
        self.skipped = ""
        self.silent = False
        self.connected = True
        self._transcript = transcript
        self._sender = Sender(client, bindings, target)
        self._exchanges: dict[int, PlayedRequest] = {}
        self._unsure = _unsure(transcript.entries)
        self._expectations = Expectations(
            transcript,
            bindings,
            self._unsure,
            lambda recorded: bindings.fill_text("<base>") + target(recorded),
        )
        self._closed: set[int] = set()

    async def walk(self, nursery: trio.Nursery) -> Mismatch | None:
        """To the end, or to the first mismatch."""
        for entry in self._transcript.entries:
            request = self._transcript.request(entry.number)
            try:
                await self._step(nursery, entry, request)
            except Unbound as error:
                told = f"{error} from the server, to send it back"
                return self._mismatch(entry, request, told, "the server gave none")
            except Otherwise as error:
                return self._mismatch(entry, request, error.expected, error.got)
            except NotOffered as reason:
                self.skipped = str(reason)
                break  # and what came until here still has to be in order
            except ValueError as error:  # lone surrogates, an endpoint that is no URL
                return self._mismatch(entry, request, "values that can be sent back", str(error))
        return await self._faults()

    async def _step(self, nursery: trio.Nursery, entry: Entry, request: Entry) -> None:
        if entry.kind == "request":
            await trio.sleep(PAUSE_S[entry.timing])
            self._exchanges[entry.number] = self._sender.start(nursery, entry)
        elif entry.kind == "forget":
            await self._sender.end_session(request)
        elif entry.kind == "close":
            self._closed.add(entry.number)
            self._exchanges[entry.number].scope.cancel()
        elif entry.number in self._closed:
            return  # the client did not see it either
        elif entry.number in self._unsure:
            await self._expect_if_it_comes(entry, request)
        else:
            await self._expectations.expect(self._exchanges[entry.number], entry, request)

    async def _expect_if_it_comes(self, entry: Entry, request: Entry) -> None:
        """The client hung up before anything was said: a server may not have come to it yet."""
        try:
            await self._expectations.expect(self._exchanges[entry.number], entry, request)
        except Otherwise:
            if self._exchanges[entry.number].status:
                raise

    async def _faults(self) -> Mismatch | None:
        """What holds always, whatever was expected."""
        with trio.move_on_after(SETTLE_S):
            for exchange in self._exchanges.values():
                while exchange.answered and not exchange.ended:
                    await exchange.changed.wait()
        for number, exchange in self._exchanges.items():
            if found := list(faults(exchange)):
                request = self._transcript.request(number)
                return self._mismatch(request, request, WELL_FORMED, "; ".join(found[:5]))
        return None

    def _mismatch(self, entry: Entry, request: Entry, expected: str, got: str) -> Mismatch:
        said = summary(request.body) if request.body is not None else request.text[:80]
        shown = f"{request.method} {request.target} {said}".strip()
        see = reference(request, entry)
        exchange = self._exchanges.get(entry.number)  # None: the request could not be made
        if exchange is not None:
            self.silent = not exchange.status
            self.connected = not exchange.never_connected
        if not self.connected:
            see = "is the server running, and the URL right?"
        return Mismatch.of(entry.line, shown, expected, got, see)


def _unsure(entries: list[Entry]) -> set[int]:
    """Requests that the client left before a message came; a stream that it opened with GET has
    a head at once.
    """
    left, heard = set(), {e.number for e in entries if e.kind == "request" and e.method == "GET"}
    for entry in entries:
        if entry.kind in ("event", "end") or (entry.kind == "response" and entry.body is not None):
            heard.add(entry.number)
        elif entry.kind == "close" and entry.number not in heard:
            left.add(entry.number)
    return left
