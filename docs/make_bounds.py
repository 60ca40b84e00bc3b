"""Write docs/BOUNDS.md from the code: ``python docs/make_bounds.py``.

With ``--check`` nothing is written, and the exit code says whether the file is as the code is.
"""

import importlib
import sys
from dataclasses import fields
from pathlib import Path

from mcpd.config import Config
from mcpd.limits.caps import RULES, CapRule

FILE = Path(__file__).parent / "BOUNDS.md"
KiB, MiB = 1024, 1024 * 1024

INTRODUCTION = """\
# Bounds

What a client, a user or an address can have of a server, and what happens beyond it. This page is
written from the code by `python docs/make_bounds.py`, and a test compares them.

What there may be at once is counted by each process: with `--workers N` there is N times as much in
all. What is counted by time is counted for all (see [OPERATIONS.md](OPERATIONS.md#limits), which
also has limits that are not set here). An IPv6 address
counts as its network of 64 bits. Addresses of this machine are not limited by address, unless
`limit_loopback` says so. Every refusal says which bound it is and which setting raises it, and has
`Retry-After` where waiting helps: 429 if it is the client's own part, 503 if the server is full.
"""

# setting → what happens beyond it
SETTINGS = {
    "max_connections": "503 without reading; at once, in all",
    "max_connections_per_address": "503 without reading",
    "registrations_per_minute": "429; by address",
    "calls_per_minute": "429; tool calls and completions, by user",
    "max_unauthenticated_sessions": "the oldest of them ends",
    "max_sessions_per_user": "the one without activity for longest ends, its client gets 404 and"
    " begins anew; a session with a stream or a call is active",
    "session_timeout_s": "an idle session ends",
    "max_head_bytes": "431",
    "max_body_bytes": "413",
    "head_timeout_s": "408",
    "body_timeout_s": "408",
    "idle_timeout_s": "the connection closes",
    "write_timeout_s": "a peer that does not read is dropped",
    "request_timeout_s": "503, or an error as the answer of a call that streams",
    "left_call_timeout_s": "a call that goes on without its client ends; its answer says so",
    "max_result_bytes": "an error in the place of the result; tools have an option of this name",
    "tool_threads": "plain tools wait for their turn",
    "page_size": "lists have pages",
    "call_log_rows": "the oldest entries of the call log go",
    "drain_timeout_s": "what still runs is left to another process, or ends",
}

