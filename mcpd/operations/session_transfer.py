"""Sessions as lines of a file, so that they can be moved from one store to another."""

import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass

import msgspec
import trio
import trio.lowlevel

from mcpd.errors import ConfigError
from mcpd.sessions.record import Session
from mcpd.sessions.store import SessionStore

FORMAT = 1
AT_ONCE = 64  # sessions on their way into a store
NO_CAP = 1 << 40  # a transfer drops no session

Pages = Callable[[], AsyncIterator[list[Session]]]


class _Header(msgspec.Struct, frozen=True):
    mcpd_sessions: int
    exported_at: float


@dataclass(slots=True)
class Imported:
    """What became of the lines."""

    new: int = 0
    known: int = 0
    expired: int = 0


async def export_lines(pages: Pages) -> AsyncIterator[bytes]:
    """A header, then a line for each session.

    Raises:
        StoreError: the store cannot be read.
    """
    yield msgspec.json.encode(_Header(FORMAT, time.time())) + b"\n"
    async for page in pages():
        for session in page:
            yield msgspec.json.encode(session) + b"\n"


async def import_lines(
    lines: Iterable[bytes], store: SessionStore, *, alive_since: float
) -> Imported:
    """Keep the sessions of an export; what is there already stays as it is.

    Raises:
        ConfigError: these are no lines of an export; names the line.
        StoreError: not all were kept; importing again goes on.
    """
    done = Imported()
    room = trio.Semaphore(AT_ONCE)

    async def keep(session: Session) -> None:
        try:
            if await store.get(session.id, alive_since=alive_since) is not None:
                done.known += 1
            else:
                await store.create(session, max_unbound=NO_CAP)
                done.new += 1
        finally:
            room.release()

    async with trio.open_nursery() as nursery:
        for number, line in enumerate(lines, start=1):
            session = _read(line, number)
            if session is None:
                continue
            if session.last_activity <= alive_since:
                done.expired += 1
                continue
            await room.acquire()
            nursery.start_soon(keep, session)
    return done


def _read(line: bytes, number: int) -> Session | None:
    """The session of a line; None: the header, or an empty line."""
    try:
        if number == 1:
            header = msgspec.json.decode(line, type=_Header)
            if header.mcpd_sessions > FORMAT:
                raise ConfigError("The file was written by a newer mcpd.", fix="Use that one.")
            return None
        if not line.strip():
            return None
        session = msgspec.json.decode(line, type=Session)
        return msgspec.structs.replace(session, capabilities=session.capabilities.copy())
    except msgspec.DecodeError as error:
        raise ConfigError(
            f"Line {number} is not of an export of sessions.",
            fix="Write the file with: mcpd sessions export FILE",
        ) from error
