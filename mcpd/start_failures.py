"""Why something cannot start: may it pass by itself, or does a person have to edit something?

It decides between ``Unavailable`` and ``ConfigError``, and so between the exit codes after which
a service is started again and those after which it is not.
"""

import errno
import socket
import ssl

from mcpd.errors import ConfigError, McpdError, Unavailable

# Of an OSError: these stay until a person changes a path, a permission or a setting. All others
# may pass: a full disk, a port in use, an address that is not up, too many open files.
_LASTING = frozenset({
    errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EROFS,
    errno.ENAMETOOLONG, errno.EINVAL, errno.EEXIST, errno.ENOTEMPTY, errno.ENOTSOCK, errno.ENXIO,
    errno.ENODEV, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.EOPNOTSUPP, errno.ENOEXEC,
})  # fmt: skip
_LASTING_NAMES = frozenset({socket.EAI_NONAME, socket.EAI_FAMILY})  # of getaddrinfo(3)


def may_pass(error: BaseException) -> bool:
    """Whether starting again later may help, without a change by a person.

    The exceptions of Python itself tell of a mistake in code or settings, but for OSError, whose
    number decides, and MemoryError. Classes of libraries (``OperationalError`` of a database
    driver) cannot be judged from here; trying again does no harm, so they may pass.
    """
    if isinstance(error, BaseExceptionGroup):
        return all(may_pass(one) for one in error.exceptions)
    if isinstance(error, McpdError):
        return isinstance(error, Unavailable)
    if isinstance(error, socket.gaierror):
        return error.errno not in _LASTING_NAMES
    if isinstance(error, ssl.SSLError):  # an OSError with OpenSSL's numbers
        return True
    if isinstance(error, OSError):
        return error.errno not in _LASTING
    return isinstance(error, MemoryError) or type(error).__module__ != "builtins"


def start_failure(error: BaseException, message: str, *, fix: str = "") -> McpdError:
    """The error to raise because of ``error``: Unavailable if it may pass, else ConfigError."""
    kind = Unavailable if may_pass(error) else ConfigError
    return kind(message, fix=fix)
