"""Output that is not read: a pipe that is full must not keep a server from anything."""

import os
import signal
import socket
import subprocess
import sys

import pytest
import trio

from mcpd.events import RequestServed
from mcpd.observer import Activity
from mcpd.telemetry.descriptor import Descriptor
from mcpd.telemetry.logs import MAX_LINES, LogWriter
from tests.peer import Peer

pytestmark = pytest.mark.slow


def fill(descriptor: int) -> None:
    os.set_blocking(descriptor, False)
    try:
        while True:
            os.write(descriptor, b"x" * 4096)
    except BlockingIOError:
        pass
    try:
        while True:
            os.write(descriptor, b"x")
    except BlockingIOError:
        os.set_blocking(descriptor, True)


def started(tmp_path, output: int, *flags: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "mcpd", "serve", "--unix", str(tmp_path / "mcpd.sock"),
         "--state-dir", str(tmp_path / "s"), "--log-level", "debug", *flags],
        stdout=output, stderr=output,
    )  # fmt: skip


@pytest.fixture
def full_pipe():
    """A pipe that is full, and that is not read."""
    reading, writing = os.pipe()
    fill(writing)
    yield reading, writing
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize("workers", [(), ("--workers", "2", "--no-handshake")], ids=["one", "two"])
async def test_a_server_whose_output_is_full_serves_and_ends_on_sigterm(
    tmp_path, full_pipe, workers
):
    process = started(tmp_path, full_pipe[1], *workers)
    try:
        with trio.fail_after(60):
            peer = await connected(tmp_path / "mcpd.sock", process)
            for _ in range(50):  # each has a line in the log
                assert (await peer.request("GET", "/health")).status == 200
        await peer.stream.aclose()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


async def connected(path, process) -> Peer:
    while True:
        try:
            return Peer(await trio.open_unix_socket(str(path)))
        except OSError:
            assert process.poll() is None
            await trio.sleep(0.05)


def test_an_error_at_the_start_ends_the_process_though_it_cannot_be_told(tmp_path, full_pipe):
    process = started(tmp_path, full_pipe[1], "--store", "nonsense")
    try:
        assert process.wait(60) == 78
    finally:
        process.kill()
        process.wait()


def test_a_stdio_server_whose_stderr_is_full_ends_with_its_client(tmp_path, full_pipe):
    process = subprocess.Popen(
        [sys.executable, "-m", "mcpd", "serve", "--stdio", "--state-dir", str(tmp_path / "s"),
         "--log-level", "debug"],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=full_pipe[1],
    )  # fmt: skip
    try:
        process.stdin.write(b'{"jsonrpc": "2.0", "id": 1, "method": "nothing"}\n' * 20)
        process.stdin.close()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


async def test_lines_that_cannot_be_written_are_dropped_counted_and_told_later(full_pipe, nursery):
    reading, writing = full_pipe
    writer = LogWriter(writing)
    await nursery.start(writer.run)
    served = RequestServed(Activity("r", 1), "GET", "/", "127.0.0.1", 200, 10, 0.001)
    with trio.fail_after(60):
        writer.access(served)
        while writer._waiting:  # the first batch is with the pipe now, and stays there
            await trio.sleep(0.01)
        for _ in range(MAX_LINES + 7):
            writer.access(served)
        text = b""
        while b"7 log lines dropped" not in text:
            text += await trio.to_thread.run_sync(os.read, reading, 1 << 20)
    lines = [line for line in text.lstrip(b"x").splitlines() if b"mcpd.access" in line]
    assert all(line.endswith(b"-r-1") for line in lines)  # none is cut
    assert len(lines) == MAX_LINES + 1


@pytest.mark.parametrize("kind", ["pipe", "socket", "file"])
def test_a_write_takes_no_longer_than_it_may_and_changes_no_mode_of_others(tmp_path, kind):
    ours, theirs = None, None
    if kind == "pipe":
        reading, number = os.pipe()
    elif kind == "socket":
        ours, theirs = socket.socketpair()
        reading, number = ours.fileno(), theirs.fileno()
    else:
        number = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
        reading = os.open(tmp_path / "log", os.O_RDONLY)
    descriptor = Descriptor(number)
    data = b"y" * (8 << 20)
    taken = descriptor.write(data, 0.01)
    assert os.get_blocking(number)
    if kind == "file":
        assert taken == len(data)
    else:
        assert 0 < taken < len(data)
        assert descriptor.write(data, 0) == 0
        got = 0
        while got < taken:
            got += len(os.read(reading, taken))
        assert descriptor.write(b"z", 0) == 1
        assert os.read(reading, 2) == b"z"
    descriptor.close()
    for one in (ours, theirs):
        if one is not None:
            one.close()
    if kind != "socket":
        os.close(number)
        os.close(reading)
