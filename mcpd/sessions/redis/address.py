"""Where Redis is, read from a URL: one server, a cluster, or a primary that Sentinel knows. Pure.

URLs are spelled as in other software: ``redis+cluster://`` and ``redis+sentinel://`` (or with a
hyphen), several hosts with commas, the service as a path, a parameter or a fragment.
"""

import ssl
from dataclasses import dataclass, field
from enum import Enum, auto
from urllib.parse import parse_qsl, unquote, urlsplit

from mcpd.errors import ConfigError

DEFAULT_PREFIX = "mcpd"
DEFAULT_SERVICE = "mymaster"  # as Sentinel's own example configuration has it
REDIS_PORT = 6379
SENTINEL_PORT = 26379
MAX_REPLICAS = 9  # that a write can be asked to reach; more is a typing error

_VENDORS = {"redis": False, "rediss": True, "valkey": False, "valkeys": True}  # → TLS?
_PARAMETERS = frozenset(
    {
        "prefix", "db", "username", "password", "client_name", "wait_replicas",
        "service", "service_name", "sentinelServiceName", "sentinel_username", "sentinel_password",
        "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname",
    }
)  # fmt: skip
_EXAMPLES = (
    "Write redis://USER:PASSWORD@HOST:6379/0, rediss://… (TLS), unix:///PATH,"
    " redis+cluster://HOST:6379,HOST:6379 or redis+sentinel://HOST:26379,HOST:26379/SERVICE."
)


class Kind(Enum):
    """What is behind the hosts of an address."""

    SINGLE = auto()
    CLUSTER = auto()  # the hosts are some of its nodes
    SENTINEL = auto()  # the hosts are Sentinels, which know the primary


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where one server listens; ``port`` 0: ``host`` is the path of a Unix socket."""

    host: str
    port: int

    def __str__(self) -> str:
        if not self.port:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Login:
    """As whom to connect; never shown."""

    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Address:
    """Where Redis is. ``shown`` is the URL without its secrets.

    Attributes:
        tls: None: without TLS.
        service: the name of the primary at the Sentinels.
        wait_replicas: so many replicas have a write before it is acknowledged, as far as there are
            that many.
    """

    kind: Kind
    places: tuple[Place, ...]
    shown: str
    prefix: str = DEFAULT_PREFIX
    db: int = 0
    login: Login = field(default=Login(), repr=False)
    sentinel_login: Login = field(default=Login(), repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    service: str = DEFAULT_SERVICE
    wait_replicas: int = 0
    client_name: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read a URL; ``?prefix=NAME`` sets what the keys begin with.

        Raises:
            ConfigError: it is no such URL.
        """
        try:
            return _read(text)
        except (ValueError, OSError) as error:
            # the text of an error of Python's own may repeat what was given, a password included
            said = str(error) if type(error) is _Unusable else type(error).__name__
            raise ConfigError(
                f"The address of Redis is not usable ({said}).", fix=_EXAMPLES
            ) from None


class _Unusable(ValueError):
    """Its text names no secret."""


def is_redis(url: str) -> bool:
    """Whether the scheme of a URL is one of Redis."""
    scheme = url.partition(":")[0].lower()
    return scheme == "unix" or _kind(scheme) is not None


def _kind(scheme: str) -> tuple[bool, Kind] | None:
    vendor, _, topology = scheme.replace("-", "+").partition("+")
    kinds = {"": Kind.SINGLE, "cluster": Kind.CLUSTER, "sentinel": Kind.SENTINEL}
    if vendor not in _VENDORS or topology not in kinds:
        return None
    return _VENDORS[vendor], kinds[topology]


