"""Play every transcript against mcpd and the servers of others, and write RESULTS.md.

    python -m conformance.results [--write]

conformance/servers/install installs the others. All host the same fixture, each in a fresh process.
"""

import argparse
import datetime
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import trio

from benchmarks.client import free_port
from mcpd.http.origin import resolve_origin
from mcpd.replay.outcome import PlayOutcome
from mcpd.replay.player import Player, play_all
from mcpd.replay.transcript import Transcript, read
from mcpd.version import __version__

HERE = Path(__file__).parent
ROOT = HERE.parent
SERVERS = ("mcpd", "python-sdk", "fastmcp", "typescript-sdk")
AT_ONCE = 4
START_S = 30.0
Known = tuple[str, str, str]  # server, a part of the mismatch, and what is behind it
REASONS = HERE / "reasons.txt"


@dataclass
class Server:
    """One contestant and how it did."""

    name: str
    version: str
    outcomes: list[PlayOutcome] = field(default_factory=list)

    @property
    def failures(self) -> list[PlayOutcome]:
        return [outcome for outcome in self.outcomes if outcome.mismatch is not None]


def transcripts() -> list[Transcript]:
    files = sorted((HERE / "transcripts").rglob("*.txt"))
    return [read(file.read_text(), f"{file.parent.name}/{file.stem}") for file in files]


@contextmanager
def started(name: str, port: int, state: str) -> Iterator[str]:
    """A fresh process; a token that it takes."""
    if name != "mcpd":
        command, token = [str(HERE / "servers" / "run"), name, str(port)], "a-static-token"
        environ = {"MCP_TOKEN": token}
    else:
        base = [sys.executable, "-m", "mcpd"]
        command = [*base, "serve", "--port", str(port), "--state-dir", state, "--app",
                   f"{HERE / 'everything.py'}:app"]  # fmt: skip
        make = [*base, "token", "create", "--sub", "me", "--state-dir", state, "--new-secret"]
        token = subprocess.run(make, capture_output=True, text=True, check=True).stdout.strip()
        environ = {}
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        env={**os.environ, **environ},
    )  # fmt: skip
    try:
        wait_for(name, process, port)
        yield token
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(name: str, process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/mcp", timeout=1).close()
        except urllib.error.HTTPError:
            return  # whatever it says, it is there
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"{name} ended" if process.poll() is not None else f"{name} does not answer")


async def play(player: Player, wanted: list[Transcript]) -> list[PlayOutcome]:
    """Several at once, but those that resume streams one after the other: one of the servers
    mixes up the streams of its sessions.
    """
    resuming = [one for one in wanted if one.name.endswith("/reconnect")]
    others = [one for one in wanted if one not in resuming]
    both = [await play_all(player, others, AT_ONCE), await play_all(player, resuming, 1)]
    for played in both:
        if played.gone:
            raise SystemExit(played.gone)
    return [outcome for played in both for outcome in played.outcomes]


def run(name: str, wanted: list[Transcript]) -> Server:
    version = f"mcpd {__version__}" if name == "mcpd" else versions()[name]
    port = free_port()
    with tempfile.TemporaryDirectory() as state:
        path = "/mcp/" if name == "mcpd" else "/mcp"
        origin, target = resolve_origin(f"http://127.0.0.1:{port}{path}")
        with started(name, port, state) as token:
            outcomes = trio.run(play, Player(origin, target, token), wanted)
    return Server(name, version, sorted(outcomes, key=lambda outcome: outcome.name))


def versions() -> dict[str, str]:
    done = subprocess.run(
        [HERE / "servers" / "versions"], capture_output=True, text=True, check=True
    )
    lines = [line.split("\t", 1) for line in done.stdout.splitlines() if "\t" in line]
    return dict(reversed(lines))  # the first of several is what it is called by


