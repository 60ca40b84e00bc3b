"""Exit codes of real processes, and the units that act on them."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys

import pytest

from mcpd.server.exit_codes import NOT_STARTED_AGAIN
from tests.end_to_end.daemon import Daemon, need
from tests.end_to_end.test_systemd import UNITS

pytestmark = pytest.mark.slow

AWAY_APP = """
import contextlib, socket
from mcpd import App

@contextlib.asynccontextmanager
async def lifespan(app):
    socket.create_connection(("127.0.0.1", {port}))
    yield

app = App("needs-a-database", lifespan=lifespan)
"""


def ended(tmp_path, *flags: str, **more) -> tuple[int, str]:
    daemon = Daemon(tmp_path / "s", *flags, **more)
    try:
        return daemon.wait(), daemon.text()
    finally:
        daemon.kill()


def test_a_lifespan_whose_database_is_away_may_be_tried_again(tmp_path, unused_port):
    app = tmp_path / "away.py"
    app.write_text(AWAY_APP.format(port=unused_port))
    code, text = ended(tmp_path, "--port", "0", "--app", f"{app}:app")
    assert code == 75
    assert re.search(r"The lifespan of needs-a-database failed: ConnectionRefused.*", text)
    assert re.search(r"Look at \S*away\.py, line 7", text)
    assert "Traceback" not in text
    app.write_text(AWAY_APP.format(port="port"))  # a name that is not there
    assert ended(tmp_path, "--port", "0", "--app", f"{app}:app")[0] == 78


def test_an_app_that_connects_while_it_is_imported_may_be_tried_again(tmp_path, unused_port):
    app = tmp_path / "early.py"
    app.write_text(f"import socket\nsocket.create_connection(('127.0.0.1', {unused_port}))\n")
    assert ended(tmp_path, "--port", "0", "--app", f"{app}:app")[0] == 75


def test_an_address_that_is_not_up_yet_may_be_tried_again(tmp_path):
    code, text = ended(tmp_path, "--port", "0", "--host", "192.0.2.1")  # RFC 5737: nobody's
    assert code == 75
    assert "Cannot listen on 192.0.2.1" in text


def test_a_port_that_is_in_use_may_be_tried_again_and_one_that_is_forbidden_not(tmp_path):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        code, text = ended(tmp_path, "--port", str(sock.getsockname()[1]))
    assert code == 75
    assert "Another process listens" in text
    assert ended(tmp_path, "--unix", "/nowhere/at/all.sock")[0] == 78


def test_a_second_server_is_told_of_the_first_and_how_to_run_beside_it(tmp_path):
    with Daemon(tmp_path / "s", "--port", "0") as first:
        first.wait_for("listening on")
        port = ("--port", str(first.port))
        code, text = ended(tmp_path, *port)  # the same place
        assert code == 75
        assert f"is in use by mcpd 0.1.0 (process {first.process.pid}) on {first.base}" in text
        elsewhere = Daemon(tmp_path / "t", *port)
        assert elsewhere.wait() == 75
        assert re.search(r"Another mcpd listens on .*: it serves \S+ 0\.1\.0", elsewhere.text())
        for told in (text, elsewhere.text()):
            assert "--port and a --state-dir of its own" in told
        elsewhere.kill()


def test_a_state_directory_that_another_server_holds_may_be_tried_again(tmp_path):
    with Daemon(tmp_path / "s", "--port", "0") as first:
        first.wait_for("listening on")
        code, text = ended(tmp_path, "--port", "0")
        assert code == 75
        assert f"is in use by mcpd 0.1.0 (process {first.process.pid}) on {first.base}" in text
        assert f"kill {first.process.pid}" in text
        assert "--state-dir" in text


def test_a_full_disk_may_be_tried_again(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    tool = shutil.which("unshare")
    probe = [str(tool), "-rm", "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    works = tool is not None and subprocess.run(probe, capture_output=True, check=False)
    need(bool(works) and works.returncode == 0, "unshare -rm")
    # A file system of its own, in a namespace of its own, with no byte left on it.
    script = (
        f"mount -t tmpfs -o size=16k tmpfs {disk} && "
        f'(dd if=/dev/zero of={disk}/full bs=4k 2>/dev/null; exec "$@" --state-dir {disk}/s)'
    )
    command = (str(tool), "-rm", "bash", "-c", script, "_")
    code, text = ended(tmp_path, "--port", "0", command=command)
    assert code == 75, text
    assert "No space left on device" in text
    assert "Traceback" not in text
    code, text = ended(
        tmp_path, "--port", "0", command=command, environ={"JWT_SECRET_KEY": "x" * 40}
    )
    assert code == 75, text  # the database then


def test_a_redis_that_is_away_does_not_keep_a_server_from_starting(tmp_path, unused_port):
    with Daemon(
        tmp_path / "s", "--port", "0", "--store", f"redis://127.0.0.1:{unused_port}"
    ) as one:
        one.wait_for("listening on")
        assert one.stop() == 0


def test_a_command_at_a_store_that_is_away_may_be_tried_again(unused_port):
    done = subprocess.run(
        [sys.executable, "-m", "mcpd", "sessions", "list", "--store", f"redis://127.0.0.1:{unused_port}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, "Traceback" in done.stderr) == (75, False)


def test_a_configuration_error_is_told_in_plain_words_wherever_nurseries_wrap_it(tmp_path):
    """Before Python 3.11.4 what is raised within ``except*`` comes out in another group."""
    app = tmp_path / "wrong.py"
    app.write_text(AWAY_APP.format(port="port"))
    for flags in ((), ("--stdio",)):
        done = subprocess.run(
            [sys.executable, "-m", "mcpd", "serve", "--port", "0", "--app", f"{app}:app",
             "--state-dir", str(tmp_path / "s"), *flags],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 78
        assert "mcpd: The lifespan of needs-a-database failed" in done.stderr
        assert "Traceback" not in done.stderr


def test_ctrl_c_during_a_start_is_no_traceback(tmp_path):
    app = tmp_path / "slow.py"
    app.write_text(
        "import contextlib, trio\nfrom mcpd import App\n@contextlib.asynccontextmanager\n"
        "async def lifespan(app):\n    print('begun', flush=True)\n    await trio.sleep(3600)\n"
        "    yield\napp = App('slow', lifespan=lifespan)\n"
    )
    # A shell starts what it puts into the background with SIGINT ignored, these tests perhaps.
    heed = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL)"
    command = (sys.executable, "-c", f"{heed}; os.execvp(sys.argv[1], sys.argv[1:])")
    flags = ("--port", "0", "--app", f"{app}:app")
    with Daemon(tmp_path / "s", *flags, command=command) as daemon:
        daemon.wait_for("begun")
        daemon.send(signal.SIGINT)
        assert daemon.wait() == 130
        assert "Traceback" not in daemon.text()


def test_the_unit_starts_again_what_may_pass_and_nothing_else():
    unit = (UNITS / "mcpd.service").read_text()
    prevented = re.search(r"^RestartPreventExitStatus=(.*)$", unit, re.MULTILINE)
    assert prevented is not None
    assert {int(code) for code in prevented[1].split()} == NOT_STARTED_AGAIN
    assert re.search(r"^Restart=on-failure$", unit, re.MULTILINE)
    assert re.search(r"^StartLimitIntervalSec=0$", unit, re.MULTILINE)  # for as long as it takes
    assert os.EX_TEMPFAIL not in NOT_STARTED_AGAIN
