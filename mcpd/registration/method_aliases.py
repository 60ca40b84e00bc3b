"""/mcp/initialize and /mcp/tools/list: the same as posting that method to /mcp/.

A registration names them for clients that know HTTP and little else. Each takes a whole
JSON-RPC message, or just the params, or nothing; GET lists tools with no body at all.
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from mcpd.errors import InvalidRequest, ParseError
from mcpd.http.messages import Answer, Request
from mcpd.mcp.envelope.headers import says_who
from mcpd.mcp.transports.streamable_http import StreamableHttp
from mcpd.rpc.json_limits import check_shape

WITHOUT_SESSION = ("tools/list",)  # they need to know nothing of their client


@dataclass(frozen=True, slots=True)
class MethodAlias:
    """One method at a path of its own."""

    transport: StreamableHttp
    method: str

    async def serve(self, request: Request) -> Answer:
        """Complete the body to a message and take it as if it was posted to /mcp/. A request that
        names neither a session nor a revision is answered in our newest handshake revision.
        """
        if self.method in WITHOUT_SESSION and not says_who(request.headers):
            return await self.transport.serve_bare(request, self.make_message)
        return await self.transport.post(request, self.make_message)

    def make_message(self, body: bytes) -> bytes:
        """A JSON-RPC message of our method around whatever was sent.

        Raises:
            ParseError: not JSON.
            InvalidRequest: another method, or no object.
        """
        members = _read(body)
        if "jsonrpc" in members:
            if members.get("method") != self.method:
                raise InvalidRequest(
                    f"This path is for {self.method}.", fix="Post other methods to /mcp/."
                )
            return body
        call = {"jsonrpc": "2.0", "id": 1, "method": self.method, "params": members}
        return msgspec.json.encode(call)


def _read(body: bytes) -> dict[str, Any]:
    if not body.strip():
        return {}
    check_shape(body)
    try:
        members = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise ParseError(f"The body is not JSON: {error}.") from error
    if not isinstance(members, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return members
