"""completion/complete (MCP, server/utilities/completion)."""

import functools

import msgspec

from mcpd.app.app import Completer
from mcpd.app.function import call_contained, is_async
from mcpd.errors import InvalidParams
from mcpd.mcp.catalog.catalog import Host
from mcpd.mcp.failures import explained
from mcpd.mcp.request import Job, Method, Result, limit_rate, read_params

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


async def _complete(job: Job) -> Result:
    limit_rate(job)
    params = read_params(_params, job.call.params)
    host = job.services.host
    if isinstance(params.ref, _PromptReference):
        of, known = params.ref.name, params.ref.name in host.prompts
    else:
        of, known = params.ref.uri, params.ref.uri in host.resources
    if not known:
        raise InvalidParams("There is nothing of that name to complete.", received=of[:128])
    completer = host.find_completer(of, params.argument.name)
    values: list[str] = []
    if completer is not None:
        others = {} if params.context is None else params.context.arguments
        values = await _values(host, completer, params.argument.value, others, of)
    shown = values[:MAX_VALUES]
    return {
        "completion": {
            "values": shown,
            "total": len(values),
            "hasMore": len(values) > len(shown),
        }
    }


async def _values(
    host: Host, completer: Completer, value: str, others: dict[str, str], of: str
) -> list[str]:
    with explained(f"the completion of {of}"):
        call = functools.partial(completer, value, others)
        found = await call_contained(of, call, host.threads, is_async=is_async(completer))
        return [str(item) for item in found]


METHODS = {"completion/complete": Method(_complete)}
