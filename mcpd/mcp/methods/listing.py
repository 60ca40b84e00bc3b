"""The four list methods, which differ in name alone (MCP, server/utilities/pagination)."""

import msgspec

from mcpd.mcp.request import Job, Method, Result, read_params


class _ListParams(msgspec.Struct):
    cursor: str | None = None


_list_params = msgspec.json.Decoder(_ListParams)


def list_method(kind: str) -> Method:
    """The method that lists ``kind``, a member of its result."""

    async def handle(job: Job) -> Result:
        cursor = read_params(_list_params, job.call.params).cursor
        return job.services.host.list_page(kind, job.caller.revision, cursor)

    return Method(handle)
