"""mcpd config: what is set and where from, and an example that can be used as it is."""

import re
import tomllib

import pytest

from mcpd.cli import main
from mcpd.config import SETTINGS, Config, load


def test_what_is_set_is_told_with_where_it_comes_from(tmp_path, monkeypatch, capsys):
    file = tmp_path / "mcpd.toml"
    file.write_text('port = 8001\nhost = "::1"\n')
    monkeypatch.setenv("MCPD_PORT", "8002")
    assert main(["config", "--config", str(file), "--app", "a.py:b"]) == 0
    told = capsys.readouterr().out
    assert f'host = "::1"  # {file}\n' in told
    assert "port = 8002  # $MCPD_PORT\n" in told
    assert 'app = ["a.py:b"]  # flag\n' in told
    assert "workers" not in told
    assert set(tomllib.loads(told)) == {"host", "port", "app"}


def test_nothing_set_is_said_and_all_can_be_seen(capsys):
    assert main(["config"]) == 0
    assert "every setting has its default" in capsys.readouterr().err
    assert main(["config", "--all"]) == 0
    told = capsys.readouterr().out
    assert all(setting.name in told for setting in SETTINGS)
    tomllib.loads(told)


def test_each_setting_has_its_origin_and_no_secret_is_shown(capsys, monkeypatch):
    monkeypatch.setenv("JWT_SECRET_KEY", "s" * 40)
    monkeypatch.setenv("MCPD_PORT", "81")
    assert main(["config", "--all", "--host", "::1"]) == 0
    shown = capsys.readouterr().out
    assert "port = 81  # $MCPD_PORT" in shown
    assert 'host = "::1"  # flag' in shown
    assert 'log_level = "info"  # default' in shown
    assert "JWT_SECRET_KEY: set" in shown
    assert "sss" not in shown


@pytest.mark.parametrize(
    "store",
    [
        "redis://:geheim@h:1/0",
        "redis://me:geheim@h:1/0?db=1",
        "redis+sentinel://h:1/s?sentinel_password=geheim&db=0",
        "redis://h:1/0?password=geheim",
        "redis://me:ge:heim/geheim@geheim@h:1/0",
    ],
)
def test_no_password_is_shown(store, capsys):
    assert main(["config", "--store", store]) == 0
    told = capsys.readouterr().out
    assert "geheim" not in told
    assert "masked" in told
    assert "h:1/" in told


def test_the_example_names_every_setting_and_changes_nothing(tmp_path, capsys):
    assert main(["config", "--example"]) == 0
    text = capsys.readouterr().out
    assert all(re.search(rf"^# {setting.name} ", text, re.MULTILINE) for setting in SETTINGS)
    file = tmp_path / "mcpd.toml"
    file.write_text(text)
    assert load(flags={}, environ={}, file=file).origins == {}
    text = text.partition("# Who may do what")[0]
    names = "|".join(setting.name for setting in SETTINGS)
    file.write_text(re.sub(rf"^# ((?:{names}) = )", r"\1", text, flags=re.MULTILINE))
    assert load(flags={}, environ={}, file=file).config == Config()


def test_who_may_do_what_is_printed_as_it_can_be_read_again(tmp_path, capsys):
    file = tmp_path / "mcpd.toml"
    file.write_text(
        'port = 1\n[roles.r]\ntools = ["get_*", "!get_secret"]\n'
        '[roles.r.limits]\ncalls_per_day = 5\n[roles.r.limits.tools."a*"]\ncalls_per_minute = 2\n'
        '[users]\n"*" = ["r"]\n"eve@x.org" = []\n[scopes]\n"a:w" = ["a:r"]\n'
        "[limits]\ncalls_at_once = 3\n"
    )
    assert main(["config", "--config", str(file)]) == 0
    told = capsys.readouterr().out
    again = tmp_path / "again.toml"
    again.write_text(told)
    first, second = (load(flags={}, environ={}, file=path).config for path in (file, again))
    assert first == second
    assert first.access.roles["r"].limits.tools["a*"].calls_per_minute == 2


def test_the_tables_of_the_example_are_valid(capsys, tmp_path):
    assert main(["config", "--example"]) == 0
    _, _, tables = capsys.readouterr().out.partition("# Who may do what")
    lines = [line.removeprefix("# ") for line in tables.splitlines() if line.startswith("# ")]
    file = tmp_path / "mcpd.toml"
    file.write_text("\n".join(line for line in lines if line[0] in '["' or " = " in line))
    config = load(flags={}, environ={}, file=file).config
    assert config.access.roles["reader"].scopes == ("files:read",)
    assert config.access.limits.calls_per_day == 10000
