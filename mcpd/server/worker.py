"""What a worker process gets from its supervisor, and what it says to it.

The supervisor passes listening sockets, ends of two socket pairs, the lifeline and that of
``reports``, and memory that holds the secrets of its environment. On the lifeline the worker writes
READY once it serves and a BEAT every few seconds, which tells that its event loop turns; RELOADED
or REFUSED answers each SIGHUP. When the other end closes, the supervisor is gone, and the worker
drains.
"""

import os
import signal
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass

import trio

from mcpd.errors import ConfigError
from mcpd.server.environment import unseal

VARIABLE = "MCPD_WORKER"
READY = b"R"
BEAT = b"."
RELOADED = b"L"
REFUSED = b"X"  # the settings: the old ones stay
RETIRE = signal.SIGUSR1  # from the supervisor: stop, while other workers go on accepting
BEAT_S = 2.0  # between signs of life


@dataclass(frozen=True, slots=True)
class Inheritance:
    """What this process was given."""

    sockets: list[socket.socket]
    lifeline: socket.socket
    reports: socket.socket  # see ``reports``
    variables: dict[str, str]  # of the environment, which are secret
    prints_next_step: bool  # whether it is the one that prints what to do next

    def say(self, word: bytes) -> None:
        """Tell the supervisor, which may be gone; never waits."""
        try:
            self.lifeline.send(word)
        except OSError:
            return

    async def beat(self) -> None:
        """Give signs of life, for ever."""
        while True:
            await trio.sleep(BEAT_S)
            self.say(BEAT)

    async def wait_orphaned(self) -> None:
        """Wait until the supervisor is gone; it never writes."""
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(self.lifeline.dup()))
        async with stream:
            try:
                await stream.receive_some(1)
            except trio.BrokenResourceError:
                return


def to_environ(
    sockets: list[int], lifeline: int, reports: int, sealed: int, *, prints_next_step: bool
) -> str:
    """The value of VARIABLE for these descriptors."""
    numbers = ",".join(map(str, sockets))
    return f"{numbers};{lifeline};{reports};{sealed};{int(prints_next_step)}"


def read_inheritance(environ: MutableMapping[str, str]) -> Inheritance | None:
    """What the supervisor passed, if there is one.

    Raises:
        ConfigError: the variable was not set by a supervisor.
    """
    value = environ.pop(VARIABLE, None)
    if value is None:
        return None
    try:
        sockets, lifeline, reports, sealed, prints_next_step = value.split(";")
        return Inheritance(
            [_adopt(int(number)) for number in sockets.split(",")],
            _adopt(int(lifeline)),
            _adopt(int(reports)),
            unseal(int(sealed)),
            prints_next_step == "1",
        )
    except (ValueError, OSError) as error:
        raise ConfigError(f"{VARIABLE} is set by mcpd for its workers.", fix="Unset it.") from error


def _adopt(descriptor: int) -> socket.socket:
    os.set_inheritable(descriptor, False)
    adopted = socket.socket(fileno=descriptor)
    adopted.setblocking(False)
    return adopted
