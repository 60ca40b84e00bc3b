"""The floor of h11: the least that h11 on Trio can do. It reads requests, sends a canned answer.

floor.py PORT FILE; FILE: JSON with ``media_type`` and ``pieces`` (in Base64), each sent by itself.
"""

import base64
import json
import sys
from pathlib import Path

import h11
import trio

CANNED = json.loads(Path(sys.argv[2]).read_text())
PIECES = [base64.b64decode(piece) for piece in CANNED["pieces"]]
FRAMING = (
    ("content-length", str(len(PIECES[0])))
    if len(PIECES) == 1
    else ("transfer-encoding", "chunked")
)
RESPONSE = h11.Response(status_code=200, headers=[("content-type", CANNED["media_type"]), FRAMING])


async def answer(connection: h11.Connection, stream: trio.SocketStream) -> None:
    data = connection.send(RESPONSE) or b""
    for piece in PIECES[:-1]:
        await stream.send_all(data + (connection.send(h11.Data(data=piece)) or b""))
        data = b""
    data += connection.send(h11.Data(data=PIECES[-1])) or b""
    await stream.send_all(data + (connection.send(h11.EndOfMessage()) or b""))


async def serve(stream: trio.SocketStream) -> None:
    connection = h11.Connection(h11.SERVER)
    async with stream:
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                try:
                    connection.receive_data(await stream.receive_some(65536))
                except trio.BrokenResourceError:
                    return
            elif isinstance(event, h11.EndOfMessage):
                await answer(connection, stream)
                if connection.our_state is h11.MUST_CLOSE:
                    return
                connection.start_next_cycle()
            elif isinstance(event, h11.ConnectionClosed):
                return


async def main() -> None:
    await trio.serve_tcp(serve, int(sys.argv[1]), host="127.0.0.1", backlog=4096)


if __name__ == "__main__":
    trio.run(main)
