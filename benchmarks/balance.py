"""How evenly two ways of sharing a port spread connections over worker processes.

    python -m benchmarks.balance

``shared``: every worker accepts from one socket. ``reuseport``: a socket for each worker, and
the kernel chooses by a hash of the connection (SO_REUSEPORT). Printed is the part of the
connections that the busiest worker got, over many rounds; 1/workers would be even.
"""

import os
import random
import signal
import socket
import statistics
from collections import Counter

import trio

WORKERS = 2
ROUNDS = 40
CONNECTIONS = (8, 32, 128)
BUSY_S = 0.0005  # of work behind each connection


def listening(reuseport: bool, port: int = 0) -> socket.socket:
    sock = socket.socket()
    if reuseport:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", port))
    sock.listen(1024)
    sock.setblocking(False)
    return sock


async def tell_pid(stream: trio.SocketStream) -> None:
    end = trio.current_time() + BUSY_S
    while trio.current_time() < end:
        pass
    await stream.send_all(b"%d\n" % os.getpid())
    await stream.receive_some(1)


def work(sock: socket.socket) -> None:
    listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
    trio.run(trio.serve_listeners, tell_pid, [listener])


def fork(sock: socket.socket) -> int:
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        work(sock)
        os._exit(0)
    return pid


def busiest(port: int, connections: int) -> float:
    """Open connections, in a burst, and see whose they are."""
    opened = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
    owners = Counter(sock.recv(16) for sock in opened)
    random.shuffle(opened)
    for sock in opened:
        sock.close()
    return max(owners.values()) / connections


def measure(reuseport: bool) -> None:
    first = listening(reuseport)
    port = first.getsockname()[1]
    others = WORKERS - 1
    sockets = [first] + [listening(True, port) if reuseport else first for _ in range(others)]
    pids = [fork(sock) for sock in sockets]
    name = "reuseport" if reuseport else "shared"
    for connections in CONNECTIONS:
        shares = [busiest(port, connections) for _ in range(ROUNDS)]
        mean, worst = statistics.mean(shares), max(shares)
        print(f"{name:10} {connections:4} connections: mean {mean:.2f}, worst {worst:.2f}")
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    measure(reuseport=False)
    measure(reuseport=True)
