"""mcpd client-config CLIENT: what a client needs to connect; --write merges it into its file."""

import argparse
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcpd.access.scopes import SCOPE_EXECUTE
from mcpd.auth.client_token import VARIABLE
from mcpd.cli.settings import add_settings, load_settings
from mcpd.cli.signing import add_new_secret, signing_secret
from mcpd.cli.token import sign
from mcpd.config import Config
from mcpd.errors import ConfigError
from mcpd.files import PRIVATE
from mcpd.start_failures import start_failure

_SETTINGS = frozenset(
    {
        "state_dir",
        "jwt_secret_file",
        "jwt_issuer",
        "jwt_audience",
        "host",
        "port",
        "public_url",
        "tls_certificate",
        "tls_key",
    }
)
_PLACEHOLDER = "YOUR_JWT_TOKEN_HERE"


@dataclass(frozen=True, slots=True)
class Client:
    """Where a client keeps its servers, and in what shape."""

    file: Callable[[], Path]
    member: str
    entry: Callable[[str, str], dict[str, Any]]


def _http_entry(url: str, token: str) -> dict[str, Any]:
    headers = {
        "Accept": "application/json, text/event-stream",
        "Authorization": f"Bearer {token}",
    }
    return {"type": "http", "url": url, "headers": headers}


def _cursor_entry(url: str, token: str) -> dict[str, Any]:
    return {"url": url, "headers": {"Authorization": f"Bearer {token}"}}


def _desktop_entry(url: str, token: str) -> dict[str, Any]:
    """Claude Desktop's file starts children only, so the bridge carries the messages. The token
    is in the environment, where process lists do not show it.
    """
    program, *arguments = _me_anywhere()
    return {
        "command": program,
        "args": [*arguments, "bridge", url],
        "env": {VARIABLE: token},
    }


def _me_anywhere() -> list[str]:
    """This program for a client with another PATH, as desktop applications have."""
    found = shutil.which("mcpd")
    beside = Path(sys.executable).with_name("mcpd")
    if beside.exists():
        return [str(beside)]
    return [found] if found else [sys.executable, "-m", "mcpd"]


def _desktop_file() -> Path:
    if platform.system() == "Darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return base / "Claude" / "claude_desktop_config.json"


CLIENTS = {
    "claude-desktop": Client(_desktop_file, "mcpServers", _desktop_entry),
    "claude-code": Client(lambda: Path(".mcp.json"), "mcpServers", _http_entry),
    "cursor": Client(lambda: Path.home() / ".cursor" / "mcp.json", "mcpServers", _cursor_entry),
    "vscode": Client(lambda: Path(".vscode") / "mcp.json", "servers", _http_entry),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the verb."""
    parser.add_argument("client", choices=sorted(CLIENTS))
    parser.add_argument("--url", help="the MCP endpoint (default: from --host and --port)")
    parser.add_argument("--name", default="mcpd", help="what the client calls the server")
    parser.add_argument("--write", action="store_true", help="merge it into the client's file")
    parser.add_argument("--file", type=Path, help="the client's file, if it is not the usual one")
    parser.add_argument("--sub", default=None, help="a token for this user (with --write: $USER)")
    parser.add_argument("--ttl", default="30d", help="of that token (default: 30d)")
    add_new_secret(parser)
    add_settings(parser, only=_SETTINGS)


def run(arguments: argparse.Namespace) -> int:
    """Print the snippet, or write it and say where."""
    client = CLIENTS[arguments.client]
    config = load_settings(arguments).config
    url = arguments.url or _default_url(config)
    if not url.startswith(("http://", "https://")) or ":0/" in url:
        raise ConfigError(
            "The client needs the server's URL.",
            received=url,
            fix="Give --url http://HOST:PORT/mcp/",
        )
    token, subject = _PLACEHOLDER, arguments.sub or _user()
    if arguments.write or arguments.sub:
        source = signing_secret(config, os.environ, new_secret=arguments.new_secret)
        scopes, ttl = (SCOPE_EXECUTE,), arguments.ttl
        token = sign(config, source, subject, scopes, token_type="api_token", ttl=ttl)
    entry = client.entry(url, token)
    if not arguments.write:
        print(json.dumps({client.member: {arguments.name: entry}}, indent=2))
        print(f"It belongs into {client.file()}; --write merges it there.", file=sys.stderr)
        if token == _PLACEHOLDER:
            print("--sub NAME puts a token for NAME into it.", file=sys.stderr)
        return 0
    path = arguments.file or client.file()
    backup = merge(path, client.member, arguments.name, entry)
    told = f"wrote {arguments.name} to {path}, with a token for {subject} ({arguments.ttl})"
    print(told + (f"; the old file is {backup}" if backup else ""))
    return 0


def _default_url(config: Config) -> str:
    if config.public_url:
        return f"{config.public_url.rstrip('/')}/mcp/"
    scheme = "https" if config.tls_certificate else "http"
    host = "localhost" if config.host == "127.0.0.1" else config.host
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{config.port}/mcp/"


def merge(path: Path, member: str, name: str, entry: dict[str, Any]) -> Path | None:
    """Put one entry into a JSON file and keep the rest; returns the backup, if there was a file.

    The file is replaced whole and readable by its owner alone, since it holds a token.

    Raises:
        ConfigError: what is there cannot be merged with; nothing was changed.
    """
    path = path.resolve()  # a link stays a link
    content = _read(path)
    servers = content.setdefault(member, {})
    if not isinstance(servers, dict):
        raise ConfigError(f"{member} in {path} is no object.", fix="Fix the file first.")
    servers[name] = entry
    backup = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            backup = path.with_name(f"{path.name}.{time.time_ns()}.bak")
            _copy(path, backup)
        fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        fresh.replace(path)
    except OSError as error:
        raise start_failure(error, f"{path} cannot be written: {error.strerror}.") from error
    return backup


def _copy(path: Path, backup: Path) -> None:
    """It holds tokens: never readable by others, not even for a moment."""
    descriptor = os.open(backup, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    with path.open("rb") as old, os.fdopen(descriptor, "wb") as new:
        shutil.copyfileobj(old, new)


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        content = json.loads(text) if text.strip() else {}
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} cannot be read as JSON: {error}.",
            fix="Fix the file, or print the snippet without --write and paste it.",
        ) from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds no JSON object.", fix="Fix the file first.")
    return content


def _user() -> str:
    return os.environ.get("USER") or "me"
