"""A real Prometheus scrapes a real run; the dashboard's queries return data."""

import json
import re
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
import trio

from tests.end_to_end.daemon import Daemon, free_port, need
from tests.in_process import HandshakeClient, modern

pytestmark = pytest.mark.slow
DOCS = Path(__file__).parents[2] / "docs"
OPERATIONS = DOCS / "operations"
WITHIN_S = 60.0

APP = """
import time
from mcpd import App
app = App("shop")

@app.tool
def search(text: str) -> str:
    time.sleep(0.02)
    return text

@app.tool
async def broken() -> str:
    raise ValueError("no")
"""
# What only comes with faults that this run does not make.
QUIET = {"Taken up again"}


def test_the_dashboard_is_as_its_script_makes_it():
    done = subprocess.run([sys.executable, DOCS / "make_dashboard.py", "--check"], check=False)
    assert done.returncode == 0, "run docs/make_dashboard.py"


def test_the_alerts_come_when_they_should():
    need(shutil.which("promtool") is not None, "promtool")
    for command in (
        ["promtool", "check", "rules", "alerts.yml"],
        ["promtool", "test", "rules", "alerts_test.yml"],
        ["promtool", "check", "config", "prometheus.yml"],
    ):
        done = subprocess.run(command, cwd=OPERATIONS, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


async def work(daemon: Daemon) -> None:
    """A little of everything that is counted."""
    token = daemon.token()
    peer = await daemon.connect(token=token)
    async with peer.stream:
        for name, arguments in (("search", {"text": "x"}), ("broken", {})):
            await modern(peer, "tools/call", {"name": name, "arguments": arguments})
    client = HandshakeClient(await daemon.connect(token=token))
    async with client.peer.stream:
        await client.open()
        await client.call("tools/call", {"name": "search", "arguments": {"text": "y"}})
    stranger = await daemon.connect()
    async with stranger.stream:
        await stranger.request("POST", "/register", json={"client_info": {"name": "x"}})
        await modern(stranger, "tools/list")


class Prometheus:
    """A server of its own, with the rules of ours."""

    def __init__(self, folder: Path, target: int) -> None:
        self.port = free_port()
        text = (OPERATIONS / "prometheus.yml").read_text()
        text = text.replace("15s", "1s").replace("127.0.0.1:9464", f"127.0.0.1:{target}")
        text = text.replace("alerts.yml", str(OPERATIONS / "alerts.yml"))
        (folder / "prometheus.yml").write_text(text)
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={folder}/prometheus.yml",
             f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{self.port}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def __enter__(self) -> "Prometheus":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def ask(self, path: str, **query: str) -> dict:
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)
        except OSError:
            return {"status": "away", "data": {"result": []}}

    def has_data(self, query: str) -> bool:
        result = self.ask("query", query=query)
        return any(str(one["value"][1]) != "NaN" for one in result["data"]["result"])


def queries() -> list[tuple[str, str]]:
    """Of the dashboard, as Grafana would send them."""
    dashboard = json.loads((OPERATIONS / "dashboard.json").read_text())
    found = []
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            query = target["expr"].replace("$__rate_interval", "30s").replace("$instance", ".*")
            found.append((panel["title"], query))
    assert len(found) > 20
    return found


async def test_the_queries_of_the_dashboard_return_data(tmp_path):
    need(shutil.which("prometheus") is not None, "prometheus")
    (tmp_path / "shop.py").write_text(APP)
    (tmp_path / "mcpd.toml").write_text("[limits.tools.broken]\ncalls_per_day = 3\n")
    target = free_port()
    flags = ("--port", "0", "--app", f"{tmp_path}/shop.py:app", "--metrics", f"127.0.0.1:{target}",
             "--config", f"{tmp_path}/mcpd.toml")  # fmt: skip
    with Daemon(tmp_path / "s", *flags) as daemon, Prometheus(tmp_path, target) as prometheus:
        daemon.wait_for("listening on")
        missing = queries()
        with trio.move_on_after(WITHIN_S):
            while missing:
                await work(daemon)  # a rate is of two scrapes between which something came
                await trio.sleep(0.5)
                still = [one for one in missing if not prometheus.has_data(one[1])]
                missing = [one for one in still if one[0] not in QUIET]
        assert missing == []
        rules = prometheus.ask("rules")["data"]["groups"][0]["rules"]
        assert {rule["health"] for rule in rules} <= {"ok", "unknown"}


def test_every_query_names_a_family_that_there_is():
    from mcpd.telemetry.families import FAMILIES

    suffixes = ("", "_total", "_count", "_bucket", "_sum")
    known = {"up"}
    for family in FAMILIES:
        name = family.name.replace(".", "_") + (f"_{family.unit}" if family.unit else "")
        known |= {name + suffix for suffix in suffixes}
    texts = [query for _, query in queries()]
    texts.append((OPERATIONS / "alerts.yml").read_text())
    for text in texts:
        for name in re.findall(r"\b(mcpd?_[a-z_]+)[{\[( ]", text):
            if not name.startswith("mcp_protocol"):
                assert name in known, name
