"""mcpd key create|list|show|revoke"""

import argparse
import sys
import time

import msgspec

from mcpd.access.scopes import SCOPE_EXECUTE
from mcpd.auth.access_control import AccessControl
from mcpd.auth.api_keys import KeyRecord
from mcpd.auth.credential_store import CredentialStore
from mcpd.cli.credentials import SETTINGS, when, with_credentials
from mcpd.cli.settings import add_settings, load_settings
from mcpd.cli.token import parse_duration
from mcpd.operations.key_issue import issue_key
from mcpd.server.backends import credentials_path, is_shared

COLUMNS = "{:12}  {:20}  {:20}  {:9}  {:16}  {:16}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The actions, each with its flags."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make a key and print it; it is shown just once")
    create.add_argument("--owner", required=True, metavar="USER", help="for whom it acts")
    create.add_argument("--name", default="key", help="to tell it from others (default: key)")
    create.add_argument(
        "--scope", action="append", metavar="S", help=f"repeatable (default: {SCOPE_EXECUTE})"
    )
    create.add_argument("--expires", default="90d", metavar="TIME", help="like 12h, 90d, or never")
    create.add_argument(
        "--address", action="append", metavar="NET", help="repeatable; it is taken from there alone"
    )
    listing = actions.add_parser("list", help="all keys, one a line")
    show = actions.add_parser("show", help="everything that is kept of one key")
    show.add_argument("id")
    revoke = actions.add_parser("revoke", help="withdraw keys for good")
    revoke.add_argument("id", nargs="+")
    add_settings(create, only=SETTINGS | {"jwt_issuer"})
    for action in (listing, show, revoke):
        add_settings(action, only=SETTINGS)
    for action in (create, listing):
        action.add_argument("--json", action="store_true", help="for programs")


def run(arguments: argparse.Namespace) -> int:
    """Do one thing; a running server follows within a second."""
    config = load_settings(arguments).config
    acts = {"create": _create, "list": _list, "show": _show, "revoke": _revoke}
    act = acts[arguments.action]

    arguments.issuer = config.jwt_issuer or ""  # as in our tokens: the same user
    arguments.access = config.access
    in_redis = is_shared(config)
    arguments.place = "the Redis of --store" if in_redis else str(credentials_path(config))

    async def with_store(store: CredentialStore) -> int:
        return await act(store, arguments)

    return with_credentials(config, with_store)


async def _create(store: CredentialStore, arguments: argparse.Namespace) -> int:
    ttl_s = None if arguments.expires == "never" else parse_duration(arguments.expires, "--expires")
    record, text = await issue_key(
        store,
        owner=arguments.owner,
        name=arguments.name,
        issuer=arguments.issuer,
        scopes=tuple(arguments.scope or (SCOPE_EXECUTE,)),
        ttl_s=ttl_s,
        addresses=tuple(arguments.address or ()),
        now=time.time(),
        access=AccessControl(arguments.access),
    )
    if arguments.json:
        print(_json({**record.shown(), "key": text}))
        return 0
    print(text)
    print(
        f"mcpd: key {record.id} of {record.subject}, expires {_expiry(record)}, in"
        f" {arguments.place}",
        file=sys.stderr,
    )
    print("mcpd: it is not shown again; clients send Authorization: Bearer KEY", file=sys.stderr)
    return 0


async def _list(store: CredentialStore, arguments: argparse.Namespace) -> int:
    keys = await store.list_keys()
    if arguments.json:
        for record in keys:
            print(_json(record.shown()))
        return 0
    print(COLUMNS.format("KEY", "OWNER", "NAME", "STATE", "EXPIRES", "LAST USED"))
    now = time.time()
    for record in keys:
        used = when(record.last_used, "never")
        shown = (record.subject[:20], record.name[:20], _state(record, now), _expiry(record), used)
        print(COLUMNS.format(record.id, *shown))
    return 0


async def _show(store: CredentialStore, arguments: argparse.Namespace) -> int:
    record = await store.find_key(arguments.id)
    if record is None:
        return _unknown(arguments.id)
    print(_json(record.shown(), indent=2))
    return 0


async def _revoke(store: CredentialStore, arguments: argparse.Namespace) -> int:
    codes = []
    for key_id in arguments.id:
        found = await store.revoke_key(key_id, time.time())
        if found:
            print(f"revoked {key_id}")
        codes.append(0 if found else _unknown(key_id))
    return max(codes)


def _state(record: KeyRecord, now: float) -> str:
    if record.revoked_at is not None:
        return "revoked"
    return "expired" if record.expires_at is not None and record.expires_at <= now else "valid"


def _expiry(record: KeyRecord) -> str:
    return when(record.expires_at, "never")


def _json(shown: dict[str, object], *, indent: int = 0) -> str:
    encoded = msgspec.json.encode(shown)
    return (msgspec.json.format(encoded, indent=indent) if indent else encoded).decode()


def _unknown(key_id: str) -> int:
    """A key's text may have been given in the place of its id: it is not repeated."""
    shown = key_id if len(key_id) <= 16 and key_id.isalnum() else "(not shown)"
    print(f"mcpd: there is no key {shown}; mcpd key list shows which are", file=sys.stderr)
    return 1
