"""Verbs, in this process."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mcpd.auth.secrets import create_secret_file, read_secret_file
from mcpd.cli import main, signing
from mcpd.cli.token import parse_duration
from mcpd.errors import EXIT_CONFIG, ConfigError


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    for name in ("JWT_SECRET_KEY", "STATE_DIRECTORY", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


def run(*argv: str) -> int:
    return main(list(argv))


def test_a_token_is_all_that_is_printed_and_can_be_inspected(capsys, monkeypatch):
    flags = ("--ttl", "15m", "--scope", "a", "--new-secret")
    assert run("token", "create", "--sub", "alice", *flags) == 0
    token = capsys.readouterr().out
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+\n", token)
    monkeypatch.setattr(sys, "stdin", io.StringIO(token))
    assert run("token", "inspect") == 1  # it lacks execute:mcp
    shown = capsys.readouterr()
    claims = json.loads(shown.out)["claims"]
    assert (claims["sub"], claims["scopes"], claims["exp"] - claims["iat"]) == ("alice", ["a"], 900)
    assert "lacks the scope" in shown.err
    assert token.strip() not in shown.out + shown.err


def test_the_secret_is_chosen_in_order(capsys, monkeypatch, tmp_path):
    file = tmp_path / "secrets"
    file.write_text("f" * 40)
    monkeypatch.setenv("JWT_SECRET_KEY", "e" * 40)
    run("token", "create", "--sub", "x", "--jwt-secret-file", str(file))
    by_file = capsys.readouterr().out
    for flags, valid in ((("--jwt-secret-file", str(file)), 0), ((), 1)):
        monkeypatch.setattr(sys, "stdin", io.StringIO(by_file))
        assert run("token", "inspect", *flags) == valid
    monkeypatch.setenv("JWT_SECRET_KEY", "too short")
    assert run("token", "create", "--sub", "x") == EXIT_CONFIG
    assert "at least 32" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("2h", 7200), ("7", 7)])
def test_durations_are_read_as_seconds(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-1h", "1w", "h", "99999d"])
def test_durations_that_are_none(text):
    with pytest.raises(ConfigError):
        parse_duration(text)


@pytest.mark.parametrize("client", ["claude-desktop", "claude-code", "cursor", "vscode"])
def test_client_config_prints_json_without_a_secret(capsys, client):
    assert run("client-config", client) == 0
    shown = json.loads(capsys.readouterr().out)
    (servers,) = shown.values()
    assert "YOUR_JWT_TOKEN_HERE" in json.dumps(servers["mcpd"])
    assert "http://localhost:8000/mcp/" in json.dumps(servers["mcpd"])


def test_client_config_merges_and_keeps_a_backup(capsys, tmp_path):
    file = tmp_path / "deep" / "mcp.json"
    flags = ("--write", "--file", str(file), "--sub", "me")
    assert run("client-config", "claude-code", *flags) == EXIT_CONFIG  # with no secret to sign
    assert "--new-secret" in capsys.readouterr().err
    assert run("client-config", "claude-code", *flags, "--new-secret") == 0
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text(json.dumps({"other": 1, "mcpServers": {"a": {"url": "x"}}}))
    assert run("client-config", "claude-code", "--write", "--file", str(file)) == 0
    merged = json.loads(file.read_text())
    assert merged["other"] == 1
    assert set(merged["mcpServers"]) == {"a", "mcpd"}
    assert merged["mcpServers"]["mcpd"]["headers"]["Authorization"].startswith("Bearer ey")
    backups = list(file.parent.glob("*.bak"))
    assert len(backups) == 1
    assert "mcpd" not in backups[0].read_text()
    assert "Bearer" not in capsys.readouterr().out


@pytest.mark.parametrize("text", ["{", "[]", '{"mcpServers": 3}'])
def test_client_config_leaves_alone_what_it_cannot_merge(capsys, tmp_path, text):
    file = tmp_path / "mcp.json"
    file.write_text(text)
    assert run("client-config", "cursor", "--write", "--file", str(file)) == EXIT_CONFIG
    assert file.read_text() == text


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["serve", "--store", "redsi"], "no such store"),
        (["serve", "--app", "nope.py:app"], "no file nope.py"),
        (["serve", "--app", "nope:app"], "no module nope"),
        (["serve", "--app", "nope"], "names no object"),
        (["serve", "--app", "mcpd.toolkits.tasks:ap"], "Did you mean mcpd.toolkits.tasks:app?"),
        (["serve", "--auth", "none", "--host", "0.0.0.0"], "only possible on loopback"),
        (["serve", "--jwt-secret-file", "nope"], "cannot be read"),
    ],
)
def test_a_wrong_setting_is_an_error_in_plain_words(capsys, argv, words):
    assert run(*argv, "--port", "0") == EXIT_CONFIG
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error


def test_version_and_help(capsys):
    assert run("version") == 0
    assert capsys.readouterr().out.startswith("mcpd 0.")
    with pytest.raises(SystemExit) as caught:
        run("serve", "--help")
    assert caught.value.code == 0
    assert "--max-body-bytes" in capsys.readouterr().out


@pytest.mark.slow
def test_python_dash_m_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "mcpd", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("mcpd ")
    assert Path(sys.executable).exists()


def test_no_secret_is_made_but_where_that_was_asked_for(capsys, tmp_path):
    create = ("token", "create", "--sub", "me", "--state-dir", "typo")
    assert run(*create) == EXIT_CONFIG
    assert "There is no secret in typo yet" in capsys.readouterr().err
    assert not (tmp_path / "typo").exists()
    assert run(*create, "--new-secret") == 0
    assert "made just now" in capsys.readouterr().err
    assert run(*create) == 0
    kid = read_secret_file(tmp_path / "typo" / "jwt-secret").secrets[0].kid
    told = f"mcpd: signed with key {kid} of {Path('typo') / 'jwt-secret'}\n"
    assert capsys.readouterr().err == told


@pytest.fixture
def service(monkeypatch, tmp_path):
    """A machine on which mcpd runs as a service of the system."""
    unit, state = tmp_path / "mcpd.service", tmp_path / "var-lib-mcpd"
    unit.touch()
    state.mkdir()
    monkeypatch.setattr(signing, "UNITS", (unit,))
    monkeypatch.setattr(signing, "SERVICE_STATE", state)
    monkeypatch.setattr(signing, "SERVICE_CREDENTIAL", tmp_path / "credstore")
    return state


def test_a_token_that_the_service_would_not_take_is_not_made(capsys, monkeypatch, service):
    """Root's own state directory is not the service's."""
    assert run("token", "create", "--sub", "me", "--state-dir", "mine", "--new-secret") == 0
    monkeypatch.setattr("os.geteuid", lambda: 0)
    capsys.readouterr()
    assert run("token", "create", "--sub", "me", "--new-secret") == EXIT_CONFIG
    shown = capsys.readouterr()
    assert shown.out == ""
    assert f"For the service give --state-dir {service};" in shown.err
    signing.SERVICE_CREDENTIAL.write_text("x" * 40)
    assert run("token", "create", "--sub", "me") == EXIT_CONFIG
    assert f"give --jwt-secret-file {signing.SERVICE_CREDENTIAL};" in capsys.readouterr().err
    flags = ("--jwt-secret-file", str(signing.SERVICE_CREDENTIAL))
    assert run("token", "create", "--sub", "me", *flags) == 0


def test_a_user_with_a_server_of_their_own_beside_the_service_is_left_alone(
    capsys, monkeypatch, service, tmp_path
):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert run("token", "create", "--sub", "me") == EXIT_CONFIG
    assert "(with sudo)" in capsys.readouterr().err
    create_secret_file(tmp_path / "state" / "mcpd" / "jwt-secret")
    assert run("token", "create", "--sub", "me") == 0
    assert str(tmp_path / "state") in capsys.readouterr().err


@pytest.mark.parametrize(("text", "told"), [("", "No token came"), ("x", "not a JSON Web Token")])
def test_what_is_no_token_is_told_with_the_way_to_give_one(capsys, monkeypatch, text, told):
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    assert run("token", "inspect") == EXIT_CONFIG
    shown = capsys.readouterr().err
    assert told in shown
    assert "mcpd token inspect < FILE" in shown


@pytest.mark.parametrize(
    ("flag", "meant"),
    [("--prot", "--port"), ("--prot=3", "--port"), ("--no-handshaek", "--no-handshake")],
)
def test_a_flag_that_is_none_gets_the_one_that_was_meant(capsys, flag, meant):
    with pytest.raises(SystemExit) as ended:
        run("serve", flag)
    assert ended.value.code == 2
    named = flag.partition("=")[0]
    assert f"{named} means nothing here; did you mean {meant}?" in capsys.readouterr().err


def test_a_token_among_the_words_of_a_command_is_not_repeated(capsys):
    with pytest.raises(SystemExit) as ended:
        run("token", "inspect", "aaa.bbb.ccc")
    assert ended.value.code == 2
    shown = capsys.readouterr().err
    assert "aaa" not in shown
    assert "standard input" in shown


LIFESPAN = """
from contextlib import asynccontextmanager
from mcpd import App, state_dir

