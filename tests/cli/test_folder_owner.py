"""Root in a folder of another user."""

import os
import pwd
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has other users' folders")


def create(folder) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "mcpd", "key", "create", "--owner", "a", "--state-dir", folder]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def nobody():
    return pwd.getpwnam("nobody")


def test_what_root_makes_for_a_service_belongs_to_it_though_it_could_not_come_here(
    tmp_path, nobody
):
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    state = private / "state"
    state.mkdir()
    os.chown(state, nobody.pw_uid, nobody.pw_gid)
    done = create(state)
    assert done.returncode == 0, done
    assert done.stdout.startswith("mcpd_")
    assert (state / "credentials.sqlite").stat().st_uid == nobody.pw_uid


@pytest.mark.parametrize("is_there", [True, False])
def test_no_link_leads_root_out_of_the_folder(tmp_path, nobody, is_there):
    victim = tmp_path / "victim"
    if is_there:
        victim.write_text("as it was")
    state = tmp_path / "state"
    state.mkdir()
    for name in ("credentials.sqlite", "credentials.sqlite-wal", "credentials.sqlite-x"):
        (state / name).symlink_to(victim)
    os.chown(state, nobody.pw_uid, nobody.pw_gid)
    assert create(state).returncode != 0
    assert victim.exists() is is_there
    if is_there:
        assert victim.read_text() == "as it was"
        assert victim.stat().st_uid == 0
