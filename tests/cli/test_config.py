"""Settings from four sources."""

from pathlib import Path

import pytest

from mcpd.config import Config, default_state_dir, load
from mcpd.errors import ConfigError


def effective(flags=None, environ=None, file=None) -> Config:
    return load(flags=flags or {}, environ=environ or {}, file=file).config


@pytest.fixture
def toml(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "mcpd.toml"
        path.write_text(text)
        return path

    return write


def test_each_source_beats_the_one_before(toml):
    file = toml('port = 1\nhost = "::1"\nlog_level = "debug"\nallow_host = ["a", "b"]')
    loaded = load(
        flags={"port": 3},
        environ={"MCPD_PORT": "2", "MCPD_LOG_LEVEL": "error", "PATH": "x"},
        file=file,
    )
    config = loaded.config
    assert (config.port, config.log_level, config.host) == (3, "error", "::1")
    assert config.allow_host == ("a", "b")
    assert loaded.origins["port"] == "flag"
    assert loaded.origins["log_level"] == "$MCPD_LOG_LEVEL"
    assert loaded.origins["host"] == str(file)
    assert "store" not in loaded.origins


def test_the_file_can_be_named_by_the_environment(toml):
    assert effective(environ={"MCPD_CONFIG": str(toml("port = 9"))}).port == 9


@pytest.mark.parametrize(
    ("flags", "environ", "text", "words"),
    [
        ({}, {"MCPD_PROT": "1"}, "", "Did you mean MCPD_PORT?"),
        ({}, {"MCPD_BOGUS": "1"}, "", "--help lists them all"),
        ({}, {}, "prot = 1", "Did you mean port?"),
        ({}, {"MCPD_PORT": "x"}, "", "whole number"),
        ({}, {"MCPD_PORT": "-1"}, "", "not negative"),
        ({}, {"MCPD_PORT": "70000"}, "", "at most 65535"),
        ({}, {"MCPD_IDLE_TIMEOUT_S": "nan"}, "", "not negative"),
        ({}, {}, "port = 8000.9", "whole number"),
        ({}, {}, "port = true", "whole number"),
        ({}, {}, 'log_level = "loud"', "one of debug"),
        ({}, {"MCPD_PRODUCTION": "maybe"}, "", "true or false"),
        ({}, {}, "port = ", "not TOML"),
        ({"auth": "none", "host": "0.0.0.0"}, {}, "", "only possible on loopback"),
        ({"tls_key": "x"}, {}, "", "come together"),
        ({"public_url": "mcp.example.org"}, {}, "", "http or https"),
        ({"session_timeout_s": 0}, {}, "", "above zero"),
    ],
)
def test_what_is_wrong_is_said_with_its_source(toml, flags, environ, text, words):
    with pytest.raises(ConfigError) as caught:
        effective(flags, environ, toml(text))
    assert words in f"{caught.value.message} {caught.value.fix}"


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ConfigError):
        effective(file=tmp_path / "nope.toml")


def test_texts_of_the_environment_are_converted():
    environ = {
        "MCPD_ALLOW_ORIGIN": "http://a http://b",
        "MCPD_PRODUCTION": "yes",
        "MCPD_HEAD_TIMEOUT_S": "1.5",
        "MCPD_STATE_DIR": "~/x",
    }
    config = effective(environ=environ)
    assert config.allow_origin == ("http://a", "http://b")
    assert config.production is True
    assert config.head_timeout_s == 1.5
    assert config.state_dir == Path.home() / "x"
    assert config.bounds().head_timeout_s == 1.5


def test_where_state_is_kept():
    assert default_state_dir({"STATE_DIRECTORY": "/a:/b"}) == Path("/a")
    assert default_state_dir({"XDG_STATE_HOME": "/x"}) == Path("/x/mcpd")
    assert default_state_dir({}) == Path.home() / ".local/state/mcpd"
