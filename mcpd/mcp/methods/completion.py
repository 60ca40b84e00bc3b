"""completion/complete (MCP, server/utilities/completion)."""

import functools
import inspect

import msgspec
import trio

from mcpd.app.app import Completer
from mcpd.errors import InternalError, InvalidParams, McpdError
from mcpd.mcp.host import Host
from mcpd.mcp.job import Job, Method, Result, limit_rate, read_params
from mcpd.mcp.methods.tools import explain_failure

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
    try:
        if inspect.iscoroutinefunction(completer):
            return [str(item) for item in await completer(value, others)]
        found = await trio.to_thread.run_sync(
            functools.partial(completer, value, others),
            abandon_on_cancel=True,
            limiter=host.threads,
        )
        return [str(item) for item in found]  # type: ignore[union-attr]  # it was not async
    except McpdError:
        raise
    except Exception as error:
        raise InternalError(explain_failure(f"the completion of {of}", error)) from error


METHODS = {"completion/complete": Method(_complete)}
