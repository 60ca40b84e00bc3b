"""Logs: text or JSON lines, written in batches by a thread, never by the event loop.

A line costs the request a few hundred nanoseconds; formatting and writing happen later. When
the reader of our output stalls, lines beyond MAX_LINES are dropped and counted, not waited for; no
write takes longer than WRITE_S, so a reader that stalls for ever keeps no thread.
"""

import functools
import json
import logging
import re
import threading
import time
import traceback
from collections import Counter, deque
from typing import Any, NamedTuple

import msgspec
import trio

from mcpd.events import RequestServed
from mcpd.observer import current
from mcpd.telemetry.descriptor import Descriptor
from mcpd.telemetry.report import MAX_LINES as MAX_RECENT
from mcpd.telemetry.report import LogLine

FLUSH_EVERY_S = 0.05  # short, so that a batch never holds the interpreter for long
STALLED_S = 0.5  # between looks at a reader that has stalled
WRITE_S = 1.0  # for the reader to take something; then the lines wait for the next flush
FLUSH_AT_END_S = 2.0
MAX_LINES = 20_000
MAX_RECENT_CHARS = 300
STDERR = 2
KNOWN_WORDS = 1024  # values of fields whose form in a line is remembered
KNOWN_WORD_CHARS = 128

# In front of each further line of one message: what a client sent may have an end of line, and
# what follows must not pass for a line of its own.
_MORE = "  | "
_PLAIN = re.compile(r"[\w.:/+@%~,;*\[\]()-]+")

# RFC 5424 severities, as journald reads them from a line's start.
_PRIORITIES = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}


class _Line(NamedTuple):
    when: float
    level: str
    logger: str
    message: str
    fields: dict[str, Any]


_Access = tuple[float, RequestServed]  # when it was told, and what


class LogWriter(logging.Handler):
    """The one handler of the root logger, and the access log.

    Args:
        descriptor: where lines go.
        style: ``text`` or ``json``.
        journald: prefix lines with their priority; journald adds the time itself.
    """

    def __init__(
        self, descriptor: int = STDERR, *, style: str = "text", journald: bool = False
    ) -> None:
        super().__init__()
        self._descriptor = Descriptor(descriptor)
        self._unwritten = b""  # formatted, and not taken by the reader so far
        self._is_stalled = False  # it took nothing the last time: one is not waited for again
        self._style = style
        self._journald = journald
        self._waiting: deque[_Line | _Access] = deque(maxlen=MAX_LINES)
        self._dropped = 0
        self.recent: deque[LogLine] = deque(maxlen=MAX_RECENT)  # that warn
        self.warned: Counter[str] = Counter()  # how many, by level
        self._wake: trio.Event | None = None  # set while the flusher is parked
        self._token: trio.lowlevel.TrioToken | None = None
        self._loop_thread = 0
        self._writing = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record; from any thread."""
        try:
            line = _line_of(record)
            if record.levelno >= logging.WARNING:
                self._note(line)
            self._put(line)
        except Exception:  # a bad format string must not fail its caller
            self.handleError(record)

    def _note(self, line: _Line) -> None:
        words = _clean(line.message.partition("\n")[0])[:MAX_RECENT_CHARS]
        self.recent.append(LogLine(line.when, line.level.lower(), line.logger, words))
        self.warned[line.level.lower()] += 1

    def access(self, served: RequestServed) -> None:
        """Log a served request; a listener of ``Observer``."""
        if len(self._waiting) == MAX_LINES:
            self._dropped += 1
        self._waiting.append((time.time(), served))
        if self._wake is not None:
            self._wake.set()

    def _put(self, line: _Line) -> None:
        if len(self._waiting) == MAX_LINES:
            self._dropped += 1
        self._waiting.append(line)
        if self._token is None:
            self.flush()
        elif threading.get_ident() == self._loop_thread:
            self._wake_flusher()
        else:
            self._token.run_sync_soon(self._wake_flusher)

    def _wake_flusher(self) -> None:
        if self._wake is not None:
            self._wake.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Flush for ever; when cancelled, once more and then directly again."""
        self._loop_thread = threading.get_ident()
        self._token = trio.lowlevel.current_trio_token()
        task_status.started()
        try:
            while True:
                if not (self._waiting or self._unwritten):
                    self._wake = trio.Event()
                    await self._wake.wait()
                    self._wake = None
                await trio.sleep(STALLED_S if self._is_stalled else FLUSH_EVERY_S)
                await trio.to_thread.run_sync(self.flush, abandon_on_cancel=True)
        finally:
            self._token = self._wake = None
            self._flush_within(FLUSH_AT_END_S)

    def _flush_within(self, seconds: float) -> None:
        """Flush, unless the reader of our output has stalled: a daemon must be able to stop."""
        end = time.monotonic() + seconds
        while (self._waiting or self._unwritten) and time.monotonic() < end:
            self.flush()
            if self._is_stalled:
                return

    def flush(self) -> None:
        """Write what is waiting, for WRITE_S at most; from any thread. ``logging.shutdown`` calls
        it as well, when the process ends.
        """
        if not self._writing.acquire(timeout=2 * WRITE_S):
            return  # another thread writes, and gives up in time
        try:
            if not self._unwritten:
                self._unwritten = self._next_batch()
            if self._unwritten:
                self._write()
        finally:
            self._writing.release()

    def _next_batch(self) -> bytes:
        lines = []
        while self._waiting:
            item = self._waiting.popleft()
            try:
                lines.append(self._format(item))
            except Exception as error:  # an author's value that has no text must not end the log
                text = f"a log line is lost: {type(error).__name__}"
                lines.append(self._format(_Line(time.time(), "ERROR", "mcpd.log", text, {})))
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            text = f"{dropped} log lines dropped: the log is read too slowly"
            lines.append(self._format(_Line(time.time(), "WARNING", "mcpd.log", text, {})))
        return "".join(lines).encode("utf-8", "backslashreplace")

    def _write(self) -> None:
        """Past Python's buffers, which a stalled reader would lock at exit."""
        try:
            taken = self._descriptor.write(self._unwritten, 0 if self._is_stalled else WRITE_S)
        except OSError:
            self._unwritten = b""  # the reader is gone; there is nowhere to say so
            return
        self._unwritten = self._unwritten[taken:]
        self._is_stalled = taken == 0

    def close(self) -> None:
        """Write what can be written; ``logging.shutdown`` calls it."""
        self._descriptor.close()
        super().close()

    def _format(self, item: _Line | _Access) -> str:
        if not isinstance(item, _Line):
            if self._style == "text":
                return self._access_text(*item)
            item = _access_line(*item)
        if self._style == "json":
            return self._prefix(item) + _json(item)
        return "".join(self._prefix(item) + part + "\n" for part in self._text(item).split("\n"))

    def _access_text(self, when: float, served: RequestServed) -> str:
        """The line that is written most, without the detours of the others."""
        start = "<6>" if self._journald else _when(when) + " INFO    "
        activity = served.activity
        session = f" session={_word(activity.session)}" if activity.session else ""
        user = f" user={_word(activity.user)}" if activity.user else ""
        method = f" method={_word(activity.method)}" if activity.method else ""
        return (
            f"{start}mcpd.access: {served.method} {_word(served.path)} status={served.status}"
            f" ms={served.seconds * 1000:.2f} bytes={served.size} peer={served.address}"
            f" request={activity.id}{session}{user}{method}\n"
        )

    def _prefix(self, line: _Line) -> str:
        return f"<{_PRIORITIES.get(line.level, 6)}>" if self._journald else ""

    def _text(self, line: _Line) -> str:
        message, newline, rest = line.message.partition("\n")
        fields = "".join(f" {name}={_word(str(value))}" for name, value in line.fields.items())
        start = "" if self._journald else f"{_when(line.when)} {line.level:<7} "
        more = "".join(f"\n{_MORE}{_clean(part)}" for part in rest.split("\n")) if newline else ""
        return f"{start}{line.logger}: {_clean(message)}{fields}{more}"


