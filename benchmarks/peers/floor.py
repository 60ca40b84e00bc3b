"""The floor: the least that h11 on Trio can do. It reads the request and sends a canned answer."""

import sys

import h11
import trio

BODY = (
    b'{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"3"}],'
    b'"structuredContent":{"result":3},"isError":false}}'
)
RESPONSE = h11.Response(
    status_code=200,
    headers=[("content-type", "application/json"), ("content-length", str(len(BODY)))],
)


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
                await stream.send_all(
                    (connection.send(RESPONSE) or b"")
                    + (connection.send(h11.Data(data=BODY)) or b"")
                    + (connection.send(h11.EndOfMessage()) or b"")
                )
                if connection.our_state is h11.MUST_CLOSE:
                    return
                connection.start_next_cycle()
            elif isinstance(event, h11.ConnectionClosed):
                return


if __name__ == "__main__":
    trio.run(trio.serve_tcp, serve, int(sys.argv[1]))
