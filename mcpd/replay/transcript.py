"""The text of a transcript: a head, then what happened in the order of time. Pure.

    mcpd transcript 1
    client: python-sdk-1 (mcp 1.30.0)
    scenario: call

    > 1 POST /mcp/
    accept: application/json, text/event-stream

    {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {}}

    < 1 200
    content-type: application/json
    mcp-session-id: <session-1>

    {"jsonrpc": "2.0", "id": 0, "result": {}}

``>`` is the client, ``<`` the server; the number names the exchange. An entry may say how long it
came after the one before: ``soon`` (under a second), ``later`` (under ten), ``late``. A status may
have alternatives, ``200|405``. Events of a stream are entries of their own, ``< 3 event``, and so
are its end, ``< 3 end``, and a client that hangs up, ``> 3 close``. ``> 3 forget`` is where the
server lost the session that exchange 3 belongs to. ``docs/TRANSCRIPTS.md`` has the placeholders.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from mcpd.errors import ConfigError
from mcpd.replay.json_text import parse_json

FIRST_LINE = "mcpd transcript 1"
MAX_BODY_LINE = 96  # characters of JSON that stay on one line
Kind = Literal["request", "response", "event", "end", "close", "forget"]

_ENTRY = re.compile(r"([<>]) (\d+)(?: (soon|later|late))? (.+)")
_REQUEST = re.compile(r"([A-Z]+) (\S+)")
_PATH = re.compile(r"/(?!/)")  # origin-form (RFC 9112, section 3.2.1)
_SURROGATE = re.compile("[\ud800-\udfff]")  # one alone has no UTF-8, and stays an escape
_STATUSES = re.compile(r"\d{3}(?:\|\d{3})*")


@dataclass(slots=True)
class Entry:
    """One thing that happened."""

    kind: Kind
    number: int
    timing: str = ""
    method: str = ""
    target: str = ""
    statuses: tuple[int, ...] = ()
    fields: list[tuple[str, str]] = field(default_factory=list)
    body: Any = None  # JSON
    text: str = ""  # a body that is no JSON
    line: int = 0  # where it is written

    def first(self, name: str) -> str | None:
        """The first value of a field."""
        return next((value for key, value in self.fields if key == name), None)

    @property
    def title(self) -> str:
        """Its first line."""
        mark = ">" if self.kind in ("request", "close", "forget") else "<"
        words = {
            "request": f"{self.method} {self.target}",
            "response": "|".join(map(str, self.statuses)),
        }.get(self.kind, self.kind)
        return " ".join(filter(None, (mark, str(self.number), self.timing, words)))


@dataclass(slots=True)
class Transcript:
    """A client's whole conversation."""

    head: dict[str, str]
    entries: list[Entry]
    name: str = ""

    def request(self, number: int) -> Entry:
        """How an exchange began."""
        return next(e for e in self.entries if e.number == number and e.kind == "request")


def write(transcript: Transcript) -> str:
    """The text."""
    lines = [FIRST_LINE, *(f"{name}: {value}" for name, value in transcript.head.items())]
    for entry in transcript.entries:
        lines += ["", entry.title, *(f"{name}: {value}" for name, value in entry.fields)]
        if entry.body is not None:
            lines += ["", _json(entry.body)]
        elif entry.text:
            lines += ["", *(f"| {line}" for line in entry.text.split("\n"))]
    return "\n".join(lines) + "\n"


def _json(body: Any) -> str:
    flat = json.dumps(body, ensure_ascii=False)
    if len(flat) > MAX_BODY_LINE:
        flat = json.dumps(body, ensure_ascii=False, indent=1)
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", flat)


def read(text: str, name: str = "") -> Transcript:
    """The transcript of a text.

    Raises:
        ConfigError: it is none; the line is named.
    """
    lines = text.split("\n")  # and not at U+2028, which JSON has as it is
    if lines[0] != FIRST_LINE:
        raise ConfigError(f"{name} is no transcript: it does not begin with {FIRST_LINE!r}.")
    transcript = Transcript({}, [], name)
    blocks = _blocks(lines)
    for line in blocks[0][1][1:]:
        key, _, value = line.partition(": ")
        if key and not key.startswith("#"):
            transcript.head[key] = value
    for number, block in blocks[1:]:
        try:
            transcript.entries.append(_entry(number, block))
        except ValueError as error:
            raise ConfigError(f"{name}, line {number}: {error}.") from error
    _check(transcript, name)
    return transcript


def _check(transcript: Transcript, name: str) -> None:
    begun: set[int] = set()
    for entry in transcript.entries:
        if (entry.number in begun) is (entry.kind == "request"):
            raise ConfigError(
                f"{name}, line {entry.line}: exchange {entry.number} is out of place."
            )
        begun.add(entry.number)
    if not begun:
        raise ConfigError(f"{name} holds no exchange: there is nothing to play.")
    told = {e.number for e in transcript.entries if e.kind in ("response", "close")}
    for number in sorted(begun - told):
        line = transcript.request(number).line
        raise ConfigError(
            f"{name}, line {line}: exchange {number} has no response, and nothing to expect."
        )


def _blocks(lines: list[str]) -> list[tuple[int, list[str]]]:
    """The head and the entries, each with the number of its first line."""
    blocks: list[tuple[int, list[str]]] = [(1, [])]
    for number, line in enumerate(lines, 1):
        if _ENTRY.fullmatch(line):
            blocks.append((number, []))
        if not line.startswith("#"):
            blocks[-1][1].append(line)
    return blocks


def _entry(number: int, block: list[str]) -> Entry:
    found = _ENTRY.fullmatch(block[0])
    if found is None:
        raise ValueError("that is no entry")
    entry = _titled(found[1], int(found[2]), found[4])
    entry.timing, entry.line = found[3] or "", number
    rest = block[1:]
    while rest and rest[0]:
        name, colon, value = rest.pop(0).partition(": ")
        if not colon:
            raise ValueError(f"{name!r} is no header field")
        entry.fields.append((name, value))
    body = "\n".join(rest).strip("\n")
    if body.startswith("|"):
        lines = (line.removeprefix("|").removeprefix(" ") for line in body.split("\n"))
        entry.text = "\n".join(lines)
    elif body:
        try:
            entry.body = parse_json(body)
        except ValueError as error:
            raise ValueError(f"the body is no JSON: {error}") from error
    return entry


def _titled(mark: str, number: int, words: str) -> Entry:
    if mark == ">":
        if words in ("close", "forget"):
            return Entry("close" if words == "close" else "forget", number)
        if found := _REQUEST.fullmatch(words):
            if not _PATH.match(found[2]):
                raise ValueError(
                    f"the target {found[2]!r} is no path that begins with one slash; it could lead"
                    " to another server, which would get the token"
                )
            return Entry("request", number, method=found[1], target=found[2])
    elif words in ("event", "end"):
        return Entry("event" if words == "event" else "end", number)
    elif _STATUSES.fullmatch(words):
        return Entry("response", number, statuses=tuple(map(int, words.split("|"))))
    raise ValueError(f"{words!r} is neither a request nor a response")
