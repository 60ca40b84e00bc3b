"""The names of keys and channels. Pure.

What belongs to one session has its id in braces, and what belongs to one task that task's: a
cluster keeps such keys together (a hash slot), so that one script may change them in one step. All
behind the prefix P:

    P:s:{ID}            record of a session, see ``record``; expires with it
    P:i:{ID}            sorted set: streams of it that are not finished → when begun
    P:f:{ID}, P:u:{ID}  sorted sets: those that are, read and unread → when they ended
    P:z:{ID}            hash: those that are and take much room → bytes
    P:m:{ID}:STREAM     hash: owner, call, last, bytes, finished; follower, follows_at, reached
    P:e:{ID}:STREAM     stream: 0-NUMBER → message
    P:q:{ID}:ASKER      hash: question → answer
    P:t:{ID}            set: its topics
    P:k:{TASK}          record of a task
    P:l:{TASK}          list: commands to the process of a task

What spans sessions is an index of those: it is written in a step of its own, what it says is
checked where it is used, and ``repair`` takes out what is not true any more.

    P:{all}:activity    sorted set: session → last activity
    P:{all}:ids         sorted set of equal scores: sessions in the order of their ids
    P:{all}:unbound     sorted set: sessions without a principal → created
    P:w:TOPIC           set: sessions of a topic
    P:o:OWNER           sorted set: an owner's tasks → when begun
    P:n:OWNER           set: a principal's sessions
    P:p:PROCESS         a process that lives; expires when it gives no sign of life
    P:{credentials}:keys, P:{credentials}:used, P:{credentials}:revoked
                        hashes: API key → record, → when it was used last; what was revoked
    P:{credentials}:version
                        a number that grows with each change of them
    P:h:LIMIT           hash: the window of one limit of one user; expires
    P:layout            the number of this layout; see ``migration``

Channels: P:signals to all processes; P:to:PROCESS shows that the process lives.
"""

import binascii
from dataclasses import dataclass

from mcpd.sessions.record import SessionId
from mcpd.sessions.streams import SESSION_STREAM

SLOTS = 16384


@dataclass(frozen=True, slots=True)
class Keys:
    """Behind one prefix."""

    prefix: str

    def record(self, session_id: SessionId) -> str:
        """Of a session."""
        return f"{self.prefix}:s:{{{session_id}}}"

    def unfinished(self, session_id: SessionId) -> str:
        """Streams that are not finished."""
        return f"{self.prefix}:i:{{{session_id}}}"

    def finished(self, session_id: SessionId) -> tuple[str, str, str]:
        """Streams that are: read, unread; the sizes of large ones."""
        return (
            f"{self.prefix}:f:{{{session_id}}}",
            f"{self.prefix}:u:{{{session_id}}}",
            f"{self.prefix}:z:{{{session_id}}}",
        )

    def stream(self, session_id: SessionId, stream_id: str = SESSION_STREAM) -> tuple[str, str]:
        """What is known of a stream, and its messages."""
        return (
            f"{self.prefix}:m:{{{session_id}}}:{stream_id}",
            f"{self.prefix}:e:{{{session_id}}}:{stream_id}",
        )

    def questions(self, session_id: SessionId, asker: str) -> str:
        """That one asker asked."""
        return f"{self.prefix}:q:{{{session_id}}}:{asker}"

    def topics(self, session_id: SessionId) -> str:
        """That a session watches."""
        return f"{self.prefix}:t:{{{session_id}}}"

    def task(self, task_id: str) -> str:
        """The record of a task."""
        return f"{self.prefix}:k:{{{task_id}}}"

    def commands(self, task_id: str) -> str:
        """To the process of a task."""
        return f"{self.prefix}:l:{{{task_id}}}"

    @property
    def credentials(self) -> tuple[str, str, str, str]:
        """API keys, when they were used, what was revoked, and the number of the last change."""
        start = f"{self.prefix}:{{credentials}}"
        return f"{start}:keys", f"{start}:used", f"{start}:revoked", f"{start}:version"

    @property
    def index(self) -> tuple[str, str, str]:
        """Of sessions: by activity, by id, those without a principal."""
        start = f"{self.prefix}:{{all}}"
        return f"{start}:activity", f"{start}:ids", f"{start}:unbound"

    def watchers(self, topic: str) -> str:
        """Sessions of a topic."""
        return f"{self.prefix}:w:{topic}"

    def tasks_of(self, owner: str) -> str:
        """An owner's tasks."""
        return f"{self.prefix}:o:{owner}"

    def owned(self, owner: str) -> str:
        """A principal's sessions."""
        return f"{self.prefix}:n:{owner}"

    def process(self, process: str) -> str:
        """A process that lives."""
        return f"{self.prefix}:p:{process}"

    def limit(self, name: str) -> str:
        """The window of one limit of one user."""
        return f"{self.prefix}:h:{name}"

    @property
    def layout(self) -> str:
        """The number of the layout."""
        return f"{self.prefix}:layout"

    @property
    def signals(self) -> str:
        """The channel to all processes."""
        return f"{self.prefix}:signals"

    def channel_of(self, process: str) -> str:
        """The channel that shows that a process lives."""
        return f"{self.prefix}:to:{process}"


def slot_of(key: str) -> int:
    """The hash slot of a key (Redis Cluster specification, "Key distribution model")."""
    start = key.find("{")
    if start >= 0:
        end = key.find("}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return binascii.crc_hqx(key.encode(), 0) % SLOTS  # CRC-16/XMODEM