@asynccontextmanager
async def lifespan(app):
    (state_dir() / "notes.txt").write_text("there")
    (state_dir() / "nothing" / "here").read_text()
    yield

app = App("notes", lifespan=lifespan)
"""


def test_a_lifespan_finds_its_folder_and_its_author_the_line(tmp_path):
    """From the child of a client, where nothing else has made the folder."""
    (tmp_path / "notes.py").write_text(LIFESPAN)
    done = subprocess.run(
        [sys.executable, "-m", "mcpd", "serve", "--stdio", "--app", "notes.py:app",
         "--state-dir", "fresh"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert (tmp_path / "fresh" / "notes.txt").read_text() == "there"
    assert done.returncode == EXIT_CONFIG
    assert re.search(r"Fix \S*notes\.py, line 8\.", done.stderr)


def test_a_certificate_that_cannot_be_read_is_told_before_a_lifespan_begins(tmp_path):
    (tmp_path / "notes.py").write_text(LIFESPAN)
    (tmp_path / "cert.pem").write_text("no certificate")
    done = subprocess.run(
        [sys.executable, "-m", "mcpd", "serve", "--port", "0", "--app", "notes.py:app",
         "--state-dir", "fresh", "--tls-certificate", "cert.pem", "--tls-key", "cert.pem"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == EXIT_CONFIG
    assert "cert.pem" in done.stderr
    assert not (tmp_path / "fresh" / "notes.txt").exists()
