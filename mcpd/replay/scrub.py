"""What is written down of a conversation: no secrets, and names for what a server made up. Pure."""

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, quote, unquote_plus, urlsplit

from mcpd.replay.json_text import parse_json
from mcpd.replay.secrets import (
    HIDDEN,
    hide,
    holds_secrets,
    is_number_of_secret,
    is_secret,
    is_weak,
    spellings,
)

BAD_TOKEN = "not-a-token"  # what recordings show as a wrong one; it is no secret
SENT_FIELDS_LEFT_OUT = frozenset({"host", "content-length", "connection", "transfer-encoding"})
KEPT_FIELDS = ("content-type", "mcp-session-id", "www-authenticate", "allow", "retry-after",
    "location")  # fmt: skip

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
NUMBERED = {"taskId": "task", "requestState": "state", "nextCursor": "cursor", "cursor": "cursor",
    "client_id": "client"}  # fmt: skip
_SCHEMA_TYPES = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})
_ENCODED = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")  # perhaps Base64
_RUN = re.compile(r"[^\s\"'<>&#]+")  # perhaps percent-encoded
_PERCENT = re.compile(r"%[0-9A-Fa-f]{2}")
_SAFE = "/:?=,;@<>-._~!$'()*+"
MIN_LEARNT = 6  # characters: shorter ones would be found in every text
MIN_NAMED = 8
MAX_LAYERS = 3  # of encodings in encodings


