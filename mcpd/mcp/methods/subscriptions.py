"""subscriptions/listen of 2026-07-28 (basic/patterns/subscriptions)."""

from typing import Any, NoReturn

import msgspec

from mcpd.errors import InvalidParams, NotAcceptable
from mcpd.mcp.permission import may_read
from mcpd.mcp.questions.conversation import Outlet
from mcpd.mcp.request import McpRequest, Method, Result, read_params
from mcpd.mcp.streams.change_feed import LIST_CHANGED, TASK_CHANGED, UPDATED, Listener, check_uris
from mcpd.mcp.tasks.choice import declares_tasks, needs_tasks
from mcpd.mcp.tasks.task import Task, detailed_form
from mcpd.rpc.messages import encode_notification

SUBSCRIPTION_ID = "io.modelcontextprotocol/subscriptionId"


class _Filter(msgspec.Struct, rename="camel"):
    tools_list_changed: bool = False
    prompts_list_changed: bool = False
    resources_list_changed: bool = False
    resource_subscriptions: list[str] = []
    task_ids: list[str] = []


class _Params(msgspec.Struct):
    notifications: _Filter


_params = msgspec.json.Decoder(_Params)


async def _listen(request: McpRequest, outlet: Outlet | None) -> Result:
    """Acknowledge, then pass on what was asked for, until the client goes or the server drains."""
    if outlet is None:
        raise NotAcceptable("subscriptions/listen answers with an event stream alone.")
    wanted = read_params(_params, request.call.params).notifications
    size = check_uris([*wanted.resource_subscriptions, *wanted.task_ids])
    caps, owner = request.runtime.limits.caps, request.caller.principal.key
    each = request.caller.principal.rights.limits.rules.streams_at_once
    with caps.streams.hold(owner, each=each), caps.watched.hold(owner, size):
        honoured, methods = await _honoured(request, wanted)
        uris = {*honoured.get("resourceSubscriptions", []), *honoured.get("taskIds", [])}
        meta = {SUBSCRIPTION_ID: msgspec.Raw(request.call.id)}
        with request.runtime.changes.listen(methods, uris) as listener:
            acknowledged = {"_meta": meta, "notifications": honoured}
            await outlet.send(
                encode_notification("notifications/subscriptions/acknowledged", acknowledged)
            )
            del wanted, honoured, acknowledged, uris  # it may last for days
            await _pass_on(request, outlet, listener, meta)


async def _pass_on(
    request: McpRequest, outlet: Outlet, listener: Listener, meta: dict[str, Any]
) -> NoReturn:
    while True:
        method, params = await listener.next()
        if method == TASK_CHANGED:
            task = await _find_mine(request, params["uri"])
            if task is None:
                continue  # it expired meanwhile
            params = detailed_form(task)
        elif method == UPDATED and not _may_read(request, params["uri"]):
            continue
        await outlet.send(encode_notification(method, {**params, "_meta": meta}))


async def _honoured(request: McpRequest, wanted: _Filter) -> tuple[dict[str, Any], set[str]]:
    """The part of the filter that this server can honour, and the notifications it means."""
    capabilities = request.runtime.catalog.capabilities
    honoured: dict[str, Any] = {}
    methods: set[str] = set()
    asked = {
        "tools": wanted.tools_list_changed,
        "prompts": wanted.prompts_list_changed,
        "resources": wanted.resources_list_changed,
    }
    for kind, method in LIST_CHANGED.items():
        if asked[kind] and kind in capabilities:
            honoured[f"{kind}ListChanged"] = True
            methods.add(method)
    if wanted.resource_subscriptions and "resources" in capabilities:
        honoured["resourceSubscriptions"] = wanted.resource_subscriptions
    if wanted.task_ids:
        if not declares_tasks(request.caller):
            raise needs_tasks("Listening to tasks needs the tasks extension.")
        honoured["taskIds"] = [
            task_id for task_id in wanted.task_ids if await _find_mine(request, task_id)
        ]
    return honoured, methods


def _may_read(request: McpRequest, uri: str) -> bool:
    return may_read(request.runtime.catalog, uri, request.caller.principal)


async def _find_mine(request: McpRequest, task_id: str) -> Task | None:
    try:
        return await request.runtime.tasks.get(request.caller.principal, task_id)
    except InvalidParams:
        return None


def _farewell(request: McpRequest) -> Result:
    """The graceful end: a result that names the subscription."""
    return {"_meta": {SUBSCRIPTION_ID: msgspec.Raw(request.call.id)}}


METHODS = {
    "subscriptions/listen": Method(_listen, handshake=False, streams=True, farewell=_farewell)
}
