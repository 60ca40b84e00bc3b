"""TLS for listeners, with certificates that can be replaced while running."""

import ssl
from pathlib import Path

import trio

from mcpd.errors import ConfigError, Unavailable
from mcpd.start_failures import may_pass


def load_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A server context, TLS 1.2 or newer.

    Raises:
        ConfigError: the files cannot be read, or do not belong together.
        Unavailable: they cannot be read now.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or getattr(error, "reason", None) or "not PEM"
        lasting = isinstance(error, ssl.SSLError) or not may_pass(error)
        raise (ConfigError if lasting else Unavailable)(
            f"The certificate {certificate} with the key {key} cannot be used: {reason}.",
            fix="Both are PEM files; the key must belong to the certificate.",
        ) from error
    return context


class Tls:
    """Wraps new connections with the certificates that were loaded last."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate = certificate
        self._key = key
        self._context = load_context(certificate, key)

    def reload(self) -> None:
        """Read the files again; connections that are open keep what they have.

        Raises:
            ConfigError, Unavailable: nothing was changed.
        """
        self._context = load_context(self._certificate, self._key)

    def wrap(self, stream: trio.SocketStream) -> trio.SSLStream[trio.SocketStream]:
        """The server side of TLS; the handshake happens with the first read."""
        return trio.SSLStream(stream, self._context, server_side=True, https_compatible=True)
