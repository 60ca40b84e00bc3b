"""Answers of clients to questions of the server, in the SQLite file of the sessions."""

from mcpd.sessions.record import SessionId
from mcpd.sqlite import Database


class SqliteAnswers:
    """See AnswerInbox. Questions end with their session."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def expect(self, session_id: SessionId, asker: str, request_id: str) -> None:
        row = (request_id, asker, session_id)
        await self._database.write(
            lambda db: db.execute(
                "INSERT INTO question (session_id, request_id, asker)"
                " SELECT id, ?, ? FROM session WHERE id = ? ON CONFLICT DO NOTHING",
                row,
            ),
            durable=False,
        )

    async def deliver(self, session_id: SessionId, request_id: str, reply: bytes) -> bool:
        done = await self._database.write(
            lambda db: db.execute(
                "UPDATE question SET reply = coalesce(reply, ?)"
                " WHERE session_id = ? AND request_id = ?",
                (reply, session_id, request_id),
            )
        )
        return done.rowcount > 0

    async def find(self, session_id: SessionId, request_id: str) -> bytes | None:
        row = await self._database.read(
            lambda db: db.execute(
                "SELECT reply FROM question WHERE session_id = ? AND request_id = ?",
                (session_id, request_id),
            ).fetchone()
        )
        return None if row is None else row[0]

    async def forget(self, session_id: SessionId, asker: str) -> None:
        await self._database.write(
            lambda db: db.execute(
                "DELETE FROM question WHERE session_id = ? AND asker = ?", (session_id, asker)
            ),
            durable=False,
        )
