"""From what one server said to what any good server would say in its place: of lists what the
client went on to use, and nothing that is another one the next time. Pure.
"""

from collections.abc import Iterable
from typing import Any

from mcpd.mcp.envelope.params import META_VERSION
from mcpd.replay.varying import is_near, without_moments

LISTS = {"tools": "name", "resources": "uri", "resourceTemplates": "uriTemplate",
    "prompts": "name"}  # fmt: skip
MORE = "..."
ANY = "<any>"
OPTIONAL = "<optional>"
_NAMING = frozenset({"uri", "name", "uriTemplate", "mimeType", "protocolVersion", "method", "type"})


def expectation(body: Any, used: set[str], *, strict_errors: bool, now: float = 0.0) -> Any:
    """What any good server would say in the place of this answer.

    Args:
        used: names and URIs that the client asked for later.
        strict_errors: the code of an error is told by the specification.
        now: see ``without_times``.
    """
    if isinstance(body, list):
        return [expectation(one, used, strict_errors=strict_errors, now=now) for one in body]
    if not isinstance(body, dict):
        return body
    if isinstance(body.get("error"), dict):
        code = body["error"].get("code") if strict_errors else ANY
        return {**body, "error": {"code": code, "message": ANY}}
    if isinstance(body.get("result"), dict):
        return {**body, "result": without_times(_result(body["result"], used), now)}
    if body.get("method") == "notifications/message":
        return {**body, "params": {**body.get("params", {}), "data": ANY}}
    if isinstance(body.get("params"), dict):
        return {**body, "params": without_times(body["params"], now)}
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


def without_times(value: Any, now: float, member: str = "") -> Any:
    """A result, or params, with ``<time>`` in the place of moments, also within texts.

    Args:
        now: when it was recorded, in seconds since 1970; 0: it is not known.
    """
    if isinstance(value, dict):
        return {key: without_times(inner, now, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [without_times(inner, now, member) for inner in value]
    if isinstance(value, str):
        return value if member in _NAMING else without_moments(value, now)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return "<time>" if is_number and is_near(value, now) else value
