"""The bridge mcp-remote: mcp-remote. It is driven over stdio with JSON-RPC, as by a host."""

import asyncio
import itertools
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import common
from common import PROMPT, TEMPLATE, URL, WATCHED, Got, Scenario

MODULES = Path(__file__).parents[2] / ".clients/conformance-node/node_modules"
NODE = MODULES / "node/bin/node"
PROGRAM = MODULES / "mcp-remote/dist/proxy.js"
LIMIT = 1 << 24  # bytes in a line
ANSWERS = {
    "sampling/createMessage": {
        "role": "assistant",
        "content": {"type": "text", "text": "hi"},
        "model": "m",
    },
    "elicitation/create": {"action": "accept", "content": common.USER},
}
CAPABILITIES: dict[str, Any] = {"sampling": {"sampling": {}}, "elicitation": {"elicitation": {}}}


class Host:
    """The end of the bridge that a program with a model in it would hold."""

    def __init__(self, bridge: asyncio.subprocess.Process) -> None:
        self.bridge = bridge
        self.ids = itertools.count()
        self.waiting: dict[int, asyncio.Future[Any]] = {}
        self.progress: list[float] = []
        self.updated = asyncio.Event()

    def send(self, **message: Any) -> None:
        assert self.bridge.stdin
        self.bridge.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    def ask(self, method: str, **params: Any) -> tuple[int, asyncio.Future[Any]]:
        number = next(self.ids)
        self.waiting[number] = asyncio.get_running_loop().create_future()
        self.send(id=number, method=method, params=params)
        return number, self.waiting[number]

    async def request(self, method: str, **params: Any) -> Any:
        return await self.ask(method, **params)[1]

    async def call(self, tool: str, arguments: dict[str, Any]) -> Any:
        return await self.request("tools/call", name=tool, arguments=arguments)

    async def listen(self) -> None:
        """Take what the bridge says until it ends, and answer what it asks."""
        assert self.bridge.stdout
        async for line in self.bridge.stdout:
            message = json.loads(line)
            if "method" not in message:
                self.settle(message)
            elif "id" in message:
                self.send(id=message["id"], result=ANSWERS.get(message["method"], {}))
            elif message["method"] == "notifications/progress":
                self.progress.append(message["params"]["progress"])
            elif message["method"] == "notifications/resources/updated":
                self.updated.set()
        for waiting in self.waiting.values():
            if not waiting.done():
                waiting.set_exception(RuntimeError("mcp-remote has ended"))

    def settle(self, message: dict[str, Any]) -> None:
        waiting = self.waiting.pop(message.get("id", -1), None)
        if waiting is None or waiting.done():
            return
        if "error" in message:
            waiting.set_exception(RuntimeError(str(message["error"])))
        else:
            waiting.set_result(message["result"])


def scenarios_of(host: Host) -> dict[str, Scenario]:
    async def listed() -> Got:
        tools = (await host.request("tools/list"))["tools"]
        resources = (await host.request("resources/list"))["resources"]
        templates = (await host.request("resources/templates/list"))["resourceTemplates"]
        return {
            "tools": [each["name"] for each in tools],
            "resources": [each["uri"] for each in resources],
            "templates": [each["uriTemplate"] for each in templates],
            "prompts": [each["name"] for each in (await host.request("prompts/list"))["prompts"]],
        }

    async def progress() -> Got:
        tool = {"name": "test_tool_with_progress", "arguments": {}}
        result = await host.request("tools/call", **tool, _meta={"progressToken": "p"})
        return {"progress": host.progress, **common.shown(result)}

    async def cancel() -> Got:
        number, answer = host.ask("tools/call", name="test_slow", arguments=common.slow())
        await asyncio.sleep(0.5)
        params = {"requestId": number, "reason": "changed my mind"}
        host.send(method="notifications/cancelled", params=params)
        after = common.shown(await host.call("test_simple_text", {}))
        cancelled = repr(answer.exception() or answer.result()) if answer.done() else "no answer"
        answer.cancel()
        return {"cancelled": cancelled, **after}

    async def resources() -> Got:
        text = await host.request("resources/read", uri="test://static-text")
        data = await host.request("resources/read", uri=TEMPLATE)
        await host.request("resources/subscribe", uri=WATCHED)
        await host.call("test_trigger_resource_update", {"uri": WATCHED})
        arrived = await common.arrives(host.updated)
        await host.request("resources/unsubscribe", uri=WATCHED)
        return {"contents": [*text["contents"], *data["contents"]], "updated": arrived}

    async def prompts() -> Got:
        simple = await host.request("prompts/get", name="test_simple_prompt")
        given = common.PROMPT_ARGUMENTS
        filled = await host.request("prompts/get", name=PROMPT, arguments=given)
        reference = {"type": "ref/prompt", "name": PROMPT}
        argument = {"name": "arg1", "value": "par"}
        completed = await host.request("completion/complete", ref=reference, argument=argument)
        return {
            "messages": [*simple["messages"], *filled["messages"]],
            "completion": completed["completion"]["values"],
        }

    return {
        **common.calls(host.call, listed),
        "progress": progress,
        "cancel": cancel,
        "resources": resources,
        "prompts": prompts,
    }


@asynccontextmanager
async def bridged(scenario: str, home: str) -> AsyncIterator[Host]:
    headers = [f"{name}: {value}" for name, value in common.headers(scenario).items()]
    options = [word for header in headers for word in ("--header", header)]
    bridge = await asyncio.create_subprocess_exec(
        NODE,
        PROGRAM,
        URL,
        "--allow-http",
        *options,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=sys.stderr,
        env={**os.environ, "HOME": home, "MCP_REMOTE_CONFIG_DIR": home},
        limit=LIMIT,
    )
    host = Host(bridge)
    listening = asyncio.create_task(host.listen())
    try:
        yield host
    finally:
        assert bridge.stdin
        bridge.stdin.close()  # how a host ends a server of stdio
        try:
            await asyncio.wait_for(bridge.wait(), 3)
        except TimeoutError:
            bridge.kill()
            await bridge.wait()
        await listening


@asynccontextmanager
async def connect(name: str, scenario: str) -> AsyncIterator[dict[str, Scenario]]:
    with tempfile.TemporaryDirectory() as home:
        async with bridged(scenario, home) as host:
            await host.request(
                "initialize",
                protocolVersion="2025-11-25",
                capabilities=CAPABILITIES.get(scenario, {}),
                clientInfo={"name": "recorder", "version": "1.0.0"},
            )
            host.send(method="notifications/initialized")
            yield scenarios_of(host)


common.main(connect)
