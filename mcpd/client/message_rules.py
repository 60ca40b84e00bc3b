"""What a message of a server owes: its form (JSON-RPC 2.0, sections 4 to 6), and the result of its
method (the schema of MCP). Pure.

The replayer and the doctor judge servers by these; no client of ours refuses a message for them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Members = dict[str, type]

_KINDS = {str: "a string", dict: "an object", list: "an array", int: "an integer"}
_DESCRIBED: Members = {"title": str, "description": str}
_PAGE: Members = {"nextCursor": str}
_ITEMS: dict[str, tuple[Members, Members]] = {
    "tools": (
        {"name": str, "inputSchema": dict},
        {**_DESCRIBED, "outputSchema": dict, "annotations": dict, "icons": list},
    ),
    "resources": ({"uri": str, "name": str}, {**_DESCRIBED, "mimeType": str, "icons": list}),
    "resourceTemplates": ({"uriTemplate": str, "name": str}, {**_DESCRIBED, "mimeType": str}),
    "prompts": ({"name": str}, {**_DESCRIBED, "arguments": list, "icons": list}),
    "contents": ({"uri": str}, {}),
    "messages": ({"role": str, "content": dict}, {}),
    "content": ({"type": str}, {}),
}
_RESULTS: dict[str, tuple[Members, Members]] = {
    "initialize": (
        {"protocolVersion": str, "capabilities": dict, "serverInfo": dict},
        {"instructions": str},
    ),
    "server/discover": (
        {"supportedVersions": list, "capabilities": dict},
        {"instructions": str},
    ),
    "tools/list": ({"tools": list}, _PAGE),
    "tools/call": ({"content": list}, {}),
    "resources/list": ({"resources": list}, _PAGE),
    "resources/templates/list": ({"resourceTemplates": list}, _PAGE),
    "resources/read": ({"contents": list}, {}),
    "prompts/list": ({"prompts": list}, _PAGE),
    "prompts/get": ({"messages": list}, {}),
    "completion/complete": ({"completion": dict}, {}),
}
_IMPLEMENTATION: Members = {"name": str, "version": str}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a message.

    Attributes:
        is_null: null stands where the member may only be left out; some clients read that.
    """

    text: str
    is_null: bool = False


def form_faults(message: dict[str, Any]) -> Iterator[Fault]:
    """What is wrong with a message whatever it answers."""
    said = [name for name in ("method", "result", "error") if name in message]
    if message.get("jsonrpc") != "2.0":
        yield Fault('a message without "jsonrpc": "2.0"')
    error = message.get("error")
    if len(said) != 1:
        null = said == ["result", "error"] and error is None
        yield Fault(f"a message with {' and '.join(said) or 'no method, result or error'}", null)
    elif "error" in said and not isinstance(error, dict):
        yield Fault("error is no object")
    if isinstance(error, dict):
        yield from _members(error, {"code": int, "message": str}, "error")


def result_faults(method: str, result: Any) -> Iterator[Fault]:
    """What is wrong with the result of a method."""
    if not isinstance(result, dict):
        yield Fault("result is no object")
        return
    if result.get("resultType", "complete") != "complete" or "task" in result:
        return  # not the result yet
    required, optional = _RESULTS.get(method, ({}, {}))
    yield from _members(result, required, "result")
    yield from _members(result, optional, "result", optional=True)
    info = result.get("serverInfo")
    if "serverInfo" in required and isinstance(info, dict):
        yield from _members(info, _IMPLEMENTATION, "result.serverInfo")
    for name, (owed, allowed) in _ITEMS.items():
        items = result.get(name)
        for item in items if isinstance(items, list) else ():
            yield from _item(item, owed, allowed, f"result.{name}[]")


def _item(item: Any, owed: Members, allowed: Members, where: str) -> Iterator[Fault]:
    if not isinstance(item, dict):
        yield Fault(f"{where} is no object")
        return
    yield from _members(item, owed, where)
    yield from _members(item, allowed, where, optional=True)
    schema = item.get("inputSchema") if "inputSchema" in owed else None
    if isinstance(schema, dict) and schema.get("type") != "object":
        yield Fault(f'{where}.inputSchema.type is not "object"')


def _members(
    found: dict[str, Any], wanted: Members, where: str, *, optional: bool = False
) -> Iterator[Fault]:
    for name, kind in wanted.items():
        if name not in found:
            if not optional:
                yield Fault(f"{where}.{name} is missing")
        elif not isinstance(found[name], kind) or (kind is int and found[name] is True):
            null = optional and found[name] is None
            what = "null, and may only be left out" if null else f"not {_KINDS[kind]}"
            yield Fault(f"{where}.{name} is {what}", null)
