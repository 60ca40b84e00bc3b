"""What is said of a server, and of which clients.

How clients behave is from their sources and issue trackers; the files in
``conformance/transcripts/documented`` name them.
"""

from dataclasses import dataclass

CLAUDE_CODE, CLAUDE, CURSOR, VSCODE = "Claude Code", "claude.ai", "Cursor", "VS Code"
INSPECTOR, REMOTE = "MCP Inspector", "mcp-remote"
PYTHON, TYPESCRIPT, BRIDGE = "Python SDK", "TypeScript SDK", "mcpd bridge"
ALL = (CLAUDE_CODE, CLAUDE, CURSOR, VSCODE, INSPECTOR, REMOTE, PYTHON, TYPESCRIPT, BRIDGE)
OAUTH_FIRST = (CLAUDE_CODE, CLAUDE, CURSOR, VSCODE, INSPECTOR, REMOTE, TYPESCRIPT)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing. ``fails``: these clients cannot connect; ``limited``: they lack something."""

    text: str
    fix: str = ""
    fails: tuple[str, ...] = ()
    limited: tuple[str, ...] = ()