# module, constant, what it bounds and what happens beyond it
FIXED = [
    ("mcpd.mcp.transports.batch", "MAX_BATCH", "messages in a batch: refused"),
    ("mcpd.mcp.streams.change_feed", "MAX_URIS", "URIs that a stream or session watches: -32602"),
    ("mcpd.mcp.streams.change_feed", "MAX_URI_BYTES", "of each: -32602"),
    ("mcpd.mcp.streams.change_feed", "MAX_URIS_BYTES", "of all of them: -32602"),
    ("mcpd.sessions.active_sessions", "MAX_STREAMS", "own streams of a session: the oldest ends"),
    ("mcpd.sessions.streams", "MAX_EVENTS", "messages kept of a stream: the oldest go"),
    ("mcpd.sessions.streams", "MAX_BYTES", "kept of a stream: the oldest messages go"),
    ("mcpd.coalescing", "MAX_WAITING", "messages of a call that wait: its function waits for room"),
    ("mcpd.coalescing", "MAX_WAITING_BYTES", "of them: its function waits for room"),
    ("mcpd.sessions.streams", "MAX_FINISHED", "finished streams of a session: the oldest go"),
    ("mcpd.sessions.streams", "FINISHED_SLACK", "more may be there between two looks"),
    ("mcpd.sessions.streams", "KEEP_FINISHED_S", "a finished stream is kept for its client"),
    ("mcpd.mcp.questions.conversation", "MAX_MESSAGE_BYTES", "of a message before a result: an"
     " error in the tool"),
    ("mcpd.mcp.questions.server_requests", "MAX_OPEN_PER_SESSION", "open questions of a session:"
     " an error in the tool"),
    ("mcpd.mcp.methods.lifecycle", "MAX_CAPABILITIES_BYTES", "capabilities of a client: -32602"),
    ("mcpd.mcp.tasks.registry", "MAX_TTL_MS", "time to live of a task: less is given"),
    ("mcpd.toolkits.tasks.store", "MAX_TASKS_PER_USER", "tasks of `manage_task`: an error"),
    ("mcpd.toolkits.tasks.store", "MAX_BYTES_PER_USER", "kept by `manage_task` of a user: an"
     " error"),
    ("mcpd.toolkits.tasks.search", "MAX_WORDS", "words of a search: an error"),
    ("mcpd.toolkits.tasks.search", "MAX_SCAN_BYTES", "looked at by a search: an error"),
    ("mcpd.toolkits.tasks.search", "MAX_SCAN_S", "of a search: an error"),
    ("mcpd.toolkits.tasks.search", "PAGE_BYTES", "of a page of tasks: the next page has the rest"),
    ("mcpd.sqlite.opening", "WAL_BYTES", "kept of SQLite's log of writes"),
    ("mcpd.sqlite.database", "KEEP_FREE_PAGES", "free pages that stay in a file: more are given"
     " back"),
    ("mcpd.limits.ledger", "MAX_KEYS", "users and addresses counted in memory: those unused for"
     " longest are forgotten"),
    ("mcpd.sessions.sqlite.limits", "MAX_ROWS", "counted in a file: those that end first go"),
    ("mcpd.telemetry.families", "MAX_SERIES", "series of a metric: the rest is one"),
    ("mcpd.telemetry.call_log", "MAX_WAITING", "entries of the call log that wait: the rest is"
     " counted"),
    ("mcpd.auth.access_control", "MAX_SETS", "sets of roles that are remembered"),
    ("mcpd.telemetry.logs", "MAX_LINES", "log lines that wait: the rest is counted"),
]  # fmt: skip


def amount(value: float, name: str = "") -> str:
    """A number as people read it; bytes as KiB and MiB."""
    if "bytes" in name.lower() and value % KiB == 0:
        return f"{value // MiB:g} MiB" if value % MiB == 0 else f"{value // KiB:g} KiB"
    unit = next((u for end, u in (("_S", " s"), ("_MS", " ms")) if name.upper().endswith(end)), "")
    return f"{value:,.0f}{unit}" if float(value).is_integer() else f"{value:,g}{unit}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _cap(rule: CapRule) -> str:
    each, in_all = (amount(n, rule.unit) for n in (rule.each, rule.in_all))
    settings = [f"`{name}`" for name in (rule.each_setting, rule.all_setting) if name]
    return _row(rule.unit, each, in_all, ", ".join(settings), rule.reason)


def _setting(name: str, beyond: str) -> str:
    default = next(field.default for field in fields(Config) if field.name == name)
    return _row(f"`{name}`", amount(float(default), name), beyond)  # type: ignore[arg-type]


def _fixed(module: str, name: str, what: str) -> str:
    return _row(what, amount(getattr(importlib.import_module(module), name), name), f"`{name}`")


def text() -> str:
    """The whole file."""
    caps = ["| at once | of a user | in all | settings | why |", "| --- | --- | --- | --- | --- |"]
    settings = ["| setting | default | beyond it |", "| --- | --- | --- |"]
    fixed = ["| what | bound | name |", "| --- | --- | --- |"]
    parts = [
        INTRODUCTION,
        "## Caps on what there is at once\n\nThe fuller the server, the less one user gets, so that"
        " no few users take all of it (`mcpd/limits/caps.py`).",
        "\n".join([*caps, *map(_cap, RULES)]),
        "## Settings",
        "\n".join([*settings, *(_setting(*row) for row in SETTINGS.items())]),
        "## Bounds that are no settings",
        "\n".join([*fixed, *(_fixed(*row) for row in FIXED)]),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(FILE.read_text() != text())
    FILE.write_text(text())
