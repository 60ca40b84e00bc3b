"""resources/list, templates/list, read, subscribe, unsubscribe (MCP, server/resources)."""

from typing import Any

import msgspec

from mcpd.app.context import Context
from mcpd.app.function import WrongArguments
from mcpd.errors import InvalidParams
from mcpd.mcp.failures import explained
from mcpd.mcp.make_context import with_context
from mcpd.mcp.methods.listing import list_method
from mcpd.mcp.request import Job, Method, Result, read_params
from mcpd.mcp.revisions import Revision
from mcpd.mcp.streams.change_feed import MAX_URIS


class ResourceNotFound(InvalidParams):
    """No resource has this URI; the code depends on the revision."""

    slug = "resource_not_found"

    def __init__(self, uri: str, revision: Revision) -> None:
        super().__init__(
            "There is no such resource.",
            fix="resources/list and resources/templates/list name them.",
            data={"uri": uri[:1024]},
        )
        self.rpc_code = revision.resource_not_found_code


class _UriParams(msgspec.Struct):
    uri: str


class _UriName(msgspec.Struct):
    uri: Any = None


_uri_params = msgspec.json.Decoder(_UriParams)
_uri_name = msgspec.json.Decoder(_UriName)


async def _read(job: Job) -> Result:
    host, revision = job.services.host, job.caller.revision
    uri = read_params(_uri_params, job.call.params).uri
    found = host.find_resource(uri)
    if found is None:
        raise ResourceNotFound(uri, revision)
    offered, arguments = found

    async def run(context: Context | None) -> Result:
        try:
            with explained(offered.part.name):
                contents = await offered.part.read(uri, arguments, context, host.threads)
        except WrongArguments as error:
            raise ResourceNotFound(uri, revision) from error
        return host.cacheable({"contents": contents}, revision, private=True)

    wanted = offered.part.function.wants_context
    return await with_context(job, offered.app, wanted=wanted, run=run)


def _may_stream(job: Job) -> bool:
    uri = _uri_name.decode(job.call.params).uri
    found = job.services.host.find_resource(uri) if isinstance(uri, str) else None
    return found is not None and found[0].part.function.wants_context


async def _subscribe(job: Job) -> Result:
    return await _change(job, add=True)


async def _unsubscribe(job: Job) -> Result:
    return await _change(job, add=False)


async def _change(job: Job, *, add: bool) -> Result:
    uri, session = read_params(_uri_params, job.call.params).uri, job.caller.session
    if session is None:
        return {}
    if add and job.services.host.find_resource(uri) is None:
        raise ResourceNotFound(uri, job.caller.revision)
    uris = [known for known in session.subscriptions if known != uri]
    if add:
        uris.append(uri)
    if len(uris) > MAX_URIS:
        raise InvalidParams(f"A session subscribes to at most {MAX_URIS} resources.")
    await job.services.sessions.amend(session, subscriptions=uris)
    await job.services.broadcast.watch(session.id, uris)
    return {}


METHODS = {
    "resources/list": list_method("resources"),
    "resources/templates/list": list_method("resourceTemplates"),
    "resources/read": Method(_read, streams=_may_stream, repeatable=lambda job: True),
    "resources/subscribe": Method(_subscribe, modern=False),
    "resources/unsubscribe": Method(_unsubscribe, modern=False),
}
