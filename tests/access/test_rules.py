"""Scopes, roles, and what follows from them."""

from dataclasses import dataclass

import pytest

from mcpd.access.rules import AccessRules, Role, matches, read_rules
from mcpd.access.scopes import Containment
from mcpd.auth.access_control import AccessControl
from mcpd.auth.principals import Principal
from mcpd.config import Config, load
from mcpd.errors import ConfigError


@dataclass(frozen=True)
class Part:
    name: str
    scopes: tuple[str, ...] = ()


def test_broader_scopes_contain_narrower_ones_through_any_number_of_steps():
    table = {"files": ("files:write",), "files:write": ("files:read", "files"), "all": ("x:*",)}
    scopes = Containment(table).expand(["files", "all"])
    wanted = ["files:read", "files:write", "x:1", "y:1"]
    assert [scope for scope in wanted if scope not in scopes] == ["y:1"]
    assert "execute:mcp" in Containment({}).expand(["admin:mcp"])
    assert "execute:mcp" in Containment({"admin:mcp": ("a",)}).expand(["admin:mcp"])


def test_an_asterisk_in_a_credential_is_an_asterisk():
    scopes = Containment({"a": ("b",)}).expand(["*", "files:*"])
    assert "files:read" not in scopes
    assert "admin:mcp" not in scopes


@pytest.mark.parametrize(
    ("name", "patterns", "fits"),
    [
        ("get_x", ("get_*",), True),
        ("set_x", ("get_*",), False),
        ("get_x", ("*", "!get_*"), False),
        ("get_x", ("!get_*", "*"), False),
        ("set_x", ("*", "!get_*"), True),
        ("x", (), False),
        ("x", ("!y",), False),
        ("Get_x", ("get_*",), False),
        ("report[2024]", ("*", "!report[2024]"), False),
        ("a?b", ("a?b",), True),
        ("axb", ("a?b",), False),
        ("a\nb", ("a*",), True),
    ],
)
def test_names_are_matched(name, patterns, fits):
    assert matches(name, patterns) is fits


RULES = AccessRules(
    roles={
        "reader": Role(tools=("get_*",), scopes=("files:read",)),
        "writer": Role(tools=("get_*", "set_*"), scopes=("files:*",)),
        "boss": Role(scopes=("admin:mcp",)),
    },
    users={"alice": ("reader",), "bob": ("reader", "writer"), "carol": (), "dora": ("boss",)},
    keys={"k1": ("reader",)},
    scopes={"files:write": ("files:read",)},
)


def rights(subject, *scopes, key=""):
    kind = "api_key" if key else "access"
    principal = Principal(subject, "", frozenset(scopes), kind, key)
    granted = AccessControl(RULES).grant(principal)
    return granted.scopes, granted.rights


def test_a_role_shows_what_it_permits_and_what_its_scopes_could_reach():
    _, reader = rights("alice", "execute:mcp")
    assert reader.shows("tools", Part("get_a"))
    assert not reader.shows("tools", Part("set_a"))
    assert reader.shows("tools", Part("get_a", ("files:read",)))
    assert not reader.shows("tools", Part("get_a", ("files:write",)))
    assert reader.shows("prompts", Part("any"))
    _, both = rights("bob", "execute:mcp")
    assert both.shows("tools", Part("set_a", ("files:write",)))


def test_what_could_be_granted_is_missing_until_the_credential_has_it():
    scopes, narrow = rights("bob", "execute:mcp", "files:read")
    assert scopes == {"execute:mcp", "files:read"}
    assert narrow.missing(("files:write", "files:read", "files:x")) == ("files:write", "files:x")
    _, wide = rights("bob", "execute:mcp", "files:write")
    assert wide.missing(("files:read", "files:write")) == ()


def test_a_credential_has_no_more_than_its_users_roles():
    scopes, _ = rights("alice", "execute:mcp", "files:write", "admin:mcp")
    assert scopes == {"execute:mcp", "files:read"}
    assert rights("dora", "admin:mcp")[0] == {"admin:mcp", "execute:mcp"}
    assert rights("carol", "execute:mcp", "admin:mcp")[0] == frozenset()
    assert rights("eve", "execute:mcp")[0] == frozenset()


def test_a_key_with_roles_has_what_both_it_and_its_owner_have():
    scopes, shared = rights("bob", "execute:mcp", "files:write", key="k1")
    assert scopes == {"execute:mcp", "files:read"}
    assert not shared.shows("tools", Part("set_a"))
    _, other = rights("bob", "execute:mcp", key="k2")
    assert other.shows("tools", Part("set_a"))
    _, token = rights("bob", "execute:mcp")
    assert token.shows("tools", Part("set_a"))


def test_all_other_users_have_the_roles_of_the_asterisk():
    access = AccessControl(AccessRules(roles={"r": Role()}, users={"*": ("r",), "bad": ()}))
    one, other = (access.grant(Principal(name, "", frozenset({"execute:mcp"}))) for name in "ab")
    assert one.rights.view is other.rights.view is not None
    assert access.grant(Principal("bad", "", frozenset({"execute:mcp"}))).scopes == frozenset()


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"users": {"a": ["raeder"]}, "roles": {"reader": {}}}, "Did you mean reader?"),
        ({"roles": {"r": {"tool": ["x"]}}}, "roles"),
        ({"roles": {"r": {"tools": "x"}}}, "roles"),
        ({"roles": {"r": {"scopes": ["a b"]}}}, "no scope"),
        ({"scopes": {"a": [""]}}, "no scope"),
        ({"users": {"a": "reader"}}, "users"),
    ],
)
def test_rules_that_make_no_sense_are_refused(tables, words):
    with pytest.raises(ConfigError) as caught:
        read_rules(tables, "mcpd.toml")
    assert words in f"{caught.value.message} {caught.value.fix}"
    assert "mcpd.toml" in caught.value.message


def test_the_tables_are_read_from_the_file_beside_the_settings(tmp_path):
    file = tmp_path / "mcpd.toml"
    file.write_text('port = 1\n[roles.r]\ntools = ["a"]\n[users]\n"*" = ["r"]\n')
    config = load(flags={}, environ={}, file=file).config
    assert config.access == AccessRules(roles={"r": Role(tools=("a",))}, users={"*": ("r",)})
    assert Config().access == AccessRules()
    file.write_text("[role.r]\n")
    with pytest.raises(ConfigError) as caught:
        load(flags={}, environ={}, file=file)
    assert caught.value.fix == "Did you mean roles?"
