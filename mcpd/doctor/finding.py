"""What is said of a server, and of which clients.

How clients behave is from their sources and issue trackers; the files in
``conformance/transcripts/documented`` name them.
"""

from dataclasses import dataclass

CLAUDE_CODE, CLAUDE, CURSOR, VSCODE = "Claude Code", "claude.ai", "Cursor", "VS Code"
INSPECTOR, REMOTE = "MCP Inspector", "mcp-remote"
PYTHON, TYPESCRIPT, BRIDGE = "Python SDK", "TypeScript SDK", "mcpd bridge"
ALL = (CLAUDE_CODE, CLAUDE, CURSOR, VSCODE, INSPECTOR, REMOTE, PYTHON, TYPESCRIPT, BRIDGE)
OF_TYPESCRIPT = (CLAUDE_CODE, CURSOR, INSPECTOR, REMOTE, TYPESCRIPT)  # the SDK is in them
LOGS_IN = tuple(client for client in ALL if client != BRIDGE)
STRICT = tuple(client for client in ALL if client != VSCODE)  # VS Code checks no message


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing.

    Attributes:
        fails: these clients cannot connect.
        login: these connect once their user has logged in.
        limited: these lack something.
    """

    text: str
    fix: str = ""
    fails: tuple[str, ...] = ()
    limited: tuple[str, ...] = ()
    login: tuple[str, ...] = ()


def without(clients: tuple[str, ...], *others: str) -> tuple[str, ...]:
    """The clients that are not among the others."""
    return tuple(client for client in clients if client not in others)
