"""What this server says of itself to clients. Pure."""

from dataclasses import dataclass
from typing import Any

from mcpd.http.messages import Request
from mcpd.mcp.catalog.catalog import Catalog
from mcpd.mcp.revisions import NEWEST_HANDSHAKE, VERSION_NAMES

TOKEN_HINT = "Make a token with: mcpd token create --sub YOUR_NAME"


@dataclass(frozen=True, slots=True)
class Description:
    """The running server in public terms."""

    name: str
    version: str
    public_url: str | None
    auth_required: bool
    catalog: Catalog

    def base(self, request: Request) -> str:
        """Where clients reach us: as configured, else as this request did."""
        if self.public_url:
            return self.public_url.rstrip("/")
        return f"{request.peer.scheme}://{request.public_host or 'localhost'}"

    def server(self) -> dict[str, Any]:
        """The member ``server`` of a registration."""
        return {
            "name": self.name,
            "version": self.version,
            "protocol_version": NEWEST_HANDSHAKE.name,
            "protocol_versions": VERSION_NAMES,
        }

    def endpoints(self, request: Request) -> dict[str, str]:
        """The member ``endpoints`` of a registration."""
        base = self.base(request)
        return {
            "mcp": f"{base}/mcp/",
            "initialize": f"{base}/mcp/initialize",
            "tools": f"{base}/mcp/tools/list",
            "health": f"{base}/health",
        }

    def authentication(self) -> dict[str, Any]:
        """The member ``authentication`` of a registration."""
        return {
            "required": self.auth_required,
            "type": "Bearer",
            "header": "Authorization",
            "format": "Bearer YOUR_JWT_TOKEN_HERE",
        }

    def features(self) -> dict[str, bool]:
        """The member ``capabilities`` of a registration: what works here, now."""
        there = self.catalog.capabilities
        features = {name: name in there for name in ("tools", "resources", "prompts")}
        return {**features, "logging": "logging" in there, "progress": True}

    def instructions(self) -> dict[str, str]:
        """The member ``instructions`` of a registration."""
        return {
            "next_step": "POST initialize to the mcp endpoint with the header Mcp-Session-Id set"
            " to session_id; or speak 2026-07-28, which needs neither.",
            "authentication": f"Send Authorization: Bearer TOKEN. {TOKEN_HINT}"
            if self.auth_required
            else "None is needed: this server runs with authentication off.",
            "protocol": "MCP over Streamable HTTP; see https://modelcontextprotocol.io",
        }

    def client_configuration(self, request: Request) -> dict[str, Any]:
        """What a client of type http is configured with."""
        headers = {"Accept": "application/json, text/event-stream"}
        if self.auth_required:
            headers["Authorization"] = "Bearer YOUR_JWT_TOKEN_HERE"
        return {"type": "http", "url": f"{self.base(request)}/mcp/", "headers": headers}
