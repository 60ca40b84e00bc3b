"""The MCP Inspector's command line, over stdio, at a real server through the bridge."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.daemon import Daemon, need

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
MODULES = ROOT / ".clients" / "conformance-node" / "node_modules"


@pytest.fixture(scope="module")
def inspect(tmp_path_factory):
    node, script = MODULES / "node" / "bin" / "node", MODULES / ".bin" / "mcp-inspector"
    need(script.exists() and node.exists(), "MCP Inspector (run conformance/clients/install)")
    folder = tmp_path_factory.mktemp("inspector")
    fixture = f"{ROOT}/conformance/everything.py:app"
    with Daemon(folder / "s", "--port", "0", "--app", fixture) as daemon:
        token, url = daemon.token(), f"{daemon.base}/mcp/"

        def run(*flags):
            done = subprocess.run(
                [str(node), str(script), "--cli", "-e", f"MCPD_TOKEN={token}", *flags, "--",
                 sys.executable, "-m", "mcpd", "bridge", url, "--state-dir", str(folder)],
                capture_output=True, text=True, check=False, timeout=30, cwd=folder,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
            return json.loads(done.stdout)

        yield run


def test_the_inspector_lists_through_the_bridge(inspect):
    assert "test_simple_text" in [
        tool["name"] for tool in inspect("--method", "tools/list")["tools"]
    ]
    assert inspect("--method", "resources/list")["resources"]
    assert inspect("--method", "prompts/list")["prompts"]


def test_the_inspector_calls_through_the_bridge(inspect):
    called = inspect(
        "--method", "tools/call", "--tool-name", "test_structured", "--tool-arg", "a=1"
    )
    assert called["structuredContent"] == {"sum": 3}
