"""A server that is not ours, and does of a client's requests what one wants."""

from inspect import iscoroutinefunction

import msgspec

from tests.scripted_server import ScriptedServer, reply

HELLO = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "serverInfo": {"name": "x", "version": "1"},
}


class Other:
    """A server without tokens and OAuth, but for ``answers``: bytes, or a function of the stream,
    by JSON-RPC method, by HTTP method, or by HTTP method and path.
    """

    def __init__(self, answers=None, **more):
        self.answers = {**(answers or {}), **more}
        self.scripted = ScriptedServer([self.play])

    @property
    def sent(self):
        """The messages that came, by method."""
        bodies = [msgspec.json.decode(seen.body) for seen in self.scripted.seen if seen.body]
        return {body["method"]: body for body in bodies}

    @property
    def origin(self):
        return self.scripted.url.removesuffix("/mcp")

    async def play(self, stream):
        seen = self.scripted.seen[-1]
        message = msgspec.json.decode(seen.body) if seen.body else {}
        names = (message.get("method"), f"{seen.method} {seen.target}", seen.method)
        given = [self.answers[name] for name in names if name in self.answers]
        answer = given[0] if given else self.usual(seen, message)
        if callable(answer):
            answer = await answer(stream) if iscoroutinefunction(answer) else answer(message)
        if answer:
            await stream.send_all(answer)

    def usual(self, seen, message):
        if not seen.target.startswith("/mcp"):
            return reply("404 Not Found", b"{}")
        if seen.method != "POST":
            return reply("405 Method Not Allowed")
        if message["method"] == "initialize":
            return reply("200 OK", result(HELLO), mcp_session_id="s")
        if "id" not in message:
            return reply("202 Accepted")
        return reply("200 OK", refusal(-32601, "Method not found"))


def result(value, request_id=0):
    return msgspec.json.encode({"jsonrpc": "2.0", "id": request_id, "result": value})


def refusal(code, message):
    error = {"code": code, "message": message}
    return msgspec.json.encode({"jsonrpc": "2.0", "id": 0, "error": error})


def answering(value):
    """Answers with this result, whatever the id."""
    return lambda message: reply("200 OK", result(value, message["id"]))


def hello(**changed):
    """An answer to ``initialize``, with members changed; None takes one away."""
    told = {**HELLO, **changed}
    return reply("200 OK", result({k: v for k, v in told.items() if v is not None}))


def document(**members):
    return reply("200 OK", msgspec.json.encode(members))
