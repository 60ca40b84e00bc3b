"""Reading settings again while running: what is in force, what changed, what needs a restart."""

import logging
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from pathlib import Path

from mcpd.auth.secrets import Secret, SecretSource
from mcpd.config import Config
from mcpd.errors import McpdError
from mcpd.server.jwt_secrets import find_secrets
from mcpd.server.tls import load_context

log = logging.getLogger("mcpd.server")

ReadConfig = Callable[[], Config]

# Settings that a reload brings into force; every other one that changed waits for a restart.
RELOADED = frozenset({"log_level", "jwt_secret_file", "access"})
FINGERPRINT_CHARS = 16  # of a certificate's SHA-256, as far as it is told


@dataclass(frozen=True, slots=True)
class InForce:
    """What a running server uses of what can be read again.

    Attributes:
        config: of the start, but for what was reloaded.
        secrets: None: no credential is needed.
        certificate: the beginning of its fingerprint; empty: no TLS.
    """

    config: Config
    secrets: SecretSource | None
    certificate: str

    @classmethod
    def read(cls, config: Config, environ: Mapping[str, str]) -> "InForce":
        """Read files again.

        Raises:
            ConfigError, Unavailable: one cannot be used.
        """
        needed = config.auth != "none"
        secrets = find_secrets(config, environ, create=False) if needed else None
        return cls(config, secrets, _fingerprint(config))

    def follow(self, wanted: Config, environ: Mapping[str, str]) -> "InForce":
        """What is in force once these settings are, as far as they can be without a restart.

        Raises:
            ConfigError, Unavailable: something cannot be used.
        """
        changed = {name: getattr(wanted, name) for name in RELOADED}
        return InForce.read(replace(self.config, **changed), environ)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a reload, in words that may be shown to an operator."""

    succeeded: bool
    told: str


class Reload:
    """Reads settings, secrets and certificates again, for as long as a server runs.

    Args:
        apply: brings them into force in the place of the old ones; it raises before it has changed
            anything, or not at all.
    """

    def __init__(
        self,
        in_force: InForce,
        read_config: ReadConfig,
        environ: Mapping[str, str],
        apply: Callable[[InForce, InForce], None],
    ) -> None:
        self._in_force = in_force
        self._read_config = read_config
        self._environ = environ
        self._apply = apply

    def __call__(self) -> Outcome:
        """Reload once; if it fails, everything stays as it was."""
        try:
            wanted = self._read_config()
            fresh = self._in_force.follow(wanted, self._environ)
            self._apply(self._in_force, fresh)
        except McpdError as error:
            told = f"reload failed, the old settings stay: {error.message} {error.fix}".strip()
            log.error("%s", told)
            return Outcome(False, told)
        told = "reloaded: " + "; ".join(describe(self._in_force, fresh, wanted))
        self._in_force = fresh
        log.info("%s", told)
        return Outcome(True, told)


def describe(old: InForce, new: InForce, wanted: Config) -> list[str]:
    """What a reload did, in words: key ids and names of settings, and no secret.

    Args:
        wanted: the settings as they were read now; may differ from what is in force.
    """
    told = [_keys(old.secrets, new.secrets)] if new.secrets is not None else []
    if new.certificate:
        same = "unchanged" if new.certificate == old.certificate else "new"
        told.append(f"certificate {new.certificate}: {same}")
    before, after = old.config.log_level, new.config.log_level
    told.append(f"log level {after}: {'unchanged' if before == after else f'it was {before}'}")
    if old.config.access != new.config.access:
        told.append("roles, limits and who has which: new")
    waiting = [
        f.name for f in fields(Config) if getattr(wanted, f.name) != getattr(new.config, f.name)
    ]
    if waiting:
        told.append(f"in force after a restart: {', '.join(waiting)}")
    return told


def _keys(old: SecretSource | None, new: SecretSource) -> str:
    ids = _ids(new.secrets)
    before = _ids(old.secrets) if old is not None else []
    if ids == before:
        fixed = f" ({new.fixed})" if new.fixed else ""
        return f"keys {', '.join(ids)} of {new.origin}: unchanged{fixed}"
    added = [kid for kid in ids if kid not in before]
    gone = _missing(before, ids)
    parts = [f"{ids[0]} signs"]
    parts += [f"new: {', '.join(added)}"] if added else []
    parts += [f"gone: {', '.join(gone)}"] if gone else []
    return f"keys {', '.join(ids)} of {new.origin}: {'; '.join(parts)}"


def removed_keys(old: InForce, new: InForce) -> list[str]:
    """Ids of keys whose tokens do not count any more."""
    if old.secrets is None or new.secrets is None:
        return []
    return _missing(_ids(old.secrets.secrets), _ids(new.secrets.secrets))


def _missing(before: list[str], now: list[str]) -> list[str]:
    return [kid for kid in before if kid not in now]


def _ids(secrets: tuple[Secret, ...]) -> list[str]:
    return [secret.kid for secret in secrets]


def _fingerprint(config: Config) -> str:
    if config.tls_certificate is None or config.tls_key is None:
        return ""
    load_context(config.tls_certificate, config.tls_key)  # whether it can be used at all
    return _sha256_of(config.tls_certificate)[:FINGERPRINT_CHARS]


def _sha256_of(certificate: Path) -> str:
    """Of the first certificate in the file; that is the server's own (RFC 8446, section 4.4.2)."""
    text = certificate.read_text(encoding="ascii", errors="replace")
    _, begin, rest = text.partition("-----BEGIN CERTIFICATE-----")
    body, end, _ = rest.partition("-----END CERTIFICATE-----")
    return sha256(ssl.PEM_cert_to_DER_cert(begin + body + end)).hexdigest()
