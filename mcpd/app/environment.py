"""What the server lends to apps: where they may keep state."""

import os
from contextvars import ContextVar
from pathlib import Path

_state_dir: ContextVar[Path | None] = ContextVar("mcpd_state_dir", default=None)


def state_dir() -> Path:
    """The server's state directory; the working directory where no server runs.

    Call it in a lifespan.
    """
    return _state_dir.get() or Path(os.curdir)


def set_state_dir(path: Path) -> None:
    """Used by the server before it enters lifespans."""
    _state_dir.set(path)
