"""How the times in the file keep their meaning when the wall clock jumps.

They are by the clock of the process that wrote them, which does not jump (``mcpd.clock``). The
table ``clock`` has how far the wall clock is ahead of that by now. The next process begins by the
wall clock, and moves all times by what is there: a jump changes no session's age. Time in which no
process ran counts as it passed by the wall clock.
"""

import sqlite3

from mcpd.clock import SteadyClock

_MOVE = (
    "UPDATE session SET created_at = created_at + :drift, last_activity = last_activity + :drift",
    "UPDATE stream SET expires_at = expires_at + :drift WHERE expires_at IS NOT NULL",
    "UPDATE task SET created_at = created_at + :drift, expires_at = expires_at + :drift",
    "UPDATE clock SET drift = 0.0",
)
# What is later than now was written before the clock was set back, between two processes.
_CLAMP = (
    "UPDATE session SET created_at = min(created_at, :now), last_activity = :now"
    " WHERE last_activity > :now",
    "UPDATE task SET expires_at = :now + expires_at - created_at, created_at = :now"
    " WHERE created_at > :now",
)


def read_drift(db: sqlite3.Connection) -> float:
    """Seconds that the wall clock was ahead of the times in the file."""
    return float(db.execute("SELECT drift FROM clock").fetchone()[0])


def write_drift(db: sqlite3.Connection, drift: float) -> None:
    """It is ahead so much now."""
    db.execute("UPDATE clock SET drift = ?", (drift,))


def begin(db: sqlite3.Connection, *, clock: SteadyClock, alone: bool) -> float:
    """Make a fresh clock and the times in the file agree; what is left of the drift.

    Args:
        alone: the file belongs to this process.
    """
    if alone:
        _settle(db, clock())
        return 0.0
    drift = read_drift(db)
    clock.set(clock() - drift)  # as the process has it that the file belongs to
    return drift


def _settle(db: sqlite3.Connection, now: float) -> None:
    """At the start of the process that has the file to itself: all times become the wall clock's.

    Args:
        now: by the wall clock.
    """
    drift = read_drift(db)
    if drift == 0.0 and not _any_later(db, now):
        return  # nothing is written: the disk may be full
    db.execute("BEGIN IMMEDIATE")
    for step in (*_MOVE, *_CLAMP):
        db.execute(step, {"drift": drift, "now": now})
    db.execute("COMMIT")


def _any_later(db: sqlite3.Connection, now: float) -> bool:
    row = db.execute(
        "SELECT EXISTS (SELECT 1 FROM session WHERE last_activity > :now)"
        " OR EXISTS (SELECT 1 FROM task WHERE created_at > :now)",
        {"now": now},
    ).fetchone()
    return bool(row[0])
