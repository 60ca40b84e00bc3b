"""One line of the call log, and what of a call's arguments may stand in it. Pure."""

import functools
import hashlib
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal

import msgspec

MAX_TEXT_CHARS = 256  # of one member
MAX_ARGUMENT_CHARS = 2048
MAX_VALUE_CHARS = 200  # of one text within arguments
HASH_CHARS = 32
REDACTED = "[redacted]"
# Names of arguments whose values are never kept, whatever else is configured.
SECRETS = (
    "*password*", "*passwd*", "*secret*", "*token*", "*api_key*", "*apikey*", "*credential*",
    "*authorization*", "*private_key*", "*cookie*",
)  # fmt: skip

Arguments = Literal["off", "hashed", "redacted"]


class Entry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One call, or one request that did not become one.

    Attributes:
        at: when it ended, Unix seconds.
        credential: the id of an API key, or the ``jti`` of a token; empty: it has none.
        client: its name and version.
        status: of HTTP, where the request was refused before there was a call; else 0.
        code: of the JSON-RPC error; 0: none.
        is_error: the result says that the tool failed.
        cancelled: it was not answered.
        request: its id in the log.
        trace: of W3C Trace Context; empty: it came without.
        size_in, size_out: bytes of its params and of its answer.
        arguments: as the configuration wants them; empty: not at all.
    """

    at: float
    user: str
    credential: str
    client: str
    revision: str
    session: str
    address: str
    method: str
    target: str
    status: int
    code: int
    is_error: bool
    cancelled: bool
    seconds: float
    request: str
    trace: str = ""
    size_in: int = 0
    size_out: int = 0
    arguments: str = ""

    @property
    def outcome(self) -> str:
        """In a word or two."""
        if self.status:
            return f"HTTP {self.status}"
        if self.cancelled:
            return "cancelled"
        if self.code:
            return f"error {self.code}"
        return "tool failed" if self.is_error else "ok"

    @property
    def failed(self) -> bool:
        """Whether it did not end well."""
        return bool(self.status or self.code or self.is_error or self.cancelled)

    def shown(self) -> dict[str, Any]:
        """As JSON lines have it."""
        members = {name: getattr(self, name) for name in self.__struct_fields__}
        return {**members, "outcome": self.outcome}


def bounded(text: str) -> str:
    """What a client chose, as a short text of printable characters: it is shown on terminals."""
    return _printable(text if len(text) <= MAX_TEXT_CHARS else text[:MAX_TEXT_CHARS])


@functools.lru_cache(maxsize=4096)
def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def keeper_of(kind: Arguments, patterns: Sequence[str]) -> Callable[[bytes], str]:
    """What makes of arguments (JSON) the text that is kept of them.

    Args:
        patterns: of names whose values are not kept, beside SECRETS.
    """
    if kind == "off":
        return lambda arguments: ""
    if kind == "hashed":
        return _hash
    names = tuple(pattern.lower() for pattern in (*SECRETS, *patterns))
    return functools.partial(_redact, names=names)


def _hash(arguments: bytes) -> str:
    """The same for the same bytes, and for no others."""
    return f"sha256:{hashlib.sha256(arguments).hexdigest()[:HASH_CHARS]}"


def _redact(arguments: bytes, *, names: tuple[str, ...]) -> str:
    try:
        value = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return ""
    text = msgspec.json.encode(_without(value, names)).decode()
    return text if len(text) <= MAX_ARGUMENT_CHARS else f"{text[: MAX_ARGUMENT_CHARS - 1]}…"


def _without(value: Any, names: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {
            key: REDACTED
            if any(fnmatchcase(key.lower(), name) for name in names)
            else _without(inner, names)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_without(inner, names) for inner in value]
    if isinstance(value, str) and len(value) > MAX_VALUE_CHARS:
        return f"{value[:MAX_VALUE_CHARS]}…"
    return value
