"""Validate every message mcpd sends, in every revision, against that revision's schema.json.

    python conformance/validate_schemas.py SCHEMAS
    python conformance/validate_schemas.py --dump FILE

With --dump the messages are only written, each with the definition it must fit; the tests check
those against the types of the Python SDK. SCHEMAS is the folder ``schema`` of a checkout of the MCP
specification, which has a folder for each revision; that needs the package jsonschema. The traffic:
the whole fixture, every tool with progress and questions, every list, resource, prompt and
completion, errors, streams and tasks.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import trio

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.in_process import modern
from tests.mcp.everything import CAPABLE, TASKS, Capable, ask_modern, everything
from tests.peer import Reply

HANDSHAKE = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"]
MODERN = "2026-07-28"
RESULTS = {
    "initialize": "InitializeResult", "tools/list": "ListToolsResult",
    "tools/call": "CallToolResult", "resources/list": "ListResourcesResult",
    "resources/templates/list": "ListResourceTemplatesResult",
    "resources/read": "ReadResourceResult", "prompts/list": "ListPromptsResult",
    "prompts/get": "GetPromptResult", "completion/complete": "CompleteResult",
    "ping": "EmptyResult", "server/discover": "DiscoverResult",
    "logging/setLevel": "EmptyResult", "resources/subscribe": "EmptyResult",
}  # fmt: skip
ARGUMENTS: dict[str, dict[str, Any]] = {
    "test_structured": {"a": 1}, "test_slow": {"seconds": 0.1, "key": "k"},
    "test_slow_status": {"key": "k"}, "test_sampling": {"prompt": "x"},
    "test_elicitation": {"message": "?"}, "test_header_mirror": None,
    "test_trigger_resource_update": {"uri": "test://watched-resource"},
    "slow_compute": {"seconds": 0}, "test_x_mcp_header": None,
}  # fmt: skip
PLAIN = [
    ("tools/list", {}), ("resources/list", {}), ("resources/templates/list", {}),
    ("prompts/list", {}), ("resources/read", {"uri": "test://static-text"}),
    ("resources/read", {"uri": "test://static-binary"}), ("resources/read", {"uri": "test://no"}),
    ("prompts/get", {"name": "test_simple_prompt"}),
    ("prompts/get", {"name": "test_prompt_with_image"}),
    ("prompts/get", {"name": "test_prompt_with_embedded_resource",
                     "arguments": {"resourceUri": "test://x"}}),
    ("completion/complete", {"ref": {"type": "ref/prompt", "name": "test_prompt_with_arguments"},
                             "argument": {"name": "arg1", "value": "p"}}),
    ("nope", {}), ("tools/call", {"name": "nope"}), ("tools/call", {}),
]  # fmt: skip


class Validator:
    """The definitions of one revision."""

    def __init__(self, schemas: Path | None, revision: str) -> None:
        self.schema: Any = {"$defs": {}}
        if schemas is not None:
            self.schema = json.loads((schemas / revision / "schema.json").read_text())
        self.key = "$defs" if "$defs" in self.schema else "definitions"
        self.revision = revision
        self.dumped: list[Any] = []
        self.checked = 0
        self.failures: list[str] = []

    def check(self, name: str, value: Any) -> None:
        self.dumped.append([self.revision, name, value])
        if name not in self.schema[self.key]:
            return
        import jsonschema  # only needed where there are schemas

        self.checked += 1
        wanted = {**self.schema, "$ref": f"#/{self.key}/{name}"}
        for name_of_union in ("anyOf", "oneOf"):
            wanted.pop(name_of_union, None)
        kind = jsonschema.validators.validator_for(self.schema)
        for error in kind(wanted).iter_errors(value):
            where = "/".join(map(str, error.absolute_path))
            self.failures.append(f"{self.revision} {name} at {where}: {error.message[:300]}")
            break

    def message(self, message: Any, method: str) -> None:
        if "method" in message:
            kind = "JSONRPCRequest" if "id" in message else "JSONRPCNotification"
            self.check(kind, message)
            name = "Server" + ("Request" if "id" in message else "Notification")
            self.check(name, message)
        elif "error" in message:
            for name in ("JSONRPCErrorResponse", "JSONRPCError"):
                self.check(name, message)
        else:
            for name in ("JSONRPCResultResponse", "JSONRPCResponse"):
                self.check(name, message)
            result = message["result"]
            if result.get("resultType") == "input_required":
                self.check("InputRequiredResult", result)
            elif result.get("resultType") != "task" and "task" not in result:
                self.check(RESULTS.get(method, "Result"), result)


def tool_calls(tools: list[Any]) -> Iterator[dict[str, Any]]:
    for tool in tools:
        arguments = ARGUMENTS.get(tool["name"], {})
        if arguments is not None and tool["name"] != "test_reconnection":
            yield {"name": tool["name"], "arguments": arguments}


async def handshake(server: Any, check: Validator) -> None:
    session = Capable(server, check.revision)
    hello = await session.open()
    check.check("InitializeResult", hello)

    async def call(method: str, params: Any) -> Reply:
        reply = await session.call(method, params)
        for message in reply.messages():
            check.message(message, method)
        return reply

    for method, params in PLAIN:
        await call(method, params)
    await call("ping", {})
    await call("logging/setLevel", {"level": "debug"})
    await call("resources/subscribe", {"uri": "test://watched-resource"})
    tools = (await session.call("tools/list")).json()["result"]["tools"]
    for params in tool_calls(tools):
        message = await session.tool(**params, _meta={"progressToken": 1})
        check.message(message, "tools/call")
    for asked in session.asked:
        check.message(asked, "")
    for name in ("test_tool_with_progress", "test_tool_with_logging"):
        await call("tools/call", {"name": name, "_meta": {"progressToken": "t"}})
    if check.revision == "2025-11-25":
        created = await session.tool("slow_compute", {"seconds": 0}, task={})
        check.check("CreateTaskResult", created["result"])
        task = {"taskId": created["result"]["task"]["taskId"]}
        check.message(await session.converse("tasks/result", task), "tools/call")
        check.check("GetTaskResult", (await session.call("tasks/get", task)).json()["result"])
        check.check("ListTasksResult", (await session.call("tasks/list")).json()["result"])


async def modern_era(server: Any, check: Validator) -> None:
    meta = {
        "io.modelcontextprotocol/clientCapabilities": CAPABLE,
        "io.modelcontextprotocol/logLevel": "debug",
        "progressToken": 1,
    }
    for method, params in [*PLAIN, ("server/discover", {})]:
        for message in (await modern(server.user(), method, params, meta=meta)).messages():
            check.message(message, method)
    tools = (await modern(server.user(), "tools/list")).json()["result"]["tools"]
    for params in tool_calls(tools):
        for message in (await modern(server.user(), "tools/call", params, meta=meta)).messages():
            check.message(message, "tools/call")
        if params["name"] != "failing_job":
            message, asked = await ask_modern(server.user(), "tools/call", params)
            check.message(message, "tools/call")
            for request in asked:
                check.check("InputRequest", request)
    capable = {"io.modelcontextprotocol/clientCapabilities": {**CAPABLE, **TASKS}}
    created = await modern(server.user(), "tools/call", {"name": "slow_compute"}, meta=capable)
    check.message(created.json(), "tasks")


async def main(schemas: Path | None, dump: Path | None) -> int:
    failed = 0
    dumped: list[Any] = []
    for revision in [*HANDSHAKE, MODERN]:
        check = Validator(schemas, revision)
        with tempfile.TemporaryDirectory() as folder:
            async with everything(Path(folder)) as server:
                await (modern_era if revision == MODERN else handshake)(server, check)
        print(f"{revision}: {check.checked} checked, {len(check.failures)} failed")
        for failure in check.failures:
            print("  " + failure)
        failed += len(check.failures)
        dumped += check.dumped
    if dump is not None:
        await trio.Path(dump).write_text(json.dumps(dumped))
    return 1 if failed else 0


if __name__ == "__main__":
    dumping = sys.argv[1] == "--dump"
    paths = (None, Path(sys.argv[2])) if dumping else (Path(sys.argv[1]), None)
    sys.exit(trio.run(main, *paths))
