"""Responses to messages: one JSON body, or an event stream."""

from collections.abc import Awaitable, Callable

from mcpd.errors import McpdError
from mcpd.http.client import Broken, IncomingResponse
from mcpd.http.event_reader import EventReader

MAX_MESSAGE_BYTES = 64 * 1024 * 1024  # of the server, for one message
LINGER_S = 0.5  # for a server to end a stream whose answer has come
EVENT_STREAM = "text/event-stream"
ACCEPT = [(b"accept", b"application/json, text/event-stream")]
ACCEPT_EVENT_STREAM = [(b"accept", b"text/event-stream")]
POST_HEADERS = [*ACCEPT, (b"content-type", b"application/json")]

OnMessage = Callable[[bytes], Awaitable[object]]


def new_reader(last_id: str = "") -> EventReader:
    """For an event stream, or for the rest of one."""
    return EventReader(MAX_MESSAGE_BYTES, last_id=last_id)


def is_stream(response: IncomingResponse) -> bool:
    """Whether events come."""
    return response.status == 200 and response.header(b"content-type") == EVENT_STREAM


async def read_events(response: IncomingResponse, reader: EventReader, receive: OnMessage) -> None:
    """Hand each message on until the stream ends or breaks, and close it.

    Raises:
        ContentTooLarge: a message passes MAX_MESSAGE_BYTES.
    """
    async with response:
        try:
            while piece := await response.receive():
                for event in reader.feed(piece):
                    if event.name == "message":
                        await receive(event.data)
        except Broken:
            return  # the caller knows what is missing


async def read_body(response: IncomingResponse) -> bytes:
    """The whole body, and close the response.

    Raises:
        Broken: it ends before its end.
        ContentTooLarge: it passes MAX_MESSAGE_BYTES.
    """
    async with response:
        return await response.read(MAX_MESSAGE_BYTES)


async def read_quietly(response: IncomingResponse) -> bytes:
    """What a response says that is not waited for; empty if it cannot be read."""
    try:
        return await read_body(response)
    except (Broken, McpdError):
        return b""
