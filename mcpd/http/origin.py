"""Ways to a server: TCP, TLS, a Unix socket, through a proxy or not."""

import base64
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

import h11
import trio

from mcpd.errors import ConfigError

CONNECT_S = 10.0  # for a connection, its TLS handshake included
MAX_PROXY_HEAD_BYTES = 16 * 1024
DEFAULT_PORTS = {"http": 80, "https": 443}


class NotConnected(Exception):
    """There is no connection; nothing was sent. The text says why."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy; ``authorization`` is for it alone and is never shown."""

    host: str
    port: int
    authorization: bytes | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """How to reach one origin."""

    scheme: str
    host: str
    port: int
    unix: Path | None = None
    tls: ssl.SSLContext | None = None
    proxy: Proxy | None = None

    @property
    def authority(self) -> bytes:
        """The value of Host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = self.unix is not None or self.port == DEFAULT_PORTS[self.scheme]
        return (host if default else f"{host}:{self.port}").encode("ascii")

    @property
    def absolute(self) -> bytes:
        """What goes before the path in a request line (RFC 9112, section 3.2.2): a plain request
        to a proxy names the origin.
        """
        plain = self.proxy is not None and self.tls is None
        return b"%b://%b" % (self.scheme.encode("ascii"), self.authority) if plain else b""

    async def connect(self) -> trio.abc.Stream:
        """A fresh connection.

        Raises:
            NotConnected: it cannot be had within CONNECT_S.
        """
        try:
            with trio.fail_after(CONNECT_S):
                return await self._connect()
        except trio.TooSlowError:
            raise NotConnected(f"no connection within {CONNECT_S:g} s") from None
        except h11.ProtocolError as error:
            raise NotConnected("the proxy does not answer in HTTP/1.1") from error
        except (OSError, trio.BrokenResourceError, ssl.SSLError) as error:
            raise NotConnected(_reason(error)) from error

    async def _connect(self) -> trio.abc.Stream:
        if self.unix is not None:
            return await trio.open_unix_socket(self.unix)
        near = self.proxy or self
        stream: trio.abc.Stream = await trio.open_tcp_stream(near.host, near.port)
        try:
            if self.tls is None:
                return stream
            if self.proxy is not None:
                await _open_tunnel(stream, self.proxy, self.host, self.port)
            stream = trio.SSLStream(
                stream, self.tls, server_hostname=self.host, https_compatible=True
            )
            await stream.do_handshake()
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return stream


def resolve_origin(
    url: str,
    *,
    unix: Path | None = None,
    ca_file: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> tuple[Origin, str]:
    """The way to a URL, and the path and query to ask for.

    Args:
        unix: connect there, whatever the URL names.
        ca_file: certificates to trust instead of the system's.
        environ: where HTTP_PROXY, HTTPS_PROXY and NO_PROXY are looked up; None: no proxy.

    Raises:
        ConfigError: the URL, the file or the proxy cannot be used.
    """
    parts = _split(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    tls = _tls(ca_file) if parts.scheme == "https" else None
    host = parts.hostname or "localhost"
    proxy = None
    if unix is None and environ is not None:
        proxy = _proxy(parts.scheme, host, environ)
    port = parts.port or DEFAULT_PORTS[parts.scheme]
    return Origin(parts.scheme, host, port, unix, tls, proxy), target


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
        url.encode("ascii")
    except ValueError as error:
        raise ConfigError("The URL cannot be read.", received=_shown(url)) from error
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or port == 0:
        raise ConfigError(
            "The URL must begin with http:// or https:// and name a host.",
            received=_shown(url),
            fix="Write it like http://127.0.0.1:8000/path",
        )
    if parts.username is not None:
        raise ConfigError("The URL must not hold a user or a password.", fix="Use a token.")
    return parts


def _shown(url: str) -> str:
    """Without what may be a secret: a user, a password, the query, the fragment."""
    return re.sub(r"//[^/?#]*@", "//", re.split(r"[?#]", url)[0])[:200]


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"{ca_file} holds no usable certificates.", fix="Give a PEM file."
        ) from error
    context.set_alpn_protocols(["http/1.1"])
    return context


def _proxy(scheme: str, host: str, environ: Mapping[str, str]) -> Proxy | None:
    """As curl and others read the variables; loopback is never reached through a proxy."""
    lower = {name.lower(): value for name, value in environ.items()}
    variable = f"{scheme}_proxy" if lower.get(f"{scheme}_proxy") else "all_proxy"
    url = lower.get(variable)
    if not url or _is_direct(host, lower.get("no_proxy", "")):
        return None
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme != "http" or not parts.hostname:
        raise ConfigError(
            f"{variable.upper()} names a proxy of a kind that is not supported.",
            received=f"{parts.scheme}://",
            fix="Give http://HOST:PORT, or put the server into NO_PROXY.",
        )
    authorization = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        authorization = b"Basic " + base64.b64encode(pair)
    return Proxy(parts.hostname, parts.port or 80, authorization)


def _is_direct(host: str, no_proxy: str) -> bool:
    if host in ("localhost", "127.0.0.1", "::1") or no_proxy.strip() == "*":
        return True
    names = [name.strip().lower().lstrip("*.") for name in no_proxy.split(",")]
    return any(host == name or host.endswith(f".{name}") for name in names if name)


async def _open_tunnel(stream: trio.abc.Stream, proxy: Proxy, host: str, port: int) -> None:
    """RFC 9110, section 9.3.6."""
    name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    connection = h11.Connection(h11.CLIENT, MAX_PROXY_HEAD_BYTES)
    head = [(b"host", name.encode("ascii"))]
    if proxy.authorization is not None:
        head.append((b"proxy-authorization", proxy.authorization))
    sent = connection.send(h11.Request(method="CONNECT", target=name, headers=head))
    await stream.send_all(sent or b"")
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some(MAX_PROXY_HEAD_BYTES)))
        elif isinstance(event, h11.Response):
            if not 200 <= event.status_code < 300:
                raise NotConnected(f"the proxy answers {event.status_code} to CONNECT {name}")
            return
        elif not isinstance(event, h11.InformationalResponse):
            raise NotConnected("the proxy closed the connection")


def _reason(error: BaseException) -> str:
    cause = error.__cause__
    while isinstance(cause, BaseExceptionGroup):  # an attempt for each address
        cause = cause.exceptions[0]
    if isinstance(cause, OSError):
        return _reason(cause)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or 'the other side does not speak it'}"
    if isinstance(error, OSError) and error.errno and ": " in str(error.strerror):
        return os.strerror(error.errno).lower()  # Trio's own words name the address again
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or "the connection broke"
