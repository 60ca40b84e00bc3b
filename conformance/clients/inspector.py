"""The command line of the MCP Inspector: inspector. Each command connects and does one thing."""

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import common
from common import PROMPT, TEMPLATE, URL, Got, Scenario

MODULES = Path(__file__).parents[2] / ".clients/conformance-node/node_modules"
NODE = MODULES / "node/bin/node"
PROGRAM = MODULES / "@modelcontextprotocol/inspector/clients/launcher/build/index.js"


def scenarios_of(scenario: str, home: str) -> dict[str, Scenario]:
    headers = [f"{name}: {value}" for name, value in common.headers(scenario).items()]
    always = ["--cli", URL, "--transport", "http"]
    always += [word for header in headers for word in ("--header", header)]

    async def inspect(method: str, *options: str) -> Any:
        """What one command prints on stdout; its error if it prints nothing there."""
        process = await asyncio.create_subprocess_exec(
            NODE,
            PROGRAM,
            *always,
            "--method",
            method,
            *options,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "HOME": home},
        )
        said, errors = await process.communicate()
        if not said.strip():
            raise RuntimeError(errors.decode().strip())
        return json.loads(said)

    async def listed() -> Got:
        templates = (await inspect("resources/templates/list"))["resourceTemplates"]
        return {
            "tools": [each["name"] for each in (await inspect("tools/list"))["tools"]],
            "resources": [each["uri"] for each in (await inspect("resources/list"))["resources"]],
            "templates": [each["uriTemplate"] for each in templates],
            "prompts": [each["name"] for each in (await inspect("prompts/list"))["prompts"]],
        }

    async def call(tool: str, arguments: dict[str, Any]) -> Any:
        given = ["--tool-args-json", json.dumps(arguments)] if arguments else []
        return await inspect("tools/call", "--tool-name", tool, *given)

    async def connect() -> Got:
        return {"initialize": await inspect("initialize")}

    async def resources() -> Got:
        text, data = [
            await inspect("resources/read", "--uri", uri)
            for uri in ("test://static-text", TEMPLATE)
        ]
        return {"contents": [*text["contents"], *data["contents"]]}

    async def prompts() -> Got:
        given = [f"{name}={value}" for name, value in common.PROMPT_ARGUMENTS.items()]
        simple = await inspect("prompts/get", "--prompt-name", "test_simple_prompt")
        filled = await inspect("prompts/get", "--prompt-name", PROMPT, "--prompt-args", *given)
        return {"messages": [*simple["messages"], *filled["messages"]]}

    return {
        **common.calls(call, listed),
        "connect": connect,
        "no_token": connect,
        "bad_token": connect,
        "resources": resources,
        "prompts": prompts,
    }


@asynccontextmanager
async def connect(name: str, scenario: str) -> AsyncIterator[dict[str, Scenario]]:
    with tempfile.TemporaryDirectory() as home:
        yield scenarios_of(scenario, home)


common.main(connect)
