"""What is written down of a conversation: no secrets, nothing that is another the next time, and of
lists only what the client went on to use. Pure.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

from mcpd.mcp.envelope.params import META_VERSION

# Names of secrets, without case, dashes and underscores: they are written in every way.
_SECRET_NAMES = frozenset({"code", "codeverifier", "codechallenge", "state", "jwt"})
_SECRET_ENDS = ("token", "secret", "password", "passwd", "authorization", "assertion", "cookie",
    "credential", "credentials", "jwt", "apikey", "privatekey", "secretkey", "accesskey",
    "subscriptionkey", "signingkey")  # fmt: skip
_NO_SECRETS = frozenset({"progresstoken"})
BAD_TOKEN = "not-a-token"  # what recordings show as a wrong one; it is no secret
SENT_FIELDS_LEFT_OUT = frozenset({"host", "content-length", "connection", "transfer-encoding"})
KEPT_FIELDS = ("content-type", "mcp-session-id", "www-authenticate", "allow", "retry-after",
    "location")  # fmt: skip
LISTS = {"tools": "name", "resources": "uri", "resourceTemplates": "uriTemplate",
    "prompts": "name"}  # fmt: skip
MORE = "..."
ANY = "<any>"
OPTIONAL = "<optional>"

_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_NUMBERED = {"taskId": "task", "requestState": "state", "nextCursor": "cursor", "cursor": "cursor",
    "client_id": "client"}  # fmt: skip
MIN_LEARNT = 6  # characters: shorter ones would be found in every text
_CREDENTIALS = re.compile(r"""\b(Bearer|Basic) (?!<|\w+=")[^\s"'\\,]{12,}""", re.I)
_USER = re.compile(r"//[^/\s@\"']+@")
_PAIRS = (  # NAME=VALUE and "NAME": "VALUE", wherever they stand
    re.compile(r"""(?<!\w)([A-Za-z][\w-]*)(=)(<[\w-]+>|[^&\s"'<>]+)"""),
    re.compile(r"""(?<!\w)([A-Za-z][\w-]*)(\\*"\s*:\s*\\*")([^"\\]+)"""),
    re.compile(r"""(?<!\S)--([a-z][\w-]*)( +)(<[\w-]+>|[^\s"'<>]+)"""),
)


class Scrubber:
    """Replaces, and remembers what stands for what.

    Args:
        secrets: values that must not be written, whatever they are part of.
        base: the URL that the client was given, without its path.
    """

    def __init__(self, secrets: Iterable[str], base: str) -> None:
        self._fixed = {secret: "<token>" for secret in secrets if secret}
        self._fixed[base] = "<base>"
        self._names: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def learn(self, name: str, value: str) -> None:
        """A header of the client: what is secret in it is so wherever it comes again."""
        if name == "authorization":
            value = value.partition(" ")[2] or value
        elif not is_secret(name):
            return
        if len(value) >= MIN_LEARNT and value != BAD_TOKEN:
            self._fixed.setdefault(value, "<token>" if name == "authorization" else "<secret>")

    def name(self, kind: str, value: str) -> str:
        """The placeholder for a value that is another one the next time."""
        if value not in self._names:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._names[value] = f"<{kind}-{self._counts[kind]}>"
        return self._names[value]

    def text(self, text: str) -> str:
        """A field value, a target, or a body that is no JSON."""
        for value, shown in self._fixed.items():
            text = text.replace(value, shown)
        text = _JWT.sub("<token>", text)
        text = _USER.sub("//<secret>@", _CREDENTIALS.sub(r"\1 <token>", text))
        for value, shown in self._names.items():
            if len(value) > 8:
                text = text.replace(value, shown)
        for pair in _PAIRS:
            text = pair.sub(_hide, text)
        return text

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
            return name, "<secret>"
        return name, self.text(value)

    def body(self, value: Any, member: str = "") -> Any:
        """A JSON body."""
        if isinstance(value, dict):
            if member in ("inputRequests", "inputResponses"):  # the server names these
                return {self.name("input", key): self.body(v, key) for key, v in value.items()}
            return {key: self.body(inner, key) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.body(inner, member) for inner in value]
        if not isinstance(value, str):
            return "<secret>" if _is_number_of_secret(value, member) else value
        if is_secret(member):
            return "<secret>"
        if member in _NUMBERED:
            return self.name(_NUMBERED[member], value)
        if is_time(value):
            return "<time>"
        return self._names.get(value) or self.text(value)


def is_time(text: str) -> bool:
    """Whether it is a moment, as RFC 3339 writes it."""
    return _TIME.fullmatch(text) is not None


def is_secret(name: str) -> bool:
    """Whether what goes by this name must not be written."""
    plain = name.lower().replace("-", "").replace("_", "")
    return plain in _SECRET_NAMES or (plain.endswith(_SECRET_ENDS) and plain not in _NO_SECRETS)


def _is_number_of_secret(value: Any, member: str) -> bool:
    """Other numbers go by such names as well: codes, states, counts of tokens."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and member.lower().endswith(("password", "passwd"))


def _hide(pair: re.Match[str]) -> str:
    value = pair.start(3) - pair.start(0)
    return f"{pair[0][:value]}<secret>" if is_secret(pair[1]) else pair[0]


def expectation(body: Any, used: set[str], *, strict_errors: bool) -> Any:
    """What any good server would say in the place of this answer.

    Args:
        used: names and URIs that the client asked for later.
        strict_errors: the code of an error is told by the specification.
    """
    if isinstance(body, list):
        return [expectation(one, used, strict_errors=strict_errors) for one in body]
    if not isinstance(body, dict):
        return body
    if isinstance(body.get("error"), dict):
        code = body["error"].get("code") if strict_errors else ANY
        return {**body, "error": {"code": code, "message": ANY}}
    if isinstance(body.get("result"), dict):
        return {**body, "result": _result(body["result"], used)}
    if body.get("method") == "notifications/message":
        return {**body, "params": {**body.get("params", {}), "data": ANY}}
    return body


def _result(result: dict[str, Any], used: set[str]) -> dict[str, Any]:
    kept = {
        name: value
        for name, value in result.items()
        if name not in ("_meta", "instructions", "ttlMs", "cacheScope", "description")
    }
    for name in ("pollIntervalMs", "pollInterval", "ttl"):
        if name in kept:
            kept[name] = OPTIONAL
    if "serverInfo" in kept:
        kept["serverInfo"] = ANY
    if "capabilities" in kept:
        kept["capabilities"] = {}  # what is missing shows when it is used
    for name, key in LISTS.items():
        if isinstance(kept.get(name), list):
            kept[name] = _items(kept[name], key, used)
    if isinstance(kept.get("supportedVersions"), list):
        kept["supportedVersions"] = [*(v for v in kept["supportedVersions"] if v in used), MORE]
    if kept.get("isError") is True:
        kept["content"] = ANY
    elif "structuredContent" in kept:
        kept["content"] = ANY  # each server puts it into text in its own way
    return kept


def _items(items: list[dict[str, Any]], key: str, used: set[str]) -> list[Any]:
    return [{key: item.get(key)} for item in items if item.get(key) in used] + [MORE]


def used_names(bodies: Iterable[Any]) -> set[str]:
    """Names, URIs and versions in the requests of a client."""
    found: set[str] = set()
    for body in bodies:
        params = body.get("params") if isinstance(body, dict) else None
        if isinstance(params, dict):
            found |= {v for k, v in params.items() if k in ("name", "uri") and isinstance(v, str)}
            meta = params.get("_meta")
            if isinstance(meta, dict) and isinstance(meta.get(META_VERSION), str):
                found.add(meta[META_VERSION])
            reference = params.get("ref")
            if isinstance(reference, dict):
                found |= {v for v in reference.values() if isinstance(v, str)}
    return found


def read_json(data: bytes) -> Any:
    """The JSON in a body; None: it is none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None
