"""What fuzzing has found and what is not mended yet: such a failure is passed over.

Each entry has an input that shows it, and a test holds it to that: an entry whose input passes
has to go.
"""

import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Known:
    """A failure that is known.

    Attributes:
        target: its name.
        value: the smallest input.
        says: a regular expression for the error as ``describe`` has it.
        reason: what is wrong, what should be.
    """

    target: str
    value: Any
    says: str
    reason: str


META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/logLevel": [],
}
MODERN = (
    b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer @TOKEN@\r\n"
    b"MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: place\r\n"
    b"Mcp-Param-Region: eu\r\nContent-Type: application/json\r\nContent-Length: @LENGTH@\r\n\r\n"
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"place","_meta":{'
    b'"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
    b'"io.modelcontextprotocol/clientCapabilities":{}'
)
LOG_LEVEL = b',"io.modelcontextprotocol/logLevel":[]},"arguments":{"region":"eu"}}}'
HUGE = b'},"arguments":{"region":"eu","n":1e999}}}'

KNOWN: list[Known] = [
    Known(
        "envelope",
        ("ping", {"_meta": META}, [], ""),
        "TypeError: unhashable type",
        "envelope/modern.py: a log level that is a list or an object is no InvalidParams",
    ),
    Known(
        "server",
        ([MODERN + LOG_LEVEL], []),
        'AssertionError: logged as a fault: request failed: TypeError\\("unhashable',
        "the same over HTTP: 500 instead of 400 with -32602",
    ),
    Known(
        "mirrored-parameters",
        ({"type": "object"}, [], {"a": "<1e999>"}),
        "ValidationError: Number out of range",
        "envelope/headers.py, check_mirrored: 1e999 in the arguments is no refusal",
    ),
    Known(
        "server",
        ([MODERN + HUGE], []),
        "AssertionError: logged as a fault: request failed: ValidationError\\('Number out of",
        "the same over HTTP: 500 instead of 400 with -32602",
    ),
    Known(
        "events",
        (b"data: x\r\r", []),
        "AssertionError: other events after a CR",
        "http/event_reader.py: an event whose lines end in CR waits for the next line, or is lost",
    ),
    Known(
        "event-bound",
        (b"data: " + b"x" * 40 + b"\n\n", [0]),
        "AssertionError: the bound on an event depends",
        "http/event_reader.py: max_bytes holds for what is incomplete alone",
    ),
    Known(
        "guards",
        b"localhost:80@evil.example",
        "AssertionError: a Host is taken that is no name",
        "http/guards.py: what follows the port or the bracket of a Host is not looked at",
    ),
    Known(
        "guards",
        b"http://127.0.0.1:9.evil.example",
        "AssertionError: an Origin is taken whose port is none",
        "http/guards.py: what follows the port of an Origin is not looked at",
    ),
]


def find_known(target: str, description: str) -> Known | None:
    """The entry for a failure of this target."""
    return next(
        (k for k in KNOWN if k.target == target and re.match(k.says, description, re.DOTALL)), None
    )
