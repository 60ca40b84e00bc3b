"""Who hears what happens in a server process: the log, the meters, the call log, traces."""

from collections.abc import Callable, Coroutine
from typing import Any

import trio

from mcpd.config import Config
from mcpd.events import CallServed, RequestServed
from mcpd.observer import Observer
from mcpd.server.call_logging import open_call_log
from mcpd.telemetry.logs import LogWriter
from mcpd.telemetry.metering import Metering
from mcpd.telemetry.meters import Meters
from mcpd.telemetry.tracing import Tracing

CLOSE_S = 2.0  # for the last spans to be sent


class Listening:
    """The listeners that the settings want.

    Attributes:
        observer: that they listen to.
        meters: of this process.
    """

    def __init__(self, config: Config, writer: LogWriter) -> None:
        self.observer = Observer()
        self.meters = Meters()
        self._config = config
        self._tracing: Tracing | None = None
        self._call_log = open_call_log(config)
        Metering(self.meters).listen(self.observer)
        if config.access_log:
            self.observer.listen(RequestServed, writer.access)
        if self._call_log is not None:
            self.observer.listen(CallServed, self._call_log.call)
            self.observer.listen(RequestServed, self._call_log.request)

    def trace(self, name: str, version: str) -> None:
        """Trace calls of the server of this name, if that is wanted.

        Raises:
            ConfigError: the extra is not installed.
        """
        if self._config.traces:
            self._tracing = Tracing((name, version))
            self._tracing.listen(self.observer)

    @property
    def upkeep(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        """What runs for as long as the server does."""
        return [] if self._call_log is None else [self._call_log.run]

    async def close(self) -> None:
        """Send the last spans."""
        if self._tracing is not None:
            with trio.move_on_after(CLOSE_S, shield=True):
                await trio.to_thread.run_sync(self._tracing.close, abandon_on_cancel=True)
