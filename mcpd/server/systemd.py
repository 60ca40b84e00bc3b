"""systemd's protocols in a few lines: notification, watchdog, passed sockets.

sd_notify(3) and sd_listen_fds(3). Everything here does nothing where systemd is not.
"""

import logging
import os
import socket
import time
from collections.abc import MutableMapping

import trio

log = logging.getLogger("mcpd.systemd")

_FIRST_FD = 3  # SD_LISTEN_FDS_START


class Notifier:
    """Speaks to the service manager over NOTIFY_SOCKET."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        self._address = environ.pop("NOTIFY_SOCKET", "")  # not for children
        watchdog_us = environ.pop("WATCHDOG_USEC", "")
        pid = environ.pop("WATCHDOG_PID", "")
        mine = not pid or pid == str(os.getpid())
        self.watchdog_s = int(watchdog_us) / 1e6 if watchdog_us.isdecimal() and mine else 0.0

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.setblocking(False)
                sock.sendto("\n".join(lines).encode(), address)
        except OSError as error:
            log.warning("systemd cannot be told: %s", error.strerror)

    def ready(self, status: str) -> None:
        """Requests are served; also after a reload."""
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """Settings are being read again (Type=notify-reload)."""
        monotonic_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={monotonic_us}")

    def stopping(self) -> None:
        """No more connections are accepted."""
        self._send("STOPPING=1", "STATUS=draining")

    async def feed_watchdog(self) -> None:
        """Tell from the event loop that it turns, twice as often as asked; for ever."""
        if not self.watchdog_s:
            return
        while True:
            self._send("WATCHDOG=1")
            await trio.sleep(self.watchdog_s / 2)


def passed_sockets(environ: MutableMapping[str, str]) -> list[socket.socket]:
    """The listening sockets that socket activation passed to this process, if any."""
    count = environ.pop("LISTEN_FDS", "")
    pid = environ.pop("LISTEN_PID", "")
    environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    sockets = []
    for descriptor in range(_FIRST_FD, _FIRST_FD + int(count)):
        os.set_inheritable(descriptor, False)
        passed = socket.socket(fileno=descriptor)
        passed.setblocking(False)
        sockets.append(passed)
    return sockets
