"""mcpd doctor: what the known clients would meet at a server."""

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import trio

from mcpd.auth.client_token import VARIABLE, ClientToken
from mcpd.cli.settings import DEFAULT_URL
from mcpd.client.http_transport import HIDDEN
from mcpd.doctor.facts import HANDSHAKE, MODERN, Facts
from mcpd.doctor.finding import ALL, CLAUDE, Finding
from mcpd.doctor.findings import find
from mcpd.doctor.probes import Doctor
from mcpd.errors import EXIT_FAILURE
from mcpd.http.client import HttpClient
from mcpd.http.origin import resolve_origin
from mcpd.mcp.envelope.params import META_SERVER_INFO


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the verb."""
    parser.add_argument(
        "url", nargs="?", default=DEFAULT_URL, metavar="URL", help=f"(default: {DEFAULT_URL})"
    )
    parser.add_argument("--unix", type=Path, metavar="PATH", help="connect to a Unix socket")
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help=f"a token (default: ${VARIABLE})"
    )
    parser.add_argument("--ca-file", type=Path, metavar="FILE", help="certificates to trust")


def run(arguments: argparse.Namespace) -> int:
    """0 if every client will work that can be where this was run, if need be after a login."""
    token = ClientToken(arguments.token_file, os.environ).token
    resolve = partial(resolve_origin, ca_file=arguments.ca_file, environ=os.environ)
    origin, target = resolve(arguments.url, unix=arguments.unix)
    url = arguments.url.partition("#")[0].partition("?")[0]
    doctor = partial(Doctor, url=url, target=target, token=token, resolve=resolve)
    facts = trio.run(_ask, HttpClient(origin), doctor)
    findings = find(facts, time.time(), token)
    print(shown(as_text(facts, findings), token), end="")
    return EXIT_FAILURE if any(set(finding.fails) - {CLAUDE} for finding in findings) else 0


async def _ask(client: HttpClient, doctor: Callable[[HttpClient], Doctor]) -> Facts:
    async with client:
        return await doctor(client).ask()


def shown(text: str, token: str) -> str:
    """What a server says may repeat the token, or hold what steers a terminal."""
    hidden = text.replace(token, HIDDEN) if token else text
    return "".join(c if c.isprintable() or c == "\n" else " " for c in hidden)


def as_text(facts: Facts, findings: list[Finding]) -> str:
    """Client by client, then what is wrong and what fixes it."""
    lines = [_server(facts), ""]
    numbered = {id(finding): number for number, finding in enumerate(findings, 1)}
    width = max(map(len, ALL))
    for client in ALL:
        fails = [numbered[id(f)] for f in findings if client in f.fails]
        login = [numbered[id(f)] for f in findings if client in f.login]
        limited = [numbered[id(f)] for f in findings if client in f.limited]
        works = "works after login" if login else "works"
        verdict = works + (f": see {_list(login)}" if login else "")
        if fails:
            verdict = f"does not work: see {_list(fails)}"
        elif limited:
            verdict = f"{works}, with limits: see {_list([*login, *limited])}"
        lines.append(f"  {client:<{width}}  {verdict}")
    for number, finding in enumerate(findings, 1):
        lines += ["", f"{number}. {finding.text}"]
        if finding.fix:
            lines.append(f"   {finding.fix}")
    return "\n".join(lines) + "\n"


def _meta(result: dict[str, Any]) -> dict[str, Any]:
    found = result.get("_meta")
    return found if isinstance(found, dict) else {}


def _list(numbers: list[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))


def _server(facts: Facts) -> str:
    eras = [MODERN] if facts.speaks_modern else []
    if facts.version:
        asked = "asked for that; older ones were not tried"
        if facts.version != HANDSHAKE:
            asked = f"asked for {HANDSHAKE}"
        eras.append(f"{facts.version} ({asked})")
    if not eras:
        return facts.url
    told = facts.initialize.result or facts.discover.result
    given = told.get("serverInfo") or _meta(told).get(META_SERVER_INFO)
    info = given if isinstance(given, dict) else {}
    took = facts.initialize.seconds * 1000
    name = f"{info.get('name', 'unnamed')} {info.get('version', '')}".strip()
    return f"{facts.url}: {name}, speaks {' and '.join(eras)}, answered in {took:.0f} ms"
