"""Which clients there are, how each is started, and what it can do."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
CLIENTS = HERE.parents[1] / ".clients"
NODE_CLIENTS = CLIENTS / "conformance-node"

CALLS = ("connect", "list", "call", "structured", "error", "resources", "prompts", "reconnect")
REFUSED = ("no_token", "bad_token")
ASKED = ("sampling", "elicitation")
MODERN = (*CALLS, "progress", "cancel", *ASKED, *REFUSED)
HANDSHAKE = (*MODERN, "session_lost")


@dataclass(frozen=True)
class Client:
    script: str
    home: str  # the folder of its packages in .clients/
    package: str
    scenarios: tuple[str, ...]
    beneath: str = ""  # the library of another package that speaks HTTP for it

    def command(self) -> list[str]:
        if self.script.endswith(".mjs"):
            node = NODE_CLIENTS / "node_modules/node/bin/node"
            # the link is where the packages are
            script = NODE_CLIENTS / "drivers" / self.script
            return [str(node), "--preserve-symlinks", "--preserve-symlinks-main", str(script)]
        # python-1 is as good as any for the scripts that start a program for Node
        home = "python-1" if self.home == NODE_CLIENTS.name else self.home
        return [str(CLIENTS / home / "bin/python"), str(HERE / self.script)]

    def versions(self) -> Iterator[str]:
        for package in filter(None, (self.package, self.beneath)):
            yield f"{package} {version(self.home, package)}"


def version(home: str, package: str) -> str:
    """The version that is installed."""
    if home == NODE_CLIENTS.name:
        manifest = NODE_CLIENTS / "node_modules" / package / "package.json"
        return str(json.loads(manifest.read_text(encoding="utf-8"))["version"])
    name = package.replace("-", "_")
    (found,) = (CLIENTS / home).glob(f"lib/python3*/site-packages/{name}-[0-9]*.dist-info")
    return found.name.removesuffix(".dist-info").removeprefix(f"{name}-")


def node(script: str, package: str, scenarios: tuple[str, ...]) -> Client:
    return Client(script, NODE_CLIENTS.name, package, scenarios)


def python(name: str, package: str, scenarios: tuple[str, ...]) -> Client:
    script = f"{name.replace('-', '_')}_client.py"
    return Client(script, f"conformance-{name}", package, scenarios, beneath="mcp")


def without(scenarios: tuple[str, ...], *unable: str) -> tuple[str, ...]:
    return tuple(each for each in scenarios if each not in unable)


TYPESCRIPT_1, TYPESCRIPT_2 = "@modelcontextprotocol/sdk", "@modelcontextprotocol/client"
TABLE = {
    "python-sdk-1": Client("python_sdk_1.py", "python-1", "mcp", (*HANDSHAKE, "oauth")),
    "python-sdk-1-sse": Client("python_sdk_1.py", "python-1", "mcp", (*HANDSHAKE, "oauth")),
    "python-sdk-2-handshake": Client("python_sdk_2.py", "python-2", "mcp", (*HANDSHAKE, "oauth")),
    "python-sdk-2-modern": Client("python_sdk_2.py", "python-2", "mcp", (*MODERN, "oauth")),
    "fastmcp": python("fastmcp", "fastmcp", MODERN),
    "typescript-sdk-1": node("typescript_sdk_1.mjs", TYPESCRIPT_1, (*HANDSHAKE, "oauth")),
    "typescript-sdk-2-handshake": node("typescript_sdk_2.mjs", TYPESCRIPT_2, (*HANDSHAKE, "oauth")),
    "typescript-sdk-2-modern": node("typescript_sdk_2.mjs", TYPESCRIPT_2, (*MODERN, "oauth")),
    # a command has no session to lose, and no way to hear or be asked anything while it runs
    "inspector": node("inspector.py", "@modelcontextprotocol/inspector", (*CALLS, *REFUSED)),
    "mcp-remote": node("mcp_remote.py", "mcp-remote", HANDSHAKE),
    "langchain": python("langchain", "langchain-mcp-adapters", HANDSHAKE),
    "pydantic-ai": python("pydantic-ai", "pydantic-ai-slim", MODERN),
    "openai-agents": python("openai-agents", "openai-agents", without(MODERN, "progress", *ASKED)),
    "ai-sdk": node("ai_sdk.mjs", "@ai-sdk/mcp", without(MODERN, "progress", "sampling")),
}
