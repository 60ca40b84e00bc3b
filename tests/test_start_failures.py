"""Which failures of a start may pass by themselves, and what the process ends with."""

import errno
import os
import socket
import ssl

import pytest

from mcpd import errors
from mcpd.errors import ConfigError, DeclarationError, StoreError, ToolError, Unavailable
from mcpd.server.exit_codes import EXIT_CODES, exit_code
from mcpd.start_failures import may_pass, start_failure


class OperationalError(Exception):
    """As drivers of databases have one."""


PASSING = [
    *(
        OSError(number, os.strerror(number))
        for number in (
            errno.ENOSPC, errno.EDQUOT, errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EMFILE,
            errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ECONNREFUSED, errno.ETIMEDOUT,
            errno.ENETUNREACH, errno.EIO, errno.EBUSY,
        )
    ),
    socket.gaierror(socket.EAI_AGAIN, "try again"),
    TimeoutError("the database did not answer"),
    ConnectionResetError(errno.ECONNRESET, "reset"),
    ssl.SSLError(1, "handshake"),  # whose number is no errno: 1 would be EPERM
    MemoryError(),
    OperationalError("the database is starting up"),
    Unavailable("not now"),
    StoreError("away"),
    ExceptionGroup("g", [OperationalError(), TimeoutError()]),
]  # fmt: skip
LASTING = [
    *(
        OSError(number, os.strerror(number))
        for number in (
            errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.EROFS,
        )
    ),
    socket.gaierror(socket.EAI_NONAME, "no such name"),
    NameError("x"),
    KeyError("DATABASE_URL"),
    ImportError("x"),
    ZeroDivisionError(),
    ConfigError("wrong"),
    DeclarationError("wrong"),
    ExceptionGroup("g", [OperationalError(), NameError("x")]),
]  # fmt: skip


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_what_may_pass_by_itself_is_tried_again(error):
    assert may_pass(error)
    assert exit_code(start_failure(error, "no")) == 75


@pytest.mark.parametrize("error", LASTING, ids=repr)
def test_what_a_person_must_edit_is_not(error):
    assert not may_pass(error)
    assert exit_code(start_failure(error, "no")) == 78


def test_every_error_has_one_exit_code():
    assert exit_code(ToolError("no")) == 1
    assert exit_code(DeclarationError("no")) == 78
    kinds = [kind for kind, _ in EXIT_CODES]
    for number, kind in enumerate(kinds):  # a row that an earlier one hides would mean nothing
        assert not any(issubclass(kind, earlier) for earlier in kinds[:number])
    assert kinds[-1] is errors.McpdError
