"""What processes know of each other's tasks: a record of each, and commands to the process
that runs it.

A task runs in one process; its record says how far it is, and any process answers from that.
"""

from typing import Protocol


class TaskStore(Protocol):
    """Each method raises StoreError when the store cannot be reached."""

    async def put(
        self, task_id: str, owner: str, record: bytes, *, ttl_s: float, final: bool
    ) -> bool:
        """Keep the record of a task, in the place of an older one. False: that one is final and
        says something else.

        Args:
            owner: whose task it is.
            ttl_s: seconds until it is gone, from now.
            final: nothing changes any more.
        """

    async def get(self, task_id: str) -> bytes | None:
        """The record of a task."""

    async def of(self, owner: str) -> list[bytes]:
        """The records of an owner's tasks, oldest first."""

    async def is_gone(self, process: str) -> bool:
        """Whether a process that ran tasks surely runs no more."""

    async def send_command(self, task_id: str, command: bytes) -> None:
        """Leave a command for the process that runs a task."""

    async def commands(self, task_id: str) -> list[bytes]:
        """The commands that were left, oldest first."""

    async def drop_commands(self, task_id: str, count: int) -> None:
        """The oldest ones were read, and what they say is done."""