def _line_of(record: logging.LogRecord) -> _Line:
    fields = dict(getattr(record, "fields", {}))
    activity = current.get()
    if activity.id != "-":
        fields = {"request": activity.id, **activity.known(), **fields}
    message = record.getMessage()
    if record.exc_info and record.exc_info[0] is not None:
        message += "\n" + "".join(traceback.format_exception(*record.exc_info)).rstrip()
    return _Line(record.created, record.levelname, record.name, message, fields)


def _access_line(when: float, served: RequestServed) -> _Line:
    fields: dict[str, Any] = {
        "status": served.status,
        "ms": round(served.seconds * 1000, 2),
        "bytes": served.size,
        "peer": served.address,
        "request": served.activity.id,
        **served.activity.known(),
    }
    return _Line(when, "INFO", "mcpd.access", f"{served.method} {served.path}", fields)


def _json(line: _Line) -> str:
    body = {
        "time": _when(line.when),
        "level": line.level.lower(),
        "logger": line.logger,
        "message": line.message,
        **line.fields,
    }
    try:
        return msgspec.json.encode(body, enc_hook=str).decode() + "\n"
    except (UnicodeEncodeError, TypeError, ValueError):  # a lone surrogate, say
        return json.dumps(body, default=repr) + "\n"


@functools.lru_cache(maxsize=2)
def _whole_second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _when(seconds: float) -> str:
    return f"{_whole_second(int(seconds))}.{int(seconds % 1 * 1000):03d}Z"


def _word(text: str) -> str:
    """A value of a field: as it is if it is one plain word, else quoted as JSON quotes, so that
    what a client sent cannot look like another field.
    """
    return _remembered_word(text) if len(text) <= KNOWN_WORD_CHARS else _quote(text)


def _quote(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(_clean(text), ensure_ascii=False)


_remembered_word = functools.lru_cache(maxsize=KNOWN_WORDS)(_quote)


def _clean(text: str) -> str:
    """No control characters: what a client sends must not draw on the terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def set_up(writer: LogWriter, level: str) -> None:
    """Make ``writer`` the root logger's only handler."""
    root = logging.getLogger()
    root.handlers[:] = [writer]
    set_level(level)
    logging.captureWarnings(True)


def set_level(level: str) -> None:
    """Change the level while running."""
    logging.getLogger().setLevel(level.upper())
