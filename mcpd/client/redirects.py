"""Where a redirect leads, and whether a client may go there. Pure."""

from urllib.parse import SplitResult, urljoin, urlsplit

from mcpd.client.errors import Undeliverable
from mcpd.http.origin import DEFAULT_PORTS

# A Starlette mount adds a slash (one), a gateway may add a host's own path (two); more is a loop.
MAX_REDIRECTS = 5  # in a row, for one request
# Method and body stay as they were (RFC 9110, sections 15.4.8 and 15.4.9). The others may turn a
# POST into a GET, which loses the message.
FOLLOWED = (307, 308)
REDIRECTS = (301, 302, 303, *FOLLOWED)


def target_at(base: str, reference: str) -> str | None:
    """Path and query of a reference (RFC 3986, section 5), if it stays at the origin of ``base``;
    None: it leads to another origin, or nowhere. Credentials go to one origin alone.
    """
    try:
        there = urlsplit(urljoin(base, reference))
        if _origin(there) != _origin(urlsplit(base)):
            return None
    except ValueError:
        return None
    return (there.path or "/") + (f"?{there.query}" if there.query else "")


def _origin(url: SplitResult) -> tuple[str, str, int | None]:
    """RFC 6454, section 4."""
    return url.scheme, url.hostname or "", url.port or DEFAULT_PORTS.get(url.scheme)


def next_target(status: int, location: str, *, shown: str, base: str, followed: int) -> str:
    """Where a redirect says that the request has to go.

    Args:
        shown: the server, for the words of an error.
        base: the URL that answered so.
        followed: how many redirects this request has followed before.

    Raises:
        Undeliverable: it is not to be followed; the text says why.
    """
    target = target_at(base, location) if location else None
    told = f"{shown} answers {status}, a redirect"
    if not location:
        raise Undeliverable(f"{told} that names no place.", fix="Is the URL that of the endpoint?")
    if target is None:
        raise Undeliverable(
            f"{told} to {_without_secrets(base, location)}. It is not followed: the token is for"
            f" {_shown_origin(base)} alone.",
            fix="If that is the same server, give the URL that it names, with https:// if it has"
            " TLS.",
        )
    if status not in FOLLOWED:
        raise Undeliverable(
            f"{told} to {_without_secrets(base, location)}. It is not followed: {status} may turn a"
            " POST into a GET.",
            fix="Give the URL that it names.",
        )
    if followed >= MAX_REDIRECTS:
        raise Undeliverable(
            f"{shown} redirects in a circle: {MAX_REDIRECTS} redirects were followed.",
            fix="Give the URL where the endpoint really is.",
        )
    return target


def _shown_origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _without_secrets(base: str, location: str) -> str:
    """The place without user, password, query and fragment."""
    try:
        there = urlsplit(urljoin(base, location))
        shown = f"{there.scheme}://{there.netloc.rpartition('@')[2]}{there.path}"
    except ValueError:
        return "what is no URL"
    return "".join(c for c in shown if c.isprintable())[:200]
