"""logging/setLevel of the handshake era (MCP, server/utilities/logging)."""

import msgspec

from mcpd.errors import InvalidParams
from mcpd.mcp.envelope.caller import LEVEL_ORDER
from mcpd.mcp.questions.conversation import Outlet
from mcpd.mcp.request import McpRequest, Method, Result, read_params


class _SetLevelParams(msgspec.Struct):
    level: str


_set_level_params = msgspec.json.Decoder(_SetLevelParams)


async def _set_level(request: McpRequest, outlet: Outlet | None) -> Result:
    params = read_params(_set_level_params, request.call.params)
    if params.level not in LEVEL_ORDER:
        raise InvalidParams(
            "That is no log level.",
            received=params.level[:32],
            fix=f"It is one of {', '.join(LEVEL_ORDER)}.",
        )
    if request.caller.session is not None:
        await request.runtime.sessions.amend(request.caller.session, log_level=params.level)
    return {}


METHODS = {"logging/setLevel": Method(_set_level, modern=False)}
