"""Why a connection did not come about, or ended: told by the errors behind it."""

import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace

from mcpd.sessions.redis.failures import UNREACHABLE, Failure, Refused, of_reply


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what caused it, and what is in groups; each once."""
    todo, seen = [error], set()
    while todo:
        one = todo.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, BaseExceptionGroup):
            todo += one.exceptions
        todo += [one.__cause__, one.__context__]


def in_words(error: BaseException) -> Failure | None:
    """What kept a connection from working; None: the bytes that came tell more, see ``probe``."""
    causes = list(chain(error))
    for one in causes:
        if isinstance(one, Refused):
            return one.failure
    for one in causes:
        if isinstance(one, ssl.SSLCertVerificationError):
            return _certificate(one)
    for one in causes:
        if found := of_reply(one):
            return found
    for one in causes:
        if found := _of_the_system(one):
            return found
    return None


def _certificate(error: ssl.SSLCertVerificationError) -> Failure:
    reason = error.verify_message.rstrip(".") or "it cannot be verified"
    return Failure(
        "certificate",
        f"the certificate of Redis is not accepted ({reason})",
        "Add ?ssl_ca_certs=FILE with the CA that signed it, connect by a name that is in it, or"
        " give Redis another one.",
        passes=False,
    )


def _of_the_system(error: BaseException) -> Failure | None:
    if isinstance(error, ConnectionRefusedError):
        return _unreachable("nothing listens there")
    if isinstance(error, FileNotFoundError):
        return _unreachable("there is no such socket")
    if isinstance(error, PermissionError):
        return Failure(
            "permission",
            "the socket of Redis may not be opened by this user",
            "Set unixsocketperm in Redis, or add this user to its group.",
            passes=False,
        )
    if isinstance(error, socket.gaierror):
        return Failure(
            "host name",
            "Redis cannot be reached: the name of its host is not known",
            "Check the host in --store, and the name server.",
        )
    if isinstance(error, ConnectionResetError | BrokenPipeError | ssl.SSLError):
        return None  # by what was said before
    if isinstance(error, OSError) and error.errno:
        return _unreachable(str(error.strerror))
    return None


def _unreachable(why: str) -> Failure:
    return replace(UNREACHABLE, message=f"{UNREACHABLE.message}: {why}")
