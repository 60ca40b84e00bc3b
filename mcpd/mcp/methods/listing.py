"""The four list methods, which differ in name alone (MCP, server/utilities/pagination)."""

import msgspec

from mcpd.mcp.questions.conversation import Outlet
from mcpd.mcp.request import McpRequest, Method, Result, read_params


class _ListParams(msgspec.Struct):
    cursor: str | None = None


_list_params = msgspec.json.Decoder(_ListParams)


def list_method(kind: str) -> Method:
    """The method that lists ``kind``, a member of its result."""

    async def handle(request: McpRequest, outlet: Outlet | None) -> Result:
        cursor = read_params(_list_params, request.call.params).cursor
        view = request.caller.principal.rights.view
        return request.runtime.catalog.list_page(kind, request.caller.revision, cursor, view)

    return Method(handle)
