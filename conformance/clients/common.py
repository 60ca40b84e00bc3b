"""What the scripts in Python share: settings, scenarios that only call tools, and the report.

Env: MCP_URL, MCP_TOKEN (may be empty), LOSE_SESSION (for session_lost).
"""

import asyncio
import json
import os
import secrets
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

URL = os.environ["MCP_URL"]
WATCHED = "test://watched-resource"
TEMPLATE = "test://template/42/data"
PROMPT = "test_prompt_with_arguments"
PROMPT_ARGUMENTS = {"arg1": "a", "arg2": "b"}
USER = {"username": "ada", "email": "ada@example.com"}
REDIRECT_URL = "http://127.0.0.1:33418/callback"
REFUSED = ("no_token", "bad_token", "oauth")  # the server lets none of these in
NOTICE_TIMEOUT_S = 5.0
HANG_S = 10.0

Got = dict[str, Any]
Call = Callable[[str, dict[str, Any]], Awaitable[Any]]
Scenario = Callable[[], Awaitable[Got]]
Connect = Callable[[str, str], AbstractAsyncContextManager[dict[str, Scenario]]]


def headers(scenario: str) -> dict[str, str]:
    wrong = {"no_token": "", "oauth": "", "bad_token": "not-a-token"}
    token = wrong.get(scenario, os.environ.get("MCP_TOKEN", ""))
    return {"Authorization": f"Bearer {token}"} if token else {}


def plain(value: Any) -> Any:
    """A model of pydantic as JSON, with the names of the protocol."""
    dump = getattr(value, "model_dump", None)
    return dump(mode="json", by_alias=True, exclude_none=True) if dump else value


def shown(result: Any) -> Got:
    """The result of a tool: its text, and what is set besides."""
    result = plain(result)
    if not isinstance(result, dict) or "content" not in result:
        return {"text": result}
    texts = [block["text"] for block in result["content"] if block["type"] == "text"]
    more = {key: result[key] for key in ("structuredContent", "isError") if result.get(key)}
    return {"text": "\n".join(texts), **more}


def reason(error: BaseException) -> str:
    """The first error that is not a group, and what it came from."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    cause = f" < {reason(error.__cause__)}" if error.__cause__ else ""
    return f"{type(error).__name__}: {error}{cause}"


async def outcome(call: Awaitable[Any]) -> Got:
    """What a call gave, be it an error, or that it hangs."""
    try:
        return shown(await asyncio.wait_for(call, HANG_S))
    except TimeoutError:
        return {"error": f"hangs: stopped after {HANG_S:g} s"}
    except Exception as error:
        return {"error": reason(error)}


async def arrives(notice: asyncio.Event) -> bool:
    try:
        return await asyncio.wait_for(notice.wait(), NOTICE_TIMEOUT_S)
    except TimeoutError:
        return False


async def lose_session() -> None:
    process = await asyncio.create_subprocess_shell(os.environ["LOSE_SESSION"], stdout=sys.stderr)
    await process.wait()


async def nothing() -> Got:
    return {}


def slow() -> dict[str, Any]:
    """The arguments of a call that takes long."""
    return {"seconds": 20, "key": secrets.token_hex(8)}


def calls(call: Call, listed: Scenario) -> dict[str, Scenario]:
    """The scenarios that need no more than a way to call a tool, and to list what there is."""

    def one(tool: str, **arguments: Any) -> Scenario:
        async def run() -> Got:
            return shown(await call(tool, arguments))

        return run

    async def error() -> Got:
        failed = await outcome(call("test_error_handling", {}))
        return {"tool": failed, "protocol": await outcome(call("no_such_tool", {}))}

    async def cancel() -> Got:
        """Cancel the task that waits: what libraries for asyncio offer."""
        task = asyncio.ensure_future(call("test_slow", slow()))
        await asyncio.sleep(0.5)
        task.cancel()
        try:
            first = shown(await task)
        except (Exception, asyncio.CancelledError) as stopped:
            first = {"error": reason(stopped)}
        return {"cancelled": first, **shown(await call("test_simple_text", {}))}

    async def session_lost() -> Got:
        await listed()
        await lose_session()
        return {"then": await outcome(call("test_simple_text", {}))}

    return {
        "connect": nothing,
        "list": listed,
        "call": one("test_simple_text"),
        "structured": one("test_structured", a=1, b=2),
        "error": error,
        "cancel": cancel,
        "sampling": one("test_sampling", prompt="Say hi"),
        "elicitation": one("test_elicitation", message="Who are you?"),
        "reconnect": one("test_reconnection"),
        "session_lost": session_lost,
        "no_token": nothing,
        "bad_token": nothing,
        "oauth": nothing,
    }


def main(connect: Connect) -> None:
    """Run what the command line says: CLIENT SCENARIO. Print what it got as a line of JSON."""
    client, scenario = sys.argv[1:]
    got: Got = {}

    async def run() -> None:
        async with connect(client, scenario) as scenarios:
            got.update(await scenarios[scenario]())

    try:
        asyncio.run(run())
    except BaseException as error:
        if scenario not in (*REFUSED, "session_lost"):
            raise
        got["error"] = reason(error)
    print(json.dumps(got, default=repr))
