"""One line of the call log, and what of a call's arguments may stand in it. Pure."""

import functools
import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from mcpd.patterns import fits

MAX_TEXT_CHARS = 256  # of one member
MAX_ARGUMENT_CHARS = 2048
MAX_VALUE_CHARS = 200  # of one text within arguments
MAX_ARGUMENT_BYTES = 64 * 1024  # of what is read of them
HASH_CHARS = 32
REDACTED = "[redacted]"
# Parts of names of arguments whose values are never kept, whatever else is configured: in lower
# case, without what joins words.
SECRETS = (
    "password", "passwd", "passphrase", "pwd", "secret", "token", "apikey", "credential",
    "authorization", "authentication", "privatekey", "cookie", "session", "bearer", "otp",
)  # fmt: skip
SECRET_NAMES = ("auth", "pass", "pin", "key", "sid", "jwt")  # as a whole
# A value that looks like a token, whatever its name: a JSON Web Token, our own keys, and others'.
_TOKENS = re.compile(
    r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]*|mcpd_[A-Za-z0-9]+_[A-Za-z0-9]{20,}"
    r"|(?:sk|pk|ghp|gho|xox[abp]|AKIA)[-_A-Za-z0-9]{16,}|(?i:bearer|basic) [\w.+/=-]{8,}"
)
_JOINTS = re.compile(r"[^a-z0-9*]")

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
        reason: the limit that refused it, or the kind of refusal; empty: none did.
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
    reason: str = ""

    @property
    def outcome(self) -> str:
        """In a word or two."""
        if self.status:
            return f"HTTP {self.status} {self.reason}".strip()
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
    return Redaction(patterns).text


def _hash(arguments: bytes) -> str:
    """The same for the same bytes. Short arguments can be guessed from it."""
    return f"sha256:{hashlib.sha256(arguments).hexdigest()[:HASH_CHARS]}"


class Redaction:
    """Takes out of arguments what may be secret, as far as names and forms tell.

    Args:
        patterns: of names, with ``*``.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = tuple(_JOINTS.sub("", pattern.lower()) for pattern in patterns)
        self._is_secret = functools.lru_cache(maxsize=4096)(self._look)

    def text(self, arguments: bytes) -> str:
        """What may be kept, as JSON; empty: they are none."""
        try:
            value = msgspec.json.decode(arguments)
        except (msgspec.DecodeError, RecursionError):
            return ""
        text = msgspec.json.encode(self._without(value)).decode()
        return text if len(text) <= MAX_ARGUMENT_CHARS else f"{text[: MAX_ARGUMENT_CHARS - 1]}…"

    def _look(self, name: str) -> bool:
        bare = _JOINTS.sub("", name.lower())
        if bare in SECRET_NAMES or any(word in bare for word in SECRETS):
            return True
        return any(fits(bare, pattern) for pattern in self._patterns)

    def _without(self, value: Any) -> Any:
        if isinstance(value, dict):
            named = next((value[n] for n in ("name", "key", "header") if n in value), None)
            whole = isinstance(named, str) and "value" in value and self._is_secret(named[:128])
            return {
                key: REDACTED
                if self._is_secret(key[:128]) or (whole and key == "value")
                else self._without(inner)
                for key, inner in value.items()
            }
        if isinstance(value, list):
            return [self._without(inner) for inner in value]
        if isinstance(value, str):
            short = value if len(value) <= MAX_VALUE_CHARS else f"{value[:MAX_VALUE_CHARS]}…"
            return _TOKENS.sub(REDACTED, short)
        return value
