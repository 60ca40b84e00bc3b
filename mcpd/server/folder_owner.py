"""A command of root's in a folder of another user, whose links must not lead it elsewhere."""

import os
from pathlib import Path

from mcpd.errors import ConfigError


def within(folder: Path) -> Path:
    """The folder as this process is to use it.

    Root that writes into a folder of another user, a service's state, becomes that user and sees
    nothing but the folder, for the rest of its life: a symbolic link in it could name any file of
    the system, and what is made there has to belong to the service. It works for a folder that its
    owner could not reach by its path, as systemd's DynamicUser= has it.

    Raises:
        ConfigError: the system does not let root do that.
    """
    if os.geteuid() != 0 or not folder.exists():
        return folder
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        owner = os.fstat(descriptor)
        if owner.st_uid == 0:
            return folder
        try:
            os.fchdir(descriptor)
            os.chroot(".")
            os.setgroups([])
            os.setresgid(owner.st_gid, owner.st_gid, owner.st_gid)
            os.setresuid(owner.st_uid, owner.st_uid, owner.st_uid)
        except OSError as error:
            raise ConfigError(
                f"{folder} belongs to another user, and root cannot become that user here:"
                f" {error.strerror}.",
                fix="Run the command as that user, or use /api/keys.",
            ) from error
        return Path("/")
    finally:
        os.close(descriptor)
