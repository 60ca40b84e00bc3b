"""Where connections come in: TCP, a Unix socket, or what systemd passed."""

import errno
import logging
import socket
import stat
from collections.abc import MutableMapping, Sequence
from ipaddress import ip_address
from pathlib import Path

import trio

from mcpd.config import Config
from mcpd.errors import ConfigError, McpdError
from mcpd.server.neighbours import in_use
from mcpd.server.systemd import passed_sockets
from mcpd.start_failures import start_failure

BACKLOG = 1024
_PROBE_S = 1.0  # for a server on a Unix socket to answer


async def open_listeners(
    config: Config, environ: MutableMapping[str, str]
) -> list[trio.SocketListener]:
    """Sockets that systemd passed win over the settings.

    Raises:
        ConfigError: the address will never be had; says why.
        Unavailable: it is in use, or not there yet.
    """
    passed = passed_sockets(environ)
    if passed:
        return listen_on(passed)
    if config.unix is not None:
        return [await _open_unix(config.unix, config.state_path)]
    return await _open_tcp(config.host, config.port, config.state_path)


async def open_address(setting: str, address: str, state_path: Path) -> list[trio.SocketListener]:
    """Sockets of a setting such as ``127.0.0.1:9464``, ``[::1]:9464`` or ``unix:PATH``.

    Raises:
        ConfigError, Unavailable: see ``open_listeners``.
    """
    if address.startswith("unix:"):
        return [await _open_unix(Path(address[5:]).expanduser(), state_path)]
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or int(port) > 65535 or not host:
        raise ConfigError(
            f"{setting} names no address.", received=address[:100], fix="Like 127.0.0.1:9464."
        )
    flag = f"--{setting}"
    return await _open_tcp(host.strip("[]"), int(port), state_path, flag=flag)


async def _open_tcp(
    host: str, port: int, state_path: Path, *, flag: str = ""
) -> list[trio.SocketListener]:
    try:
        return await trio.open_tcp_listeners(port, host=host, backlog=BACKLOG)
    except OSError as error:
        where = f"{host} port {port}"
        cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
        if errno.EADDRINUSE in (error.errno, cause.errno):
            raise await in_use(where, state_path, host, port, flag=flag) from error
        raise _cannot_listen(where, error) from error


def listen_on(sockets: Sequence[socket.socket]) -> list[trio.SocketListener]:
    """Listeners of sockets that another process bound."""
    return [trio.SocketListener(trio.socket.from_stdlib_socket(sock)) for sock in sockets]


async def _open_unix(path: Path, state_path: Path) -> trio.SocketListener:
    await _remove_stale(path, state_path)
    sock = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        await sock.bind(str(path))
        path.chmod(0o660)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise _cannot_listen(str(path), error) from error
    return trio.SocketListener(sock)


async def _remove_stale(path: Path, state_path: Path) -> None:
    """Remove a socket file that no server listens on, and nothing else."""
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise ConfigError(f"{path} exists and is no socket.", fix="Give another --unix.")
    except FileNotFoundError:
        return
    with trio.move_on_after(_PROBE_S):
        try:
            stream = await trio.open_unix_socket(str(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
        await stream.aclose()
    raise await in_use(str(path), state_path, str(path))


def _cannot_listen(where: str, error: OSError) -> McpdError:
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    if cause.errno is None and error.errno is not None:
        cause = error
    reason = cause.strerror or str(error)
    return start_failure(
        cause, f"Cannot listen on {where}: {reason}.", fix="Check --host and --port."
    )


def addresses(listeners: list[trio.SocketListener], scheme: str) -> list[str]:
    """What the listeners are bound to, as URLs."""
    found = []
    for listener in listeners:
        name = listener.socket.getsockname()
        if isinstance(name, tuple):
            host = f"[{name[0]}]" if ":" in name[0] else name[0]
            found.append(f"{scheme}://{host}:{name[1]}")
        else:
            found.append(f"unix:{name}")
    return found


def log_addresses(log: logging.Logger, urls: Sequence[str]) -> None:
    """A line for each, as clients use it."""
    for url in urls:
        log.info("listening on %s", url if url.startswith("unix:") else f"{url}/mcp/")


def are_local(listeners: list[trio.SocketListener]) -> bool:
    """Whether only this machine can connect: by what is bound, whichever process bound it."""
    for listener in listeners:
        name = listener.socket.getsockname()
        if isinstance(name, tuple) and not ip_address(name[0].partition("%")[0]).is_loopback:
            return False
    return True


def remove_unix(config: Config, listeners: list[trio.SocketListener]) -> None:
    """Take our own Unix socket away when we stop."""
    if config.unix is not None and any(
        listener.socket.family == socket.AF_UNIX for listener in listeners
    ):
        config.unix.unlink(missing_ok=True)
