"""mcpd serve --check: whether it could start, and everything that keeps it from that at once."""

import pytest

from mcpd.cli import main
from mcpd.server.exit_codes import EXIT_CONFIG
from tests.end_to_end.daemon import Daemon, free_port

APP = """
from mcpd import App
app = App("checked")

@app.tool
def get_it() -> str:
    return "it"
"""


@pytest.fixture
def app(tmp_path):
    (tmp_path / "checked.py").write_text(APP)
    return f"{tmp_path}/checked.py:app"


def check(capsys, *words: str) -> tuple[int, list[list[str]]]:
    code = main(["serve", "--check", *words])
    lines = capsys.readouterr().out.splitlines()
    return code, [line.split(maxsplit=2) for line in lines]


def test_what_could_start_is_told_and_nothing_is_made(tmp_path, capsys, app):
    state = tmp_path / "s"
    code, told = check(capsys, "--state-dir", str(state), "--app", app, "--port", "0")
    assert code == 0
    assert [line[0] for line in told] == ["ok"] * len(told)
    assert ["ok", "apps", "checked: 1 tools, 0 resources, 0 prompts"] in told
    assert not state.exists()


def test_everything_that_is_wrong_is_told_at_once(tmp_path, capsys):
    code, told = check(
        capsys, "--state-dir", str(tmp_path), "--app", f"{tmp_path}/no.py:app",
        "--jwt-secret-file", f"{tmp_path}/none", "--metrics", "nowhere", "--workers", "2",
        "--tls-certificate", f"{tmp_path}/c", "--tls-key", f"{tmp_path}/k", "--port", "0",
        "--call-log-file", f"{tmp_path}/nowhere/calls",
    )  # fmt: skip
    assert code == EXIT_CONFIG
    bad = {line[1] for line in told if line[0] == "FAIL"}
    assert bad == {"settings", "secret", "apps", "certificate", "records", "metrics"}


def test_a_pattern_of_a_role_that_names_nothing_is_noted(tmp_path, capsys, app):
    config = tmp_path / "mcpd.toml"
    config.write_text('[roles.r]\ntools = ["get_*", "put_*", "!gone"]\n')
    code, told = check(
        capsys, "--state-dir", str(tmp_path), "--app", app, "--config", str(config), "--port", "0"
    )
    assert code == 0
    notes = [line[2] for line in told if line[0] == "note"]
    assert [note.split()[0] for note in notes] == ["put_*", "!gone"]


@pytest.mark.slow
def test_beside_the_server_that_would_be_restarted_it_is_content(tmp_path, capsys):
    port = str(free_port())
    with Daemon(tmp_path / "s", "--port", port) as daemon:
        daemon.wait_for("listening on")
        code, told = check(capsys, "--state-dir", str(tmp_path / "s"), "--port", port)
        assert code == 0
        assert ["ok", "store", "sqlite, ok"] in told
        assert told[-1][:2] == ["note", "address"]