def reason(outcome: PlayOutcome) -> str:
    """A mismatch without what is different in every transcript."""
    mismatch = outcome.mismatch
    assert mismatch is not None
    text = f"expected {mismatch.expected}, got {mismatch.got}"
    text = re.sub(r"127\.0\.0\.1:\d+", "HOST", text)
    text = re.sub(r"the answer to \S+", "the answer", text)
    return text if len(text) < 300 else f"{text[:297]}..."


def known_reasons() -> list[Known]:
    found = []
    for line in REASONS.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            server, part, why = (piece.strip() for piece in line.split(" | "))
            found.append((server, part, why))
    return found


def why(server: Server, outcome: PlayOutcome, known: list[Known]) -> Known | None:
    told = f"{outcome.name}: {reason(outcome)}"
    for one in known:
        name, part, _ = one
        if name in (server.name, "*") and re.search(part, told):
            return one
    return None


def unused(servers: list[Server]) -> list[Known]:
    """A reason that explains nothing any more is a leftover."""
    known = known_reasons()
    used = {why(server, outcome, known) for server in servers for outcome in server.failures}
    return [one for one in known if one not in used]


def markdown(servers: list[Server]) -> str:
    names = sorted({outcome.name for server in servers for outcome in server.outcomes})
    scenarios = sorted({name.partition("/")[2] for name in names})
    lines = [
        "# Results",
        "",
        f"{len(names)} transcripts ([transcripts/](transcripts)) of real clients, played against"
        f" servers that host the same fixture ([servers/](servers)),"
        f" {datetime.datetime.now(datetime.UTC).date()}. Made by `python -m conformance.results"
        " --write`.",
        "",
        "The transcripts were recorded in front of mcpd, so matters of taste are mcpd's taste"
        " unless an expectation leaves it open: a failure here is a difference that one of the"
        " clients met, and not always a fault.",
        "",
        "| | " + " | ".join(server.version for server in servers) + " |",
        "| --- |" + " ---: |" * len(servers),
    ]
    for scenario in [*scenarios, ""]:
        cells = []
        for server in servers:
            mine = [o for o in server.outcomes if not scenario or o.name.endswith(f"/{scenario}")]
            skipped = sum(bool(o.skipped) for o in mine)
            left_out = f", {skipped} skipped" if skipped else ""
            cells.append(f"{sum(o.passed for o in mine)} of {len(mine)}{left_out}")
        lines.append(f"| {scenario or '**all**'} | " + " | ".join(cells) + " |")
    known = known_reasons()
    for server in servers:
        if not server.failures:
            continue
        lines += ["", f"## {server.version}", "", "| what differs | why | transcripts |",
                  "| --- | --- | --- |"]  # fmt: skip
        grouped: dict[tuple[str, str], list[str]] = defaultdict(list)
        for outcome in server.failures:
            found = why(server, outcome, known)
            told = "not looked into" if found is None else found[2]
            grouped[reason(outcome), told].append(outcome.name)
        for (text, told), where in sorted(grouped.items(), key=lambda item: -len(item[1])):
            shown = text.replace("|", "\\|")
            listed = ", ".join(where[:4]) + (
                f" and {len(where) - 4} more" if len(where) > 4 else ""
            )
            lines.append(f"| {shown} | {told} | {listed} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="into RESULTS.md")
    parser.add_argument("--only", action="append", choices=SERVERS, help="repeatable")
    arguments = parser.parse_args()
    wanted = transcripts()
    servers = []
    for name in arguments.only or SERVERS:
        servers.append(run(name, wanted))
        failed = len(servers[-1].failures)
        print(f"{name}: {len(wanted) - failed} of {len(wanted)}", file=sys.stderr)
    text = markdown(servers)
    if arguments.write:
        (HERE / "RESULTS.md").write_text(text)
    else:
        print(text)
    if arguments.only is None and (left := unused(servers)):
        raise SystemExit(f"{REASONS.name}: nothing fails any more by {left}")


if __name__ == "__main__":
    main()