def _read(text: str) -> Address:
    scheme, separator, rest = text.partition("://")
    known = (False, Kind.SINGLE) if scheme.lower() == "unix" else _kind(scheme.lower())
    if known is None or not separator:
        raise _Unusable("its scheme is not known")
    with_tls, kind = known
    authority, slash, tail = rest.partition("/")
    for mark in "?#":  # a URL without a path
        if mark in authority:
            authority, _, more = rest.partition(mark)
            slash, tail = mark, more
            break
    split = urlsplit(f"x:/{tail}" if slash == "/" else f"x:/{slash}{tail}")
    query = _parameters(split.query)
    user_info, _, hosts = authority.rpartition("@")
    if scheme.lower() == "unix":
        places = _socket(hosts, unquote(split.path))
        db, service = int(query.get("db", 0)), ""
        path = split.path
    else:
        port = SENTINEL_PORT if kind is Kind.SENTINEL else REDIS_PORT
        places = tuple(_place(host, port) for host in hosts.split(","))
        path = split.path.rstrip("/")
        db, service = _path(path, kind, query, unquote(split.fragment))
    if len(places) > 1 and kind is Kind.SINGLE:
        raise _Unusable("several hosts are a cluster or Sentinels: say which in the scheme")
    if kind is Kind.CLUSTER:
        path = ""
    return Address(
        kind,
        places,
        f"{scheme}://{hosts}{path}",
        _prefix(query.get("prefix", DEFAULT_PREFIX)),
        db,
        _login(user_info, query),
        Login(query.get("sentinel_username"), query.get("sentinel_password")),
        _tls(query) if with_tls else None,
        service or DEFAULT_SERVICE,
        _replicas(query, kind),
        query.get("client_name"),
    )


def _parameters(text: str) -> dict[str, str]:
    query = dict(parse_qsl(text, keep_blank_values=True))
    for name in query:
        if name not in _PARAMETERS:
            raise _Unusable(f"there is no parameter {name[:40]!r}")
    return query


def _socket(hosts: str, path: str) -> tuple[Place, ...]:
    if hosts or path in ("", "/"):
        raise _Unusable("it names no socket")
    return (Place(path, 0),)


def _place(text: str, default_port: int) -> Place:
    split = urlsplit(f"//{text}")
    try:
        port = default_port if split.port is None else split.port
    except ValueError:
        raise _Unusable("a port is not a number from 1 to 65535") from None
    if not split.hostname:
        raise _Unusable("it names no host")
    if not port:
        raise _Unusable("a port is not a number from 1 to 65535")
    return Place(split.hostname, port)


def _path(path: str, kind: Kind, query: dict[str, str], fragment: str) -> tuple[int, str]:
    """The number of the database, and the service of Sentinel."""
    words = [unquote(word) for word in path.split("/") if word]
    named = [query.get(name) for name in ("service", "service_name", "sentinelServiceName")]
    service = next((name for name in named if name), "") or fragment
    if kind is Kind.SENTINEL and words and not words[0].isdecimal():
        service = service or words[0]
        words = words[1:]
    number = query.get("db", words[0] if words else "0")
    if len(words) > 1 or not (number.isascii() and number.isdecimal()):
        raise _Unusable("a database is a number")
    return int(number), service


def _prefix(text: str) -> str:
    if not text or any(c in "{}" or not c.isprintable() or c.isspace() for c in text):
        raise _Unusable("a prefix has no braces, spaces or control characters")
    return text


def _login(user_info: str, query: dict[str, str]) -> Login:
    name, _, password = user_info.partition(":")
    return Login(
        query.get("username") or unquote(name) or None,
        query.get("password") or unquote(password) or None,
    )


def _replicas(query: dict[str, str], kind: Kind) -> int:
    """What fails over can lose what a replica does not have yet; a single server has none."""
    text = query.get("wait_replicas", "0" if kind is Kind.SINGLE else "1")
    if not (text.isascii() and text.isdecimal() and int(text) <= MAX_REPLICAS):
        raise _Unusable(f"wait_replicas is a number from 0 to {MAX_REPLICAS}")
    return int(text)


def _tls(query: dict[str, str]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=query.get("ssl_ca_certs"))
        if certificate := query.get("ssl_certfile"):
            context.load_cert_chain(certificate, query.get("ssl_keyfile"))
    except OSError as error:  # of ssl as well
        reason = error.strerror or "it is no PEM file"
        raise _Unusable(f"a certificate or key of it cannot be read: {reason}") from None
    checks = query.get("ssl_check_hostname", "true").lower()
    required = query.get("ssl_cert_reqs", "required").lower()
    if checks not in ("true", "false", "1", "0", "yes", "no"):
        raise _Unusable("ssl_check_hostname is true or false")
    if required not in ("required", "optional", "none"):
        raise _Unusable("ssl_cert_reqs is required or none")
    if checks in ("false", "0", "no") or required == "none":
        context.check_hostname = False
    if required == "none":
        context.verify_mode = ssl.CERT_NONE
    return context
