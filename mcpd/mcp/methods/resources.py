"""resources/list, templates/list, read, subscribe, unsubscribe (MCP, server/resources)."""

from mcpd.access.rights import Rights
from mcpd.app.context import Context
from mcpd.app.function import WrongArguments
from mcpd.errors import InvalidParams
from mcpd.mcp.catalog.catalog import Catalog, Offered
from mcpd.mcp.catalog.provider import ListedResource
from mcpd.mcp.envelope.params import Params
from mcpd.mcp.failures import explained
from mcpd.mcp.make_context import with_context
from mcpd.mcp.methods.listing import list_method
from mcpd.mcp.permission import permitted
from mcpd.mcp.questions.conversation import Outlet
from mcpd.mcp.request import McpRequest, Method, Result, Target
from mcpd.mcp.revisions import Revision
from mcpd.mcp.streams.change_feed import check_uris


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


def _find(catalog: Catalog, params: Params, rights: Rights) -> Target | None:
    return catalog.find_resource(params.uri, rights) if isinstance(params.uri, str) else None


async def _read(request: McpRequest, outlet: Outlet | None) -> Result:
    uri, revision = request.params.text("uri"), request.caller.revision
    offered: Offered[ListedResource] | None = request.target
    if offered is None:
        raise ResourceNotFound(uri, revision)
    resource, catalog = offered.part, request.runtime.catalog

    async def run(context: Context | None) -> Result:
        try:
            with explained(resource.name):
                contents = await resource.read(uri, offered.variables, context, catalog.threads)
        except WrongArguments as error:
            raise ResourceNotFound(uri, revision) from error
        return catalog.cacheable({"contents": contents}, revision, private=True)

    if not resource.wants_context:
        return await run(None)
    return await with_context(request, offered.provider, outlet, run)


async def _subscribe(request: McpRequest, outlet: Outlet | None) -> Result:
    return await _change(request, add=True)


async def _unsubscribe(request: McpRequest, outlet: Outlet | None) -> Result:
    return await _change(request, add=False)


async def _change(request: McpRequest, *, add: bool) -> Result:
    uri, session = request.params.text("uri"), request.caller.session
    if session is None:
        return {}
    principal = request.caller.principal
    found = request.runtime.catalog.find_resource(uri, principal.rights) if add else None
    if add and permitted("resources", found, principal) is None:
        raise ResourceNotFound(uri, request.caller.revision)
    uris = [known for known in session.subscriptions if known != uri]
    if add:
        uris.append(uri)
        check_uris(uris)
    await request.runtime.sessions.amend(session, subscriptions=uris)
    await request.runtime.changes.watch(session.id, uris)
    return {}


METHODS = {
    "resources/list": list_method("resources"),
    "resources/templates/list": list_method("resourceTemplates"),
    "resources/read": Method(_read, find=_find, kind="resources", repeatable=lambda request: True),
    "resources/subscribe": Method(_subscribe, modern=False),
    "resources/unsubscribe": Method(_unsubscribe, modern=False),
}
