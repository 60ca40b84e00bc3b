"""All scenarios."""

from benchmarks import calls
from benchmarks.contestants import Setup
from benchmarks.questions import Questions
from benchmarks.scenario import CALL_ROWS, MEMORY_ROW, STORES, Calls, Scenario
from benchmarks.waiting import IdleStreams, Listeners, start_scenario


def scenarios() -> list[Scenario]:
    """In the order of the table."""
    return [
        *_plain(),
        *_sessions(),
        *_sizes(),
        *_connections(),
        Questions("elicit", "a question and its answer (2026-07-28)", modern=True),
        Questions("elicit-session", "a question and its answer in a session", modern=False),
        Listeners(),
        IdleStreams(),
        start_scenario(),
    ]


def _plain() -> list[Scenario]:
    title = "stateless `tools/call` (2026-07-28)"
    streams = Setup(streams=True)
    return [
        Calls("plain", title, calls.sums, rows=(*CALL_ROWS, MEMORY_ROW)),
        Calls("stream", "the same with 10 progress messages", calls.counted_sums, streams),
    ]


def _sizes() -> list[Scenario]:
    """Few connections: with many, the memory for what is under way would be measured."""
    rows = (*CALL_ROWS, MEMORY_ROW)
    argument, result = "an argument of 1 MiB", "a result of 1 MiB"
    few = 4
    return [
        Calls("big-argument", argument, calls.big_argument, connections=few, rows=rows),
        Calls("big-result", result, calls.big_result, connections=few, rows=rows),
        Calls("list-200", "`tools/list` of 200 tools", calls.tools_list, Setup(app="many")),
    ]


def _connections() -> list[Scenario]:
    return [
        Calls(
            f"connections-{count}",
            f"stateless calls, {count:,} connections at once",
            calls.sums,
            connections=count,
            rows=(*CALL_ROWS, MEMORY_ROW),
        )
        for count in (256, 1000)
    ]


def _sessions() -> list[Scenario]:
    found: list[Scenario] = [
        Calls("session", "`tools/call` in a session (2025-06-18)", calls.sums, session=True),
        Calls(
            "stream-session",
            "in a session, with 10 progress messages",
            calls.counted_sums,
            Setup(streams=True),
            session=True,
        ),
    ]
    for store in ("memory", "redis"):
        for name, make, streams in (
            ("session", calls.sums, False),
            ("stream-session", calls.counted_sums, True),
        ):
            found.append(
                Calls(
                    f"{name}-{store}",
                    f"`{name}`, sessions of mcpd in {store.capitalize()}",
                    make,
                    Setup(streams=streams, store=store),
                    session=True,
                    peers=STORES,
                    reference="Python SDK",
                )
            )
    return found
