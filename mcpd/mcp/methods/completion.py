"""completion/complete (MCP, server/utilities/completion)."""

import functools
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from mcpd.app.app import Completer
from mcpd.app.function import call_contained, is_async
from mcpd.errors import InvalidParams
from mcpd.mcp.catalog.catalog import Catalog, Offered
from mcpd.mcp.failures import explained
from mcpd.mcp.permission import permitted
from mcpd.mcp.questions.conversation import Outlet
from mcpd.mcp.request import McpRequest, Method, Result, read_params

MAX_VALUES = 100  # the specification's


class _PromptReference(msgspec.Struct, tag_field="type", tag="ref/prompt"):
    name: str


class _ResourceReference(msgspec.Struct, tag_field="type", tag="ref/resource"):
    uri: str


class _Argument(msgspec.Struct):
    name: str
    value: str


class _CompletionContext(msgspec.Struct):
    arguments: dict[str, str] = {}


class _Params(msgspec.Struct):
    ref: _PromptReference | _ResourceReference
    argument: _Argument
    context: _CompletionContext | None = None


_params = msgspec.json.Decoder(_Params)


async def _complete(request: McpRequest, outlet: Outlet | None) -> Result:
    params = read_params(_params, request.call.params)
    catalog = request.runtime.catalog
    if isinstance(params.ref, _PromptReference):
        of, known = params.ref.name, _is_there(request, "prompts", params.ref.name)
    else:
        of, known = params.ref.uri, _is_there(request, "resources", params.ref.uri)
    if not known:
        raise InvalidParams("There is nothing of that name to complete.", received=of[:128])
    completer = catalog.find_completer(of, params.argument.name)
    values: list[str] = []
    if completer is not None:
        others = {} if params.context is None else params.context.arguments
        values = await _values(catalog, completer, params.argument.value, others, of)
    shown = values[:MAX_VALUES]
    return {
        "completion": {
            "values": shown,
            "total": len(values),
            "hasMore": len(values) > len(shown),
        }
    }


def _is_there(request: McpRequest, kind: Literal["prompts", "resources"], key: str) -> bool:
    table: Mapping[str, Offered[Any]] = getattr(request.runtime.catalog, kind)
    return permitted(kind, table.get(key), request.caller.principal) is not None


async def _values(
    catalog: Catalog, completer: Completer, value: str, others: dict[str, str], of: str
) -> list[str]:
    with explained(f"the completion of {of}"):
        call = functools.partial(completer, value, others)
        found = await call_contained(of, call, catalog.threads, is_async=is_async(completer))
        return [str(item) for item in found]


METHODS = {"completion/complete": Method(_complete, costs=True)}
