"""The official SDKs' own clients, as released, against a real process.

``tests/clients/install`` installs them; without them these tests are skipped, and fail in CI.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.daemon import Daemon, need

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / ".clients"
SCRIPTS = ROOT / "tests" / "clients"
LIMIT_S = 60

FIXTURE = ROOT / "conformance" / "everything.py"

COUNT_APP = """
import trio
from mcpd import App, Context
from mcpd.toolkits.tasks import app as tasks
app = App("count")

@app.tool
async def count(to: int, ctx: Context) -> str:
    for number in range(to):
        await ctx.report_progress(number + 1, to)
        await trio.sleep(0.02)
    return "done"
"""

PYTHON_1 = (CLIENTS / "python-1" / "bin" / "python", SCRIPTS / "python_v1.py")
PYTHON_2 = (CLIENTS / "python-2" / "bin" / "python", SCRIPTS / "python_v2.py")
TYPESCRIPT_1 = (Path("/usr/bin/env"), CLIENTS / "typescript" / "v1.mjs")
TYPESCRIPT_2 = (Path("/usr/bin/env"), CLIENTS / "typescript" / "v2.mjs")
HANDSHAKE, MODERN = "2025-11-25", "2026-07-28"

TOURS = [
    pytest.param(PYTHON_1, "", HANDSHAKE, id="python-1"),
    pytest.param(PYTHON_2, "legacy", HANDSHAKE, id="python-2-legacy"),
    pytest.param(PYTHON_2, "modern", MODERN, id="python-2-modern"),
    pytest.param(PYTHON_2, "pin", MODERN, id="python-2-pinned"),
    pytest.param(TYPESCRIPT_1, "", HANDSHAKE, id="typescript-1"),
    pytest.param(TYPESCRIPT_2, "legacy", HANDSHAKE, id="typescript-2-legacy"),
    pytest.param(TYPESCRIPT_2, "modern", MODERN, id="typescript-2-modern"),
    pytest.param(TYPESCRIPT_2, "auto", MODERN, id="typescript-2-auto"),
]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clients")
    (folder / "count_app.py").write_text(COUNT_APP)
    flags = ("--app", f"{folder}/count_app.py:app", "--app", f"{folder}/count_app.py:tasks")
    with Daemon(folder / "state", "--port", "0", *flags) as daemon:
        daemon.wait_for("listening")
        yield daemon


def drive(
    daemon: Daemon, client: tuple[Path, Path], mode: str, *, token: str, bridge: str = ""
) -> dict:
    runner, script = client
    present = script.exists() and runner.exists()
    present = present and (script.suffix == ".py" or (script.parent / "node_modules").is_dir())
    need(present, f"the client {script.stem} (run tests/clients/install)")
    command = [str(runner), "node"] if script.suffix == ".mjs" else [str(runner)]
    done = subprocess.run(
        [*command, str(script)],
        env={**os.environ, "MCPD_URL": f"{daemon.base}/mcp/", "MCPD_TOKEN": token,
             "MCPD_MODE": mode, "MCPD_COMMAND": bridge},
        capture_output=True, text=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{daemon.text()[-3000:]}"
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.parametrize(("client", "mode", "version"), TOURS)
def test_connect_list_call_and_fail(daemon, client, mode, version):
    user = f"{client[1].stem}-{mode}"
    report = drive(daemon, client, mode, token=daemon.token(sub=user))
    assert report["protocol_version"] == version
    assert (report["session_id"] is None) is (version == MODERN)
    assert sorted(report["tools"]) == ["count", "manage_task"]
    assert report["created"]["task"]["title"].startswith("from ")
    assert report["listed"]["total"] == 1
    assert report["wrong"]["isError"] is True
    assert 'expected one of "complete"' in report["wrong"]["text"]
    if version == HANDSHAKE:
        assert report["ping"] == "ok"


@pytest.mark.parametrize(
    ("client", "mode"),
    [
        pytest.param(PYTHON_1, "progress", id="python-1"),
        pytest.param(PYTHON_2, "progress-legacy", id="python-2-legacy"),
        pytest.param(PYTHON_2, "progress-modern", id="python-2-modern"),
        pytest.param(TYPESCRIPT_1, "progress", id="typescript-1"),
        pytest.param(TYPESCRIPT_2, "progress-legacy", id="typescript-2-legacy"),
        pytest.param(TYPESCRIPT_2, "progress-modern", id="typescript-2-modern"),
    ],
)
def test_progress_reaches_the_client(daemon, client, mode):
    report = drive(daemon, client, mode, token=daemon.token())
    assert report["progress"] == [1, 2, 3, 4, 5]
    assert report["result"] == {"isError": False, "text": "done"}


FEATURES = [
    pytest.param(PYTHON_1[0], "features_v1.py", "", id="python-1"),
    pytest.param(PYTHON_2[0], "features_v2.py", "legacy", id="python-2-legacy"),
    pytest.param(PYTHON_2[0], "features_v2.py", "modern", id="python-2-modern"),
    pytest.param(TYPESCRIPT_1[0], "features_v1.mjs", "", id="typescript-1"),
    pytest.param(TYPESCRIPT_2[0], "features_v2.mjs", "legacy", id="typescript-2-legacy"),
    pytest.param(TYPESCRIPT_2[0], "features_v2.mjs", "modern", id="typescript-2-modern"),
]


@pytest.mark.parametrize("bridged", [False, True], ids=["http", "bridge"])
@pytest.mark.parametrize(("runner", "script", "mode"), FEATURES)
def test_every_feature_with_callbacks(tmp_path, runner, script, mode, bridged):
    """Sampling, elicitation, roots, resources, prompts, completion, changes, progress, tasks; over
    HTTP, and over stdio with ``mcpd bridge`` between.
    """
    folder = SCRIPTS if script.endswith(".py") else CLIENTS / "typescript"
    bridge = ""
    with Daemon(tmp_path / "state", "--port", "0", "--app", f"{FIXTURE}:app") as daemon:
        if bridged:
            url = f"{daemon.base}/mcp/"
            bridge = f"{sys.executable} -m mcpd bridge {url} --state-dir {tmp_path}"
        token = daemon.token()
        report = drive(daemon, (runner, folder / script), mode, token=token, bridge=bridge)
    modern = report["protocol_version"] == MODERN
    assert report["sampling"].startswith("Sampling result: " if modern else "LLM response: ")
    assert "Alice" in report["elicitation"]
    assert report["roots"] == "Found 1 root(s)"
    assert report["multi"] == "Name: Alice; Greeting: sampled: Generate a greeting; Roots: 1"
    assert report["multi_round"] == "Multi-round complete for Alice who likes Alice"
    assert "test://static-text" in report["resources"]
    assert report["templates"] == ["test://template/{id}/data"]
    assert '"id":"42"' in report["template"]
    assert report["blob_mime"] == "image/png"
    assert report["prompt"] == "Prompt with arguments: arg1='a', arg2='b'"
    assert report["completion"] == ["paris", "park", "party"]
    assert report["structured"] == {"sum": 3}
    assert report["progress"] == [0, 50, 100]
    assert (report["updated"], report["list_changed"]) == (True, True)
    assert report["task"] in ("computed", None)  # None: the SDK has no API for tasks


def test_every_message_fits_the_types_of_its_revision(tmp_path):
    """The whole fixture's traffic against the types that the SDK generates from the schemas."""
    python, _ = PYTHON_2
    need(python.exists(), "the Python SDK 2.x (run tests/clients/install)")
    dump = tmp_path / "messages.json"
    script = ROOT / "conformance" / "validate_schemas.py"
    subprocess.run([sys.executable, str(script), "--dump", str(dump)], check=True, timeout=LIMIT_S)
    checked = subprocess.run(
        [str(python), str(SCRIPTS / "check_types.py"), str(dump)],
        capture_output=True, text=True, timeout=LIMIT_S, check=True,
    )  # fmt: skip
    report = json.loads(checked.stdout)
    assert report["checked"] > 500
    assert report["failures"] == []