class Scrubber:
    """Replaces, and remembers what stands for what.

    Args:
        secrets: values that must not be written, whatever they are part of.
        base: the URL that the client was given, without its path.
        also: other names of that, which the server may use.
    """

    def __init__(self, secrets: Iterable[str], base: str, also: Iterable[str] = ()) -> None:
        self._fixed: dict[str, str] = {}
        self._plain: set[bytes] = set()
        self._names: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        for secret in filter(None, secrets):
            self._fix(secret, "<token>")
        for url in (base, *also):
            self._fixed.update({url: "<base>", quote(url, safe=""): "<base>"})

    def _fix(self, value: str, shown: str) -> None:
        self._plain.add(value.encode("utf-8", "surrogatepass"))
        for spelt in spellings(value):
            self._fixed.setdefault(spelt, shown)

    # --- learning -------------------------------------------------------------------------------

    def learn(self, name: str, value: str) -> None:
        """A header of the client: what is secret in it is so wherever it comes again."""
        if name == "authorization":
            scheme, _, credentials = value.partition(" ")
            value = credentials or value
            if scheme.lower() == "basic":
                self._learn_value(_decoded(value).partition(b":")[2].decode("utf-8", "replace"))
        elif name == "cookie":
            for pair in value.split(";"):
                self._learn_value(pair.partition("=")[2].strip())
        elif not is_secret(name):
            return
        if len(value) >= MIN_LEARNT and value != BAD_TOKEN:
            self._fix(value, "<token>" if name == "authorization" else HIDDEN)

    def learn_body(self, value: Any, member: str = "") -> None:
        """Secrets by name in a JSON body, as in ``learn``."""
        if isinstance(value, dict):
            for key, inner in value.items():
                self.learn_body(inner, key)
        elif isinstance(value, list):
            for inner in value:
                self.learn_body(inner, member)
        elif isinstance(value, str) and holds_secrets(member):
            self._learn_value(value)

    def learn_query(self, query: str) -> None:
        """Secrets by name in a query or a form, as in ``learn``."""
        for name, value in parse_qsl(query):
            if holds_secrets(name):
                self._learn_value(value)

    def _learn_value(self, value: str) -> None:
        """Not each value of such a name is a secret: ``required`` is a word."""
        if len(value) >= MIN_NAMED and any(c.isdigit() for c in value) and " " not in value:
            self._fix(value, HIDDEN)

    def name(self, kind: str, value: str) -> str:
        """The placeholder for a value that is another one the next time."""
        if value not in self._names:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._names[value] = f"<{kind}-{self._counts[kind]}>"
        return self._names[value]

    # --- writing --------------------------------------------------------------------------------

    def text(self, text: str, layer: int = 0) -> str:
        """A field value, a target, a member's name, or a body that is no JSON."""
        text = self._without_encoded(text, layer)
        for value in sorted(self._fixed, key=len, reverse=True):
            text = text.replace(value, self._fixed[value])
        for value, shown in self._names.items():
            if len(value) > MIN_NAMED:
                text = text.replace(value, shown)
        return hide(text)

    def _without_encoded(self, text: str, layer: int) -> str:
        """A text without what is secret once it is decoded."""
        if layer == MAX_LAYERS:
            return text

        def from_base64(run: re.Match[str]) -> str:
            parts = [run[0], *(part for part in run[0].split("/") if len(part) >= MIN_NAMED)]
            return HIDDEN if any(self._is_secret_encoded(part, layer) for part in parts) else run[0]

        def from_percent(run: re.Match[str]) -> str:
            if not _PERCENT.search(run[0]):
                return run[0]
            decoded = unquote_plus(run[0])
            shown = self.text(decoded, layer + 1)
            return run[0] if shown == decoded else quote(shown, safe=_SAFE)

        return _ENCODED.sub(from_base64, _RUN.sub(from_percent, text))

    def _is_secret_encoded(self, run: str, layer: int) -> bool:
        data = _decoded(run)
        if any(secret in data for secret in self._plain):
            return True
        try:
            decoded = data.decode("utf-8")
        except UnicodeDecodeError:
            return False
        return bool(decoded) and decoded.isprintable() and self._tells(decoded, layer + 1)

    def _tells(self, text: str, layer: int) -> bool:
        """Whether a text holds a secret, and not only what has another name the next time."""
        return HIDDEN in (shown := self.text(text, layer)) or "<token>" in shown

    def field(self, name: str, value: str) -> tuple[str, str]:
        """A header field."""
        if name == "authorization":
            scheme, space, credentials = value.partition(" ")
            if not space:  # no scheme: the whole of it is the secret
                return name, "<token>"
            shown = "<bad-token>" if credentials == BAD_TOKEN else "<token>"
            return name, f"{scheme} {shown}"
        if name == "mcp-session-id":
            return name, self.name("session", value)
        if is_secret(name):
            return name, HIDDEN
        return name, self.text(value)

    def body(
        self, value: Any, member: str = "", *, sent: bool = False, hidden: bool = False
    ) -> Any:
        """A JSON body.

        Args:
            sent: by the client: a moment in it is what it says.
            hidden: whatever is in it is secret.
        """
        if isinstance(value, dict):
            return self._object(value, member, sent=sent, hidden=hidden)
        if isinstance(value, list):
            return [self.body(inner, member, sent=sent, hidden=hidden) for inner in value]
        if not isinstance(value, str):
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            return HIDDEN if is_number and is_number_of_secret(member) else value
        if hidden or is_secret(member):
            # The same value in the same place again: two rows have two keys
            return self.name("made", value) if is_weak(member) and not hidden else HIDDEN
        if member in NUMBERED:
            return self.name(NUMBERED[member], value)
        if is_time(value) and not sent:
            return "<time>"
        return self._names.get(value) or self.text(value)

    def _object(
        self, value: dict[str, Any], member: str, *, sent: bool, hidden: bool
    ) -> dict[str, Any]:
        if member in ("inputRequests", "inputResponses"):  # the server names these
            return {self.name("input", k): self.body(v, k, sent=sent) for k, v in value.items()}
        hidden = hidden or (holds_secrets(member) and not _is_schema(value))
        return {
            self.text(key): self.body(inner, key, sent=sent, hidden=hidden)
            for key, inner in value.items()
        }


def _is_schema(value: dict[str, Any]) -> bool:
    """Whether an object describes a secret, and holds none."""
    return isinstance(value.get("type"), str) and value["type"] in _SCHEMA_TYPES


def _decoded(run: str) -> bytes:
    """What Base64 holds, in either alphabet, with padding or without; empty: it is none."""
    plain = run.rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def is_time(text: str) -> bool:
    """Whether it is a moment, as RFC 3339 writes it."""
    return _TIME.fullmatch(text) is not None


def query_of(target: str) -> str:
    """The query of a target; empty: it has none, or is none."""
    try:
        return urlsplit(target).query
    except ValueError:
        return ""


def read_json(data: bytes) -> Any:
    """The JSON in a body; None: it is none, or too deep."""
    try:
        return parse_json(data)
    except ValueError:
        return None
