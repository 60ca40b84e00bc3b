"""Files for their owner alone: never through a link that another user may have put there."""

import errno
import os
import stat
import tempfile
from pathlib import Path

PRIVATE = 0o600


def open_private(path: Path, flags: int) -> int:
    """Open a file for writing, make it if it is not there, and keep others out of it.

    Args:
        flags: those of ``os.open``, for writing; O_CREAT is added.

    Raises:
        OSError: it cannot be opened, is a symbolic link, or is no regular file.
    """
    # O_NONBLOCK: a pipe without a reader is an error, not a wait
    flags |= os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, PRIVATE)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a symbolic link", str(path)) from error
        if error.errno == errno.ENXIO:
            raise _not_regular(path) from error
        raise
    try:
        there = os.fstat(descriptor)
        if not stat.S_ISREG(there.st_mode):
            raise _not_regular(path)
        if stat.S_IMODE(there.st_mode) & ~PRIVATE:
            os.fchmod(descriptor, PRIVATE)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def write_private(path: Path, text: str) -> None:
    """Put a whole file in its place; a link that stands there is replaced, and not followed.

    Raises:
        OSError: it cannot be written; what was there is as it was.
    """
    descriptor, fresh = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(fresh, path)
    except BaseException:
        os.unlink(fresh)
        raise


def _not_regular(path: Path) -> OSError:
    return OSError(errno.EINVAL, "it is no regular file", str(path))
