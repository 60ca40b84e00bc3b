"""The stream of a session that belongs to no request: GET (MCP, "Listening for Messages")."""

import logging

import trio

from mcpd.client.exchange import MAX_RETRY_S, delay_of
from mcpd.client.http_transport import HttpTransport
from mcpd.client.responses import ACCEPT_EVENT_STREAM, OnMessage, is_stream, new_reader, read_events
from mcpd.client.session import ClientSession
from mcpd.errors import McpdError
from mcpd.http.event_reader import EventReader

log = logging.getLogger("mcpd.client")

UNREACHABLE_S = 5.0  # until it is tried again
NO_STREAM = (400, 404, 405, 406, 501)  # the server has none


async def listen(transport: HttpTransport, session: ClientSession, receive: OnMessage) -> None:
    """Hand on what the server says of its own accord, for as long as the client is there."""
    while True:
        await session.ready.wait()
        number = session.number
        with trio.CancelScope() as session.listening:
            await _listen_in(transport, session, receive, number)
            if session.number == number:
                await trio.sleep_forever()  # until there is another session


async def _listen_in(
    transport: HttpTransport, session: ClientSession, receive: OnMessage, number: int
) -> None:
    reader = new_reader()
    barren_s = 0.0
    listened = False
    while session.number == number:
        last_id = reader.last_id
        try:
            status = await _listen_once(transport, session, receive, reader)
            listened = listened or status == 200
            if status == 404 and listened and session.is_there:  # and not a path without GET
                await session.renew(number)
            elif status in NO_STREAM:
                return
        except McpdError as error:
            log.warning("not listening for now: %s", error.message)
            await trio.sleep(UNREACHABLE_S)
            continue
        barren_s = 0.0 if reader.last_id != last_id else min(barren_s + 1.0, MAX_RETRY_S)
        await trio.sleep(max(delay_of(reader), barren_s))


async def _listen_once(
    transport: HttpTransport, session: ClientSession, receive: OnMessage, reader: EventReader
) -> int:
    """One connection; the status of the answer, 200 for a stream alone."""
    headers = [*ACCEPT_EVENT_STREAM, *session.headers]
    if reader.last_id:
        headers.append((b"last-event-id", reader.last_id.encode("utf-8")))
    response = await transport.begin("GET", headers, repeatable=True)
    if is_stream(response):
        await read_events(response, reader, receive)
        return 200
    words = await transport.explain(response)
    log.info("the server has no stream to listen to: %s %s", response.status, words)
    return response.status if response.status != 200 else 405
