"""The way that a client takes that is asked to log in: from the challenge to the protected resource
document (RFC 9728), and to the metadata of the authorization server (RFC 8414, OpenID Connect
Discovery). Documents are read, and nothing is registered.
"""

import re
from collections.abc import Callable, Iterable
from urllib.parse import urljoin, urlsplit

import trio

from mcpd.doctor.facts import Discovery, Facts, first_server
from mcpd.doctor.prober import Pairs, Prober
from mcpd.doctor.seen import Seen
from mcpd.errors import McpdError
from mcpd.http.client import HttpClient
from mcpd.http.origin import Origin

DISCOVERY_S = 10.0  # for a document: claude.ai waits no longer
RESOURCE = "oauth-protected-resource"
SERVER = ("oauth-authorization-server", "openid-configuration")
HEADERS: Pairs = [(b"accept", b"application/json")]

Resolve = Callable[[str], tuple[Origin, str]]


async def discover(prober: Prober, facts: Facts, resolve: Resolve) -> Discovery:
    """Follow it as far as it leads.

    Args:
        prober: of the server's own origin.
        resolve: the way to another origin.
    """
    found = Discovery()
    own = _origin(facts.url)
    path = urlsplit(facts.url).path
    resources = [f"{own}{name}" for name in _spellings(RESOURCE, path)]
    servers = [f"{own}{name}" for kind in SERVER for name in _spellings(kind, path.rstrip("/"))]
    documents = Documents(prober, own, resolve)
    await documents.fetch([*resources, *servers])
    found.well_known = {
        url.removeprefix(own): documents.seen[url] for url in [*resources, *servers]
    }
    if named := challenged_url(facts.challenge):
        await documents.fetch([named])
        resources = [named, *resources]
    found.resources = {url: documents.seen[url] for url in resources}
    found.issuer = first_server(found.resource) or own
    places = metadata_urls(found.issuer)
    await documents.fetch(places)
    found.issuers = {url: documents.seen[url] for url in places}
    return found


class Documents:
    """Each document once, wherever it is. No token goes along.

    Attributes:
        seen: what came, by URL.
    """

    def __init__(self, prober: Prober, own: str, resolve: Resolve) -> None:
        self.seen: dict[str, Seen] = {}
        self._prober = prober
        self._own = own
        self._resolve = resolve

    async def fetch(self, urls: Iterable[str]) -> None:
        """Those that are not there yet, all at once."""
        async with trio.open_nursery() as nursery:
            for url in dict.fromkeys(urls):
                if url not in self.seen:
                    nursery.start_soon(self._fetch, url)

    async def _fetch(self, url: str) -> None:
        if _origin(url) == self._own:
            self.seen[url] = await self._get(self._prober, url.removeprefix(self._own) or "/")
            return
        try:
            origin, target = self._resolve(url)
        except McpdError as error:
            self.seen[url] = Seen(error=error.message)
            return
        async with HttpClient(origin) as client:
            self.seen[url] = await self._get(Prober(client), target)

    async def _get(self, prober: Prober, target: str) -> Seen:
        return await prober.send("GET", target, HEADERS, limit_s=DISCOVERY_S)


def challenged_url(challenge: str) -> str:
    """The protected resource document that a challenge names; empty: it names none."""
    named = re.search(r'resource_metadata="?([^",\s]+)', challenge)
    url = named[1] if named else ""
    return url if url.startswith(("https://", "http://")) else ""


def metadata_urls(issuer: str) -> list[str]:
    """Where the metadata of an authorization server may be, in the order in which clients look
    (MCP, "Authorization Server Metadata Discovery"); nowhere, if it is no URL.
    """
    try:
        path = urlsplit(issuer).path.rstrip("/")
    except ValueError:
        return []
    places = [f"/.well-known/{kind}{path}" for kind in SERVER]
    if path:
        places.append(f"{path}/.well-known/{SERVER[1]}")
    return [urljoin(issuer, place) for place in places]


def _spellings(kind: str, path: str) -> list[str]:
    """With the whole path, without its last slash, without a path: clients differ."""
    paths = (path, path.rstrip("/"), "")
    return list(dict.fromkeys(f"/.well-known/{kind}{'' if p == '/' else p}" for p in paths))


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}"
