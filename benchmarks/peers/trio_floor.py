"""The floor of Trio: it counts the bytes of a request, parses nothing, and sends canned bytes.

trio_floor.py PORT FILE; FILE: JSON with ``request_bytes``, which all requests have, and ``raw``:
an answer of mcpd as it was on the wire, in the pieces (in Base64) that are sent one by one.
"""

import base64
import json
import sys
from pathlib import Path

import trio

CANNED = json.loads(Path(sys.argv[2]).read_text())
REQUEST_BYTES: int = CANNED["request_bytes"]
PIECES = [base64.b64decode(piece) for piece in CANNED["raw"]]


async def serve(stream: trio.SocketStream) -> None:
    missing = REQUEST_BYTES
    async with stream:
        while True:
            try:
                data = await stream.receive_some(65536)
            except trio.BrokenResourceError:
                return
            if not data:
                return
            missing -= len(data)
            if missing == 0:
                for piece in PIECES:
                    await stream.send_all(piece)
                missing = REQUEST_BYTES


async def main() -> None:
    # serve_tcp sets SO_REUSEADDR, SocketStream sets TCP_NODELAY
    await trio.serve_tcp(serve, int(sys.argv[1]), host="127.0.0.1", backlog=4096)


if __name__ == "__main__":
    trio.run(main)
