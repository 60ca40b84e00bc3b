"""A server's own URL, where it names itself to a client of a proxy, and the way back. Pure.

A client that is told of the server's own URL, by a challenge (RFC 9728, section 5.1) or by a
metadata document, goes there past the proxy, and finds that ``resource`` is another one than it
asked for.
"""

import re
from urllib.parse import quote, urlsplit

from mcpd.http.origin import DEFAULT_PORTS

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_END = r"(?![\w@-]|[.:]\w)"  # an origin ends here: no more of its host or port follows
_END_ENCODED = r"(?!%3A|%40|[\w@-]|\.\w)"


class Rewriter:
    """Two origins, either in the place of the other; in texts and percent-encoded.

    Args:
        upstream: of the server, like http://127.0.0.1:8001
        proxy: of the proxy before it.
    """

    def __init__(self, upstream: str, proxy: str) -> None:
        self._upstream, self._proxy = upstream, proxy
        self._to_client = [_pattern(name) for name in _names(upstream)]
        self._to_server = [_pattern(proxy)]

    def to_client(self, text: str) -> str:
        """What the server says, with the proxy in the place of the server."""
        return _replace(text, self._to_client, self._proxy)

    def to_server(self, text: str) -> str:
        """What the client says, with the server in the place of the proxy."""
        return _replace(text, self._to_server, self._upstream)


def _names(origin: str) -> list[str]:
    """How a server may write its origin: with a default port; loopback by any name."""
    parts = urlsplit(origin)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    hosts = _LOOPBACK if host in _LOOPBACK else (host,)
    port = parts.port or DEFAULT_PORTS[parts.scheme]
    names = [f"{parts.scheme}://{one}:{port}" for one in hosts]
    if port == DEFAULT_PORTS[parts.scheme]:
        names += [f"{parts.scheme}://{one}" for one in hosts]
    return names


def _pattern(origin: str) -> re.Pattern[str]:
    """As it is, in JSON with escaped slashes, or percent-encoded in either case."""
    plain = re.escape(origin).replace("/", r"\\?/")
    encoded = re.escape(quote(origin, safe=""))
    return re.compile(rf"(?P<plain>{plain}){_END}|{encoded}{_END_ENCODED}", re.IGNORECASE)


def _replace(text: str, patterns: list[re.Pattern[str]], other: str) -> str:
    def put(found: re.Match[str]) -> str:
        return other if found["plain"] is not None else quote(other, safe="")

    for pattern in patterns:
        text = pattern.sub(put, text)
    return text
