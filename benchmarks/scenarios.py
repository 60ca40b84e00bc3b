"""All scenarios."""

from benchmarks import calls
from benchmarks.contestants import Setup
from benchmarks.scenario import STORES, Calls, Scenario


def scenarios() -> list[Scenario]:
    """In the order of the table."""
    return [*_plain(), *_sessions()]


def _plain() -> list[Scenario]:
    return [
        Calls("plain", "stateless `tools/call` (2026-07-28)", calls.sums),
        Calls(
            "stream",
            "the same with 10 progress messages",
            calls.counted_sums,
            Setup(streams=True),
        ),
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
