"""The round trip of a question: a call, the question that it asks, the answer, the result."""

import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.client import (
    free_port,
    message,
    modern_headers,
    open_session,
    post_bytes,
    wait_for_answer,
)
from benchmarks.contestants import Contestant, Setup, contestant
from benchmarks.load import READ_BYTES, Client, Exchange, Receiver, Record, connect, drive
from benchmarks.scenario import CALL_ROWS, STORES, Figures, Row, report

CONNECTIONS = 16
CALL = {"name": "ask", "arguments": {}}
ACCEPTED = {"action": "accept", "content": {"sure": True}}
CAPABILITIES: dict[str, Any] = {"elicitation": {}}
RESULT = b'"text":"yes"'
ROWS = (Row("per_second", "round trips/s"), *CALL_ROWS[1:])


@dataclass(frozen=True, slots=True)
class Questions:
    """See Scenario."""

    name: str
    title: str
    modern: bool
    peers: Sequence[str] = STORES
    reference: str = "Python SDK"
    rows: Sequence[Row] = ROWS

    def run(self, peer: str, seconds: float) -> Figures:
        """See Scenario."""
        # an SDK that answers with JSON alone has no stream to ask on
        server = contestant(peer, Setup(streams=not self.modern), None)
        server.start(free_port())
        make = ModernAsked if self.modern else SessionAsked
        try:
            wait_for_answer(server)
            record = Record()
            clients = [make(server, record) for _ in range(CONNECTIONS)]
            measured = drive(clients, record, seconds=seconds, server_cpu_s=lambda: server.cpu_s)
            report(peer, record, measured)
            return measured.figures()
        finally:
            server.stop()


def messages(answer: bytes | bytearray) -> list[dict[str, Any]]:
    """The JSON-RPC messages of an answer so far, of a JSON body or an event stream."""
    body = bytes(answer).partition(b"\r\n\r\n")[2]
    if body.startswith(b"{"):
        return [json.loads(body)]
    lines = [line for line in body.splitlines(keepends=True) if line.startswith(b"data: {")]
    return [json.loads(line[6:]) for line in lines if line.endswith(b"\n")]


class SessionAsked(Client):
    """In a session: the question comes on the call's stream, the answer goes by a second POST."""

    def __init__(self, server: Contestant, record: Record) -> None:
        self._server = server
        self._session = open_session(server, CAPABILITIES)
        body = message(1, "tools/call", CALL, modern=False)
        call = Exchange(post_bytes(server, body, self._session), (b'"id":1', RESULT))
        super().__init__(server.port, [call], record)
        self._other = connect(server.port)
        self._taken = Receiver()
        self._answered = False

    def sockets(self) -> list[socket.socket]:
        """See Client."""
        return [self.sock, self._other]

    def begin(self) -> None:
        """See Client."""
        self._answered = False
        super().begin()

    def readable(self, descriptor: int) -> None:
        """See Client."""
        if descriptor == self._other.fileno():
            self._read_acceptance()
            return
        super().readable(descriptor)
        if not self._answered:
            asked = [m for m in messages(self._receiver.data) if "method" in m]
            if asked and asked[0]["method"] == "elicitation/create":
                self._answered = True
                self._answer(asked[0]["id"])

    def _answer(self, number: Any) -> None:
        body = json.dumps({"jsonrpc": "2.0", "id": number, "result": ACCEPTED}).encode()
        self._taken.clear()
        self._other.sendall(post_bytes(self._server, body, self._session))

    def _read_acceptance(self) -> None:
        piece = self._other.recv(READ_BYTES)
        if not piece:
            raise ConnectionResetError
        if self._taken.receive(piece) and self._taken.data[9:12] != b"202":
            self._record.failed += 1
            self._record.sample = self._record.sample or bytes(self._taken.data)

    def close(self) -> None:
        """See Client."""
        super().close()
        self._other.close()


class ModernAsked(Client):
    """2026-07-28: the first call returns the question, the second brings the answer."""

    def __init__(self, server: Contestant, record: Record) -> None:
        self._server = server
        self._given = modern_headers(server, "tools/call", "ask")
        first = Exchange(self._post(1, CALL), (b'"id":1', b'"input_required"'))
        super().__init__(server.port, [first], record)
        self._first = first
        self._second = False

    def _post(self, number: int, params: dict[str, Any]) -> bytes:
        body = message(number, "tools/call", params, modern=True, **CAPABILITIES)
        return post_bytes(self._server, body, self._given)

    def begin(self) -> None:
        """See Client."""
        self._second = False
        super().begin()

    def readable(self, descriptor: int) -> None:
        """See Client."""
        if self._second:
            super().readable(descriptor)
            return
        piece = self.sock.recv(READ_BYTES)
        if not piece:
            raise ConnectionResetError
        if not self._receiver.receive(piece):
            return
        if not self._first.verify(self._receiver.data):
            self._record.failed += 1
            self._record.sample = self._record.sample or bytes(self._receiver.data[:2000])
            self.begin()
            return
        result = messages(self._receiver.data)[-1]["result"]
        self._receiver.clear()
        self._exchange = Exchange(self._post(2, self._answer(result)), (b'"id":2', RESULT))
        self._second = True
        self.sock.sendall(self._exchange.request)

    def _answer(self, result: dict[str, Any]) -> dict[str, Any]:
        state = {"requestState": result["requestState"]} if "requestState" in result else {}
        given = dict.fromkeys(result["inputRequests"], ACCEPTED)
        return {**CALL, **state, "inputResponses": given}
