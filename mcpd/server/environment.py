"""The process's environment without what is meant for this process alone.

Programs that a tool starts get the environment of this process. So secrets, and the addresses that
systemd gives to one process, are taken out of it once, at the start; we go on with a copy.
What stays: STATE_DIRECTORY and CREDENTIALS_DIRECTORY, which are paths that apps use as well.
"""

import os
import re
import tempfile
from collections.abc import Mapping, MutableMapping

import msgspec

from mcpd.errors import ConfigError

# Names alone; no value of these is ever logged.
SECRETS = ("JWT_SECRET_KEY", "MCPD_TOKEN")
OURS = (
    "MCPD_WORKER", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
    "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_PIDFDID", "MAINPID",
)  # fmt: skip
STORE = "MCPD_STORE"
MAX_SEALED_BYTES = 1024 * 1024  # of what a worker gets; Linux allows 128 KiB a variable


def has_password(url: str) -> bool:
    """Whether the address of a store holds a password."""
    return re.search(r"://[^/?#]*:[^/?#]*@|[?&]password=", url) is not None


def take_environment(environ: MutableMapping[str, str]) -> dict[str, str]:
    """A copy of all variables; what no child may have is removed from ``environ`` itself."""
    ours = dict(environ)
    for name in (*SECRETS, *OURS):
        environ.pop(name, None)
    if has_password(environ.get(STORE, "")):
        del environ[STORE]
    return ours


def secrets_of(ours: Mapping[str, str]) -> dict[str, str]:
    """Those of the variables that may be told to a worker only where no other process looks."""
    names = [*SECRETS, *([STORE] if has_password(ours.get(STORE, "")) else [])]
    return {name: ours[name] for name in names if name in ours}


def seal(variables: Mapping[str, str]) -> int:
    """A descriptor of memory that holds variables, for a worker to inherit.

    Raises:
        OSError: the system has no room.
    """
    descriptor = _memory()
    try:
        os.write(descriptor, msgspec.json.encode(dict(variables)))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _memory() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("mcpd", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:  # a file without a name
        return os.dup(file.fileno())


def unseal(descriptor: int) -> dict[str, str]:
    """The variables of ``seal``; closes the descriptor.

    Raises:
        ConfigError: that is no such descriptor.
    """
    try:
        data = os.pread(descriptor, MAX_SEALED_BYTES, 0)
        os.close(descriptor)
        return msgspec.json.decode(data, type=dict[str, str])
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError("What a worker gets from its supervisor cannot be read.") from error
