"""mcpd doctor: what the known clients would meet at a server."""

import argparse
import os
import time
from pathlib import Path
from typing import Any

import trio

from mcpd.auth.client_token import VARIABLE, ClientToken
from mcpd.cli.settings import DEFAULT_URL
from mcpd.doctor.finding import ALL, CLAUDE, Finding
from mcpd.doctor.findings import find
from mcpd.doctor.probes import MODERN, Doctor, Facts
from mcpd.errors import EXIT_FAILURE
from mcpd.http.client import HttpClient
from mcpd.http.origin import resolve_origin
from mcpd.mcp.envelope.params import META_SERVER_INFO

LIMIT_S = 120.0  # for everything


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
    """0 if every client will work that can be where this was run."""
    token = ClientToken(arguments.token_file, os.environ).token
    origin, target = resolve_origin(
        arguments.url, unix=arguments.unix, ca_file=arguments.ca_file, environ=os.environ
    )
    facts = trio.run(_ask, HttpClient(origin), arguments.url.partition("?")[0], target, token)
    findings = find(facts, time.time(), token)
    print(as_text(facts, findings), end="")
    return EXIT_FAILURE if any(set(finding.fails) - {CLAUDE} for finding in findings) else 0


async def _ask(client: HttpClient, url: str, target: str, token: str) -> Facts:
    doctor = Doctor(client, url, target, token)
    async with client:
        with trio.move_on_after(LIMIT_S):
            await doctor.ask()
    return doctor.facts


def as_text(facts: Facts, findings: list[Finding]) -> str:
    """Client by client, then what is wrong and what fixes it."""
    lines = [_server(facts), ""]
    numbered = {id(finding): number for number, finding in enumerate(findings, 1)}
    width = max(map(len, ALL))
    for client in ALL:
        fails = [numbered[id(f)] for f in findings if client in f.fails]
        limited = [numbered[id(f)] for f in findings if client in f.limited]
        verdict = "works"
        if fails:
            verdict = f"does not work: see {_list(fails)}"
        elif limited:
            verdict = f"works, with limits: see {_list(limited)}"
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
    return ", ".join(map(str, numbers))


def _server(facts: Facts) -> str:
    eras = [MODERN] if facts.speaks_modern else []
    if facts.version:
        eras.append(f"{facts.version} (asked for that; older ones were not tried)")
    if not eras:
        return facts.url
    told = facts.initialize.result or facts.discover.result
    given = told.get("serverInfo") or _meta(told).get(META_SERVER_INFO)
    info = given if isinstance(given, dict) else {}
    took = facts.initialize.seconds * 1000
    name = f"{info.get('name', 'unnamed')} {info.get('version', '')}".strip()
    return f"{facts.url}: {name}, speaks {' and '.join(eras)}, answered in {took:.0f} ms"
