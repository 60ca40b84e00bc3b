"""Roles, and who has which, as the configuration file says it. Pure."""

import difflib
from collections.abc import Iterable, Mapping

import msgspec

from mcpd.access.scopes import SCOPE_EXECUTE, is_scope
from mcpd.errors import ConfigError
from mcpd.limits.rules import NO_LIMITS, LimitRules
from mcpd.patterns import fits

ALL_OTHERS = "*"  # in the table of users: all that have no line of their own
EVERYTHING = ("*",)
MAX_ROLES = 1000
MAX_NAMES = 100_000  # of users and keys with roles


class Role(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A named set of rights.

    Attributes:
        scopes: that its holders may be given; ``execute:mcp`` is one of them always. ``*`` stands
            for any text.
        tools, resources, prompts: names that its holders may use, with ``*`` for any text; one
            that begins with ``!`` takes away what the others give.
        limits: of its holders; what they say counts before those of all users.
    """

    scopes: tuple[str, ...] = (SCOPE_EXECUTE,)
    tools: tuple[str, ...] = EVERYTHING
    resources: tuple[str, ...] = EVERYTHING
    prompts: tuple[str, ...] = EVERYTHING
    limits: LimitRules = NO_LIMITS

    def permits(self, kind: str, name: str) -> bool:
        """Whether it has a tool, resource or prompt (``kind``, in the plural) of that name."""
        return matches(name, getattr(self, kind))


class AccessRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The tables of the configuration file that say who may do what.

    Attributes:
        roles: by name; without any, every user may do what the credential's scopes allow.
        users: from a subject to names of roles.
        keys: from the id of an API key to names of roles; such a key has what both its owner and
            these roles have.
        scopes: from a scope to those that it contains.
        limits: of each user.
    """

    roles: dict[str, Role] = {}
    users: dict[str, tuple[str, ...]] = {}
    keys: dict[str, tuple[str, ...]] = {}
    scopes: dict[str, tuple[str, ...]] = {}
    limits: LimitRules = NO_LIMITS


NO_RULES = AccessRules()
TABLES = AccessRules.__struct_fields__


def read_rules(tables: Mapping[str, object], origin: str) -> AccessRules:
    """The rules of these tables.

    Args:
        origin: where they are from, in words.

    Raises:
        ConfigError: something in them has the wrong shape, or names a role that is not there.
    """
    try:
        rules = msgspec.convert(tables, AccessRules)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{_where(tables, error)} (in {origin}).", fix=_SHAPE) from None
    if len(rules.roles) > MAX_ROLES or len(rules.users) + len(rules.keys) > MAX_NAMES:
        raise ConfigError(f"There are more than {MAX_ROLES} roles or {MAX_NAMES} users and keys.")
    for table in (rules.users, rules.keys):
        for holder, names in table.items():
            _check_roles(holder, names, rules.roles, origin)
    _check_limits("limits", rules.limits, origin)
    for name, role in rules.roles.items():
        _check_limits(f"roles.{name}.limits", role.limits, origin)
        _check_scopes(f"roles.{name}.scopes", role.scopes, origin)
    for name, inner in rules.scopes.items():
        _check_scopes("scopes", (name, *inner), origin)
    return rules


_SHAPE = (
    "Settings stand above all tables. A role has scopes, tools, resources, prompts (lists of texts)"
    f" and limits; limits are {', '.join(LimitRules.__struct_fields__)}."
)


def _where(tables: Mapping[str, object], error: msgspec.ValidationError) -> str:
    """What is wrong, with the name of the role, user or tool where it is."""
    words, _, place = str(error).partition(" - at `$.")
    table = place.partition("[")[0].partition(".")[0].rstrip("`")
    kinds = {"roles": Role, "users": tuple[str, ...], "keys": tuple[str, ...]}
    entries = tables.get(table)
    if table in kinds and isinstance(entries, Mapping):
        for name, value in entries.items():
            try:
                msgspec.convert(value, kinds[table])
            except msgspec.ValidationError as inner:
                inside, _, rest = str(inner).partition(" - at `$")
                return f"{table}.{name}{rest.rstrip('`')}: {inside}"
    return f"{place.rstrip('`')}: {words}" if place else words


def _check_roles(holder: str, names: Iterable[str], known: Mapping[str, Role], origin: str) -> None:
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise ConfigError(
                f"{holder[:64]} has the role {name[:64]}, which is not there (in {origin}).",
                fix=f"Did you mean {near[0]}?" if near else "Add it: [roles.NAME].",
            )


def _check_limits(where: str, limits: LimitRules, origin: str) -> None:
    if wrong := limits.wrong():
        raise ConfigError(f"{where}.{wrong} (in {origin}) must be above zero, and not huge.")


def _check_scopes(where: str, scopes: Iterable[str], origin: str) -> None:
    for scope in scopes:
        if not is_scope(scope):
            raise ConfigError(f"{where} (in {origin}) has what is no scope.", received=scope[:64])


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether some pattern fits, and none with ``!`` does."""
    found = False
    for pattern in patterns:
        if pattern.startswith("!"):
            if fits(name, pattern[1:]):
                return False
        else:
            found = found or fits(name, pattern)
    return found
