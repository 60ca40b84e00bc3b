"""Headers that 2026-07-28 wants beside a message, made from the message. Pure."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from mcpd.errors import McpdError
from mcpd.mcp.envelope.headers import (
    HEADER_METHOD,
    HEADER_NAME,
    HEADER_VERSION,
    KEYWORD,
    NAME_MEMBERS,
    encode_value,
    is_header_name,
    reachable,
    value_at,
)
from mcpd.mcp.envelope.params import Params, read_common
from mcpd.rpc.messages import Call, Notification

Pairs = list[tuple[bytes, bytes]]


class _Listed(msgspec.Struct):
    tools: Any = None


_listed = msgspec.json.Decoder(_Listed)


@dataclass(slots=True)
class ParameterMirrors:
    """Which parameters of which tools are mirrored, as the server's lists told."""

    _tools: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def headers(self, message: Call | Notification) -> Pairs | None:
        """For a message of the modern era; None: it is not one."""
        try:
            params = read_common(message.params)
        except McpdError:
            return None
        version = params.meta.version
        if version is msgspec.UNSET:
            return None
        pairs = [
            (HEADER_VERSION, _field(str(version))),
            (HEADER_METHOD, _field(message.method)),
        ]
        member = NAME_MEMBERS.get(message.method)
        name = params.member(member) if member is not None else None
        if isinstance(name, str):
            pairs.append((HEADER_NAME, _field(name)))
        return pairs + self._parameters(message, params)

    def _parameters(self, message: Call | Notification, params: Params) -> Pairs:
        mirrored = self._tools.get(params.name) if isinstance(params.name, str) else None
        if message.method != "tools/call" or not mirrored:
            return []
        arguments = msgspec.json.decode(params.given_arguments)
        found = ((name, value_at(arguments, path)) for name, path in mirrored.items())
        return [
            (f"mcp-param-{name.lower()}".encode("ascii"), _field(_text(value)))
            for name, value in found
            if value is not None
        ]

    def learn(self, result: bytes) -> None:
        """Remember which parameters of which tools are mirrored, from a tools/list."""
        if KEYWORD.encode("ascii") not in result:
            return
        try:
            tools = _listed.decode(result).tools
        except msgspec.DecodeError:
            return  # whatever that is, it is for the caller to read
        for tool in tools if isinstance(tools, list) else ():
            if isinstance(tool, dict) and isinstance(tool.get("name"), str):
                declared = reachable(tool.get("inputSchema"))
                self._tools[tool["name"]] = {
                    name: path for name, path, _ in declared if is_header_name(name)
                }


def is_modern(message: Call | Notification) -> bool:
    """Whether a message belongs to the modern era."""
    try:
        return read_common(message.params).meta.version is not msgspec.UNSET
    except McpdError:
        return False


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _field(text: str) -> bytes:
    return encode_value(text).encode("ascii")
