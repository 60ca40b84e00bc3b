"""The connection sequence of the founding requirement, on a real process."""

import pytest

from tests.end_to_end.daemon import Daemon
from tests.in_process import BOTH

pytestmark = pytest.mark.slow


async def test_the_five_steps_of_the_founding_sequence_work(tmp_path):
    with Daemon(tmp_path / "state", "--port", "0") as daemon:
        anyone = await daemon.connect()
        info = {"name": "Claude Desktop", "version": "1.0.0"}
        registered = await anyone.request("POST", "/register", json={"client_info": info})
        session_id = registered.json()["session_id"]
        assert registered.json()["endpoints"]["mcp"] == f"http://localhost:{daemon.port}/mcp/"

        client = await daemon.connect(token=daemon.token())
        params = {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": info}
        session = [BOTH, ("mcp-session-id", session_id)]
        message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
        hello = await client.request("POST", "/mcp/", json=message, headers=session)
        assert hello.json()["result"]["protocolVersion"] == "2024-11-05"
        assert hello.headers["mcp-session-id"] == session_id

        message = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        assert (await client.request("POST", "/mcp/", json=message, headers=session)).status == 202

        message = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
        listed = await client.request("POST", "/mcp/", json=message, headers=session)
        assert [t["name"] for t in listed.json()["result"]["tools"]] == ["manage_task"]

        call = {"name": "manage_task", "arguments": {"action": "list"}}
        message = {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": call}
        tasks = await client.request("POST", "/mcp/", json=message, headers=session)
        assert tasks.json()["result"]["content"][0]["text"].startswith('{"action":"list"')
        for peer in (anyone, client):
            await peer.stream.aclose()
        assert daemon.stop() == 0
