"""API keys: how one looks, and what is kept of it. Pure, but for the random bits of a new one.

``mcpd_ID_SECRETCHECK``: an id that may be shown, 256 secret bits, and a checksum, so that a scanner
finds a key in a text and a mistyped one is refused without a look at the store. The text is shown
once, when it is made; what is kept is its SHA-256, which for a secret of so many random bits is
enough.
"""

import hashlib
import hmac
import re
import secrets
import zlib
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import msgspec

from mcpd.errors import ConfigError

PREFIX = "mcpd"
ID_CHARS = 12
SECRET_CHARS = 43  # 256 bits in base 62
CHECK_CHARS = 6  # CRC-32 in base 62
DEFAULT_TTL_S = 90 * 86400
MAX_NAME_CHARS = 64
MAX_ADDRESSES = 32  # ranges of one key

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_FORM = re.compile(
    rf"{PREFIX}_([0-9A-Za-z]{{{ID_CHARS}}})_[0-9A-Za-z]{{{SECRET_CHARS + CHECK_CHARS}}}"
)


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of a key. Times are Unix seconds.

    Attributes:
        id: a part of the key that may be shown.
        digest: SHA-256 of its text.
        name: for people.
        subject: its owner, for whom it acts.
        issuer: the owner's; empty: ours.
        created_by: the subject who made it; empty: an operator's command.
        expires_at: None: never.
        addresses: networks from which alone it is taken; none: any.
        revoked_at: None: it is not.
        last_used: as far as it is noted, once a minute; None: never.
    """

    id: str
    digest: bytes
    name: str
    subject: str
    issuer: str = ""
    scopes: tuple[str, ...] = ()
    created_at: float
    created_by: str = ""
    expires_at: float | None = None
    addresses: tuple[str, ...] = ()
    revoked_at: float | None = None
    last_used: float | None = None

    def shown(self) -> dict[str, object]:
        """All but the digest, for people and programs."""
        members = msgspec.to_builtins(self)
        del members["digest"]
        return {"scopes": [], "addresses": [], "expires_at": None, **members}

    def is_text(self, text: str) -> bool:
        """Whether this is the text of the key; in constant time."""
        return hmac.compare_digest(self.digest, digest_of(text))

    def takes(self, address: str) -> bool:
        """Whether it is taken from an address."""
        if not self.addresses:
            return True
        try:
            found = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(found, "ipv4_mapped", None)
        return any((mapped or found) in ip_network(network) for network in self.addresses)


def new_key() -> tuple[str, str]:
    """The id and the text of a new key."""
    key_id = _random(ID_CHARS)
    start = f"{PREFIX}_{key_id}_{_random(SECRET_CHARS)}"
    return key_id, start + _check(start)


def looks_like_key(text: str) -> bool:
    """Whether a credential is meant to be a key."""
    return text.startswith(f"{PREFIX}_")


def id_of(text: str) -> str | None:
    """The id in the text of a key; None: it is none, or mistyped."""
    match = _FORM.fullmatch(text)
    if match is None or _check(text[:-CHECK_CHARS]) != text[-CHECK_CHARS:]:
        return None
    return match[1]


def digest_of(text: str) -> bytes:
    """What is kept of a text."""
    return hashlib.sha256(text.encode("latin-1", "replace")).digest()


def networks(given: tuple[str, ...]) -> tuple[str, ...]:
    """Ranges of addresses in their canonical form.

    Raises:
        ConfigError: one is none, or there are too many.
    """
    if len(given) > MAX_ADDRESSES:
        raise ConfigError(f"A key has at most {MAX_ADDRESSES} address ranges.", received=len(given))
    found = []
    for text in given:
        try:
            found.append(str(_unmapped(ip_network(text.strip(), strict=False))))
        except ValueError:
            raise ConfigError(
                "That is no address range.", received=text[:64], fix="Write 10.0.0.0/8 or ::1."
            ) from None
    return tuple(found)


def _unmapped(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """IPv4 that is written as IPv6 is compared as IPv4."""
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((int(mapped), network.prefixlen - 96))
    return network


def _random(count: int) -> str:
    return "".join(secrets.choice(_DIGITS) for _ in range(count))


def _check(start: str) -> str:
    number, digits = zlib.crc32(start.encode("ascii")), ""
    for _ in range(CHECK_CHARS):
        number, place = divmod(number, len(_DIGITS))
        digits = _DIGITS[place] + digits
    return digits
