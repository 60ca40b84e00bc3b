"""The transcripts and the fixture that come with mcpd, wherever it is installed.

In a checkout they stand in ``conformance/``; a wheel carries that folder's transcripts and fixture
inside the package.
"""

import re
from pathlib import Path

from mcpd.errors import ConfigError

_PACKAGE = Path(__file__).parents[1]
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")


def folder() -> Path:
    """Where they are.

    Raises:
        ConfigError: they were left out of this installation.
    """
    for place in (_PACKAGE / "conformance", _PACKAGE.parent / "conformance"):
        if (place / "transcripts").is_dir():
            return place
    raise ConfigError(
        "This installation of mcpd has no transcripts.",
        fix="Name files or folders of transcripts; mcpd record makes some.",
    )


def transcripts() -> Path:
    """The folder of all transcripts, CLIENT/SCENARIO.txt.

    Raises:
        ConfigError: see ``folder``.
    """
    return folder() / "transcripts"


def find(name: str) -> Path:
    """A path as it was given, or what goes by that name here: CLIENT, or CLIENT/SCENARIO.

    Raises:
        ConfigError: see ``folder``; there is no such path and no such name.
    """
    path = Path(name)
    if path.exists():
        return path
    clients = _clients()
    client, _, scenario = name.partition("/")
    if client in clients and not scenario:
        return clients[client]
    file = clients.get(client, path) / f"{scenario}.txt"
    if client in clients and _NAME.fullmatch(scenario) and file.exists():
        return file
    raise ConfigError(
        "There are no transcripts at this path, and mcpd has none by this name.",
        received=name,
        fix=f"Name files or folders, or one of {', '.join(sorted(clients))}.",
    )


def _clients() -> dict[str, Path]:
    """The folder of each client. Those that cannot be recorded stand one deeper."""
    return {file.parent.name: file.parent for file in transcripts().rglob("*.txt")}
