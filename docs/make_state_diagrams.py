"""Draw docs/STATES.md from the tables of the code: ``python docs/make_state_diagrams.py``.

With ``--check`` nothing is written, and the exit code says whether the file is as the tables are.
"""

import sys
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from mcpd.client import session as client_session
from mcpd.http import phases
from mcpd.mcp.streams import lease, writer
from mcpd.mcp.tasks import task as task
from mcpd.sessions import record

FILE = Path(__file__).parent / "STATES.md"

# title, file, what it is about, the table, where it begins
TABLES: list[tuple[str, str, str, Mapping[Any, Any], Enum]] = [
    (
        "A session",
        "mcpd/sessions/record.py",
        "How far the handshake of a registered client is. Its end is no move: the record is gone.",
        record.MOVES,
        record.State.REGISTERED,
    ),
    (
        "The stream of a call",
        "mcpd/mcp/streams/writer.py",
        "How far this process is with a call of the handshake era that may stream.",
        writer.MOVES,
        writer.WriterState.NEW,
    ),
    (
        "The lease of a reader",
        "mcpd/mcp/streams/lease.py",
        "Whether a connection is the one, over all processes, that gets a stream's messages.",
        lease.MOVES,
        lease.LeaseState.UNSURE,
    ),
    (
        "A task",
        "mcpd/mcp/tasks/record.py",
        "The status of a call that became a task.",
        task.MOVES,
        task.Status.WORKING,
    ),
    (
        "The phase of a connection",
        "mcpd/http/phases.py",
        "What a connection is doing, and so what a passed deadline means.",
        phases.MOVES,
        phases.Phase.IDLE,
    ),
    (
        "A session, seen by its client",
        "mcpd/client/session.py",
        "How far the handshake with a server is, for the bridge.",
        client_session.MOVES,
        client_session.SessionState.NONE,
    ),
]


def diagram(moves: Mapping[Any, Any], start: Enum) -> str:
    """A table as a Mermaid diagram; states that nothing follows are ends."""
    lines = ["stateDiagram-v2", f"    [*] --> {_name(start)}"]
    for state, following in moves.items():
        if not following:
            lines.append(f"    {_name(state)} --> [*]")
        elif isinstance(following, Mapping):
            after: dict[str, list[str]] = {}
            for move, end in following.items():
                after.setdefault(_name(end), []).append(_name(move))
            lines += [
                f"    {_name(state)} --> {end}: {', '.join(names)}" for end, names in after.items()
            ]
        else:
            ends = sorted(_name(end) for end in following if end is not state)
            lines += [f"    {_name(state)} --> {end}" for end in ends]
    return "\n".join(lines)


def _name(member: Enum) -> str:
    return member.name.lower()


def text() -> str:
    """The whole file."""
    parts = [
        "# States",
        "Every state machine of mcpd is a table in the code; this page is drawn from the tables by"
        " `python docs/make_state_diagrams.py`, and a test compares them. A move that a table does"
        " not have raises and changes nothing.",
    ]
    for title, file, about, moves, start in TABLES:
        drawn = f"```mermaid\n{diagram(moves, start)}\n```"
        parts.append(f"## {title}\n\n{about} `{file}`\n\n{drawn}")
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(FILE.read_text() != text())
    FILE.write_text(text())
