"""The tables of sessions and of what they have under way, which ends with them."""

from pathlib import Path

from mcpd.sqlite import Database

_SCHEMA_VERSION = 5
_SESSIONS = """
CREATE TABLE session (
    id TEXT PRIMARY KEY,
    created_at REAL NOT NULL,
    last_activity REAL NOT NULL,
    issuer TEXT,
    subject TEXT,
    record BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX session_by_activity ON session (last_activity);
CREATE INDEX session_unbound ON session (created_at) WHERE subject IS NULL;
"""
_OWNERS = """
CREATE INDEX session_by_owner ON session (subject, issuer) WHERE subject IS NOT NULL;
"""
_CLOCK = """
CREATE TABLE clock (drift REAL NOT NULL);
INSERT INTO clock VALUES (0.0);
"""
_TOGETHER = """
ALTER TABLE event ADD COLUMN messages INTEGER NOT NULL DEFAULT 1;
"""
_STREAMS = """
CREATE TABLE stream (
    session_id TEXT NOT NULL REFERENCES session (id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    call BLOB,
    owner TEXT,
    last INTEGER NOT NULL DEFAULT 0,
    events INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    finished INTEGER NOT NULL DEFAULT 0,
    expires_at REAL,
    PRIMARY KEY (session_id, id)
) WITHOUT ROWID;
CREATE INDEX stream_by_expiry ON stream (expires_at);
CREATE TABLE event (
    session_id TEXT NOT NULL,
    stream_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (session_id, stream_id, number),
    FOREIGN KEY (session_id, stream_id) REFERENCES stream (session_id, id) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE TABLE question (
    session_id TEXT NOT NULL REFERENCES session (id) ON DELETE CASCADE,
    request_id TEXT NOT NULL,
    asker TEXT NOT NULL,
    reply BLOB,
    PRIMARY KEY (session_id, request_id)
) WITHOUT ROWID;
CREATE TABLE watch (
    topic TEXT NOT NULL,
    session_id TEXT NOT NULL REFERENCES session (id) ON DELETE CASCADE,
    PRIMARY KEY (topic, session_id)
) WITHOUT ROWID;
CREATE INDEX watch_by_session ON watch (session_id);
"""
# The first builds of schema 2 had none of it: a file below 5 may lack it.
_TASKS = """
CREATE TABLE IF NOT EXISTS task (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    record BLOB NOT NULL,
    created_at REAL NOT NULL,
    expires_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS task_by_owner ON task (owner, created_at);
CREATE INDEX IF NOT EXISTS task_by_expiry ON task (expires_at);
"""


def open_database(path: Path, *, alone: bool) -> Database:
    """The file with the tables of sessions and of what they have under way.

    Raises:
        ConfigError: see Database.
    """
    schema = _SESSIONS + _STREAMS + _TASKS + _OWNERS + _CLOCK + _TOGETHER
    migrations = {1: _STREAMS, 2: _OWNERS, 3: _CLOCK, 4: _TASKS + _TOGETHER}
    return Database(path, schema, version=_SCHEMA_VERSION, migrations=migrations, alone=alone)
