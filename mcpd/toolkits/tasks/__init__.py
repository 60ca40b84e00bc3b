"""manage_task: a durable task list for each user."""

from mcpd.toolkits.tasks.tool import app

__all__ = ["app"]
