"""mcpd token create|inspect|revoke"""

import argparse
import json
import os
import re
import sys
import time

import jwt
import trio

from mcpd.access.scopes import SCOPE_EXECUTE
from mcpd.auth.access_control import AccessControl
from mcpd.auth.authenticator import Authenticator, Sent
from mcpd.auth.credential_store import CredentialStore
from mcpd.auth.revocation import ANY_ISSUER, Revocation, Revocations
from mcpd.auth.secrets import SecretSource
from mcpd.auth.tokens import (
    MAX_JTI_CHARS,
    MAX_TTL_S,
    TOKEN_TYPES,
    TokenRules,
    Verifier,
    create_token,
)
from mcpd.cli.credentials import SETTINGS, read_moment, when, with_credentials
from mcpd.cli.settings import add_settings, load_settings
from mcpd.cli.signing import add_new_secret, signing_secret
from mcpd.config import Config
from mcpd.errors import ConfigError, McpdError
from mcpd.server.backends import credentials_path, is_shared
from mcpd.server.jwt_secrets import find_secrets

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "": 1}
_SETTINGS = frozenset({"state_dir", "jwt_secret_file", "jwt_issuer", "jwt_audience"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the verb."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="sign a token and print it")
    create.add_argument("--sub", required=True, metavar="USER", help="who it is for")
    create.add_argument(
        "--scope", action="append", metavar="S", help=f"repeatable (default: {SCOPE_EXECUTE})"
    )
    create.add_argument("--type", choices=TOKEN_TYPES, default="access")
    create.add_argument("--ttl", default="24h", help="like 90s, 15m, 24h, 30d (default: 24h)")
    add_new_secret(create)
    add_settings(create, only=_SETTINGS)
    told = "read a token from standard input; show its claims and whether it is valid"
    inspect = actions.add_parser("inspect", help=told, description=told.capitalize() + ".")
    add_settings(inspect, only=_SETTINGS)
    revoke = actions.add_parser("revoke", help="withdraw tokens before they expire")
    which = revoke.add_mutually_exclusive_group(required=True)
    which.add_argument("--jti", metavar="ID", help="one token; mcpd token inspect shows its jti")
    which.add_argument("--sub", metavar="USER", help="all of a user's, see --before")
    revoke.add_argument(
        "--before", default="now", metavar="TIME", help="issued before then (default: now)"
    )
    add_settings(revoke, only=SETTINGS | {"jwt_issuer"})


def run(arguments: argparse.Namespace) -> int:
    """Create, inspect or revoke."""
    config = load_settings(arguments).config
    if arguments.action == "revoke":
        return _revoke(arguments, config)
    return _create(arguments, config) if arguments.action == "create" else _inspect(config)


def _create(arguments: argparse.Namespace, config: Config) -> int:
    scopes = tuple(arguments.scope or (SCOPE_EXECUTE,))
    source = signing_secret(config, os.environ, new_secret=arguments.new_secret)
    token_type, ttl = arguments.type, arguments.ttl
    print(sign(config, source, arguments.sub, scopes, token_type=token_type, ttl=ttl))
    return 0


def sign(
    config: Config,
    source: SecretSource,
    subject: str,
    scopes: tuple[str, ...],
    *,
    token_type: str,
    ttl: str,
) -> str:
    """A token of this server's; ``ttl`` is a text like 24h.

    Raises:
        ConfigError: the subject or the time is not usable.
    """
    if not subject or not subject.isprintable():
        raise ConfigError("--sub must name a user.", received=subject)
    return create_token(
        source.secrets[0],
        subject=subject,
        scopes=scopes,
        token_type=token_type,
        now=int(time.time()),
        ttl_s=parse_duration(ttl),
        issuer=config.jwt_issuer,
        audience=config.jwt_audience,
    )


def _inspect(config: Config) -> int:
    """The token comes from standard input, so that it stays out of process lists and histories."""
    if sys.stdin.isatty():
        print("Paste the token and press Enter:", file=sys.stderr)
    token = sys.stdin.readline().strip().removeprefix("Bearer ").strip()
    try:
        shown = {
            "header": jwt.get_unverified_header(token),
            "claims": jwt.decode(token, options={"verify_signature": False}),
        }
    except jwt.PyJWTError:
        raise ConfigError(
            "That is not a JSON Web Token." if token else "No token came.",
            fix="Give one on standard input: mcpd token inspect < FILE",
        ) from None
    print(json.dumps(shown, indent=2))
    source = find_secrets(config, os.environ, create=False)
    rules = TokenRules(config.jwt_issuer, config.jwt_audience, config.jwt_leeway_s)
    try:
        kinds = [Verifier(source.secrets, rules, _revocations(config))]
        authenticator = Authenticator(kinds, access=AccessControl(config.access))
        trio.run(authenticator.authenticate, Sent(f"Bearer {token}".encode()))
    except McpdError as error:
        told = f"not valid here, by the secret of {source.origin}: {error.message} {error.fix}"
        print(told, file=sys.stderr)
        return 1
    print(f"valid here, by the secret of {source.origin}", file=sys.stderr)
    return 0


def _revocations(config: Config) -> Revocations:
    """What the store knows that the settings name; nothing, if there is none."""
    found: list[Revocation] = []

    async def read(store: CredentialStore) -> int:
        found.extend(await store.revocations(time.time()))
        return 0

    if is_shared(config) or credentials_path(config).exists():
        with_credentials(config, read)
    return Revocations(found)


def _revoke(arguments: argparse.Namespace, config: Config) -> int:
    """No token that we make lives longer than MAX_TTL_S: so long it has to be known."""
    issuer, expires_at = config.jwt_issuer or ANY_ISSUER, time.time() + MAX_TTL_S
    named = arguments.sub if arguments.jti is None else arguments.jti
    if not named or len(named) > MAX_JTI_CHARS or not named.isprintable():
        raise ConfigError("That names no token and no user.", fix="See mcpd token inspect.")
    if arguments.jti is not None:
        revocation = Revocation("token", arguments.jti, issuer, expires_at=expires_at)
        told = "revoked that token"
    else:
        before = read_moment(arguments.before)
        if before > time.time() + 1:
            raise ConfigError("--before is in the future.", fix="Leave it out for now.")
        revocation = Revocation("subject", arguments.sub, issuer, before, expires_at)
        told = f"revoked the tokens of {arguments.sub} from before {when(before)} UTC"

    async def act(store: CredentialStore) -> int:
        await store.revoke(revocation)
        print(told)
        return 0

    return with_credentials(config, act)


def parse_duration(text: str, flag: str = "--ttl") -> int:
    """Seconds of a text like 24h, as it was given to a flag.

    Raises:
        ConfigError: it is none, zero, or beyond ten years.
    """
    match = re.fullmatch(r"(\d{1,9})([smhd]?)", text)
    seconds = int(match[1]) * _UNITS_S[match[2]] if match else 0
    if not 0 < seconds <= MAX_TTL_S:
        raise ConfigError(
            f"{flag} must be a time of up to ten years.",
            received=text[:32],
            fix="Write 15m or 24h.",
        )
    return seconds
