"""What the doctor makes of answers: late ones, and ones that no client can read.

That the clients refuse these was seen with the official SDKs for Python (2.3) and TypeScript (1.32,
2.4).
"""

import msgspec
import pytest
import trio

from mcpd.doctor.facts import Facts
from mcpd.doctor.finding import ALL, BRIDGE, CLAUDE, CLAUDE_CODE, OF_TYPESCRIPT, VSCODE
from mcpd.doctor.findings import find
from mcpd.doctor.prober import Prober
from mcpd.doctor.seen import Seen
from mcpd.http.client import HttpClient
from mcpd.http.origin import resolve_origin
from tests.doctor.other_server import HELLO, Other, answering, hello, refusal, result
from tests.doctor.test_findings import failing, texts
from tests.scripted_server import chunk, reply, stream_head

END = b"0\r\n\r\n"
LATER_S = 1.0  # more than a client that looks at the head alone would give
TOOL = {"name": "t", "inputSchema": {"type": "object"}}
STRICT = set(ALL) - {CLAUDE, VSCODE}


def event(data):
    return chunk(b"data: %b\n\n" % data)


def late(*bodies):
    async def send(stream):
        await stream.send_all(stream_head())
        await trio.sleep(LATER_S)
        await stream.send_all(b"".join(event(body) for body in bodies) + END)

    return send


def offering(*pages, **changed):
    """A server whose tools/list has these results, by cursor."""

    def page(message):
        number = int(message["params"].get("cursor", 0))
        return reply("200 OK", result(pages[min(number, len(pages) - 1)], message["id"]))

    return Other({"initialize": hello(capabilities={"tools": {}}, **changed), "tools/list": page})


async def test_an_answer_that_comes_long_after_its_head_is_waited_for(seen_of):
    """Gateways to children on stdio send the head at once, and the answer when the child is up."""
    notice = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info"}}
    told = {**HELLO, "capabilities": {"tools": {}}}
    answers = {
        "initialize": late(msgspec.json.encode(notice), result(told)),
        "tools/list": late(result({"tools": [TOOL]}, 2)),
        "server/discover": late(refusal(-32601, "no")),
    }
    facts, findings = await seen_of(Other(answers))
    assert facts.version == "2025-11-25"
    assert failing(findings) == set()
    assert not any(finding.limited for finding in findings)


async def test_a_stream_that_ends_before_the_answer_is_taken_up_again(seen_of):
    """A server may close it behind an event id, and let its client come back."""
    begun = reply("200 OK", b"retry: 1\nid: 7\ndata:\n\n", kind="text/event-stream",
                  mcp_session_id="s")  # fmt: skip

    async def rest(stream):
        sent = server.scripted.seen[-1].headers
        told = (sent.get("last-event-id"), sent.get("mcp-session-id"))
        answer = stream_head() + event(result(HELLO)) + END
        await stream.send_all(answer if told == ("7", "s") else reply("405 Method Not Allowed"))

    server = Other({"initialize": begun, "GET /mcp": rest})
    facts, findings = await seen_of(server)
    assert facts.version == "2025-11-25"
    assert failing(findings) == set()


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (stream_head(), "no answer came in it within 0.2 s"),
        (stream_head() + END, "the event stream ended without an answer"),
        (b"", "no answer within 0.2 s"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{", "did not end within 0.2 s"),
    ],
)
async def test_the_wait_has_an_end_and_says_what_is_missing(nursery, script, told):
    async def play(stream):
        await stream.send_all(script)
        await trio.sleep_forever()

    server = Other({"initialize": play})
    await nursery.start(server.scripted.run)
    origin, target = resolve_origin(server.scripted.url)
    async with HttpClient(origin) as client:
        seen = await Prober(client).post(target, {"id": 1, "method": "initialize"}, [], limit_s=0.2)
    assert told in seen.error


@pytest.mark.parametrize(("seconds", "fail"), [(4.0, set()), (20.0, set()), (40.0, {CLAUDE_CODE})])
def test_a_slow_start_is_a_limit_for_those_who_give_up(seconds, fail):
    seen = Seen(200, {"content-type": "application/json"}, result(HELLO).decode(), seconds=seconds,
                request_id=0)  # fmt: skip
    findings = find(Facts("https://h.example/mcp", False, seen), 0.0)
    assert failing(findings) == fail
    assert (f"initialize took {seconds} s" in texts(findings)) is (seconds > 5)
    assert not any(finding.limited for finding in findings)


async def test_an_answer_that_does_not_come_is_no_server_that_does_not_answer(seen_of):
    _, findings = await seen_of(Other(initialize=stream_head() + END))
    assert "answered 200, and not to its end: the event stream ended" in texts(findings)


@pytest.mark.parametrize(
    ("answer", "told", "fail"),
    [
        (reply("200 OK", result(HELLO), kind="text/plain"), "the content type is text/plain",
         STRICT - {BRIDGE}),
        (reply("200 OK", result(HELLO, None)), "the id of the answer is null", STRICT | {VSCODE}),
        (reply("200 OK", result(HELLO, 77)), "the id of the answer is another", STRICT | {VSCODE}),
        (reply("200 OK", result(HELLO, "0")), "the id of the answer is a string", {VSCODE}),
        (reply("200 OK", msgspec.json.encode({"id": 0, "result": HELLO})), '"jsonrpc": "2.0"',
         STRICT),
        (hello(serverInfo=None), "result.serverInfo is missing", STRICT),
        (hello(serverInfo={"name": "x"}), "serverInfo.version is missing", STRICT),
        (hello(capabilities=None), "result.capabilities is missing", STRICT),
        (hello(instructions=5), "result.instructions is not a string", STRICT),
        (reply("200 OK", result({**HELLO, "instructions": None})),
         "instructions is null, and may only be left out", set(OF_TYPESCRIPT)),
        (hello(protocolVersion="2023-01-01"), "initialize: agrees on 2023-01-01", STRICT),
        (hello(protocolVersion="2026-07-28"), "2026-07-28 has no initialize", STRICT),
    ],
)  # fmt: skip
async def test_an_initialize_that_clients_refuse(seen_of, answer, told, fail):
    _, findings = await seen_of(Other(initialize=answer))
    assert told in texts(findings)
    assert failing(findings) == fail


async def test_a_fault_in_an_event_stream_is_found_as_well(seen_of):
    broken = stream_head() + event(result({**HELLO, "instructions": 5})) + END
    _, findings = await seen_of(Other(initialize=broken))
    assert failing(findings) == STRICT


@pytest.mark.parametrize(
    ("tool", "told", "fail"),
    [
        ({"name": "t"}, "inputSchema is missing", STRICT),
        ({"name": "t", "inputSchema": {}}, 'inputSchema.type is not "object"', STRICT),
        ({"inputSchema": {"type": "object"}}, "tools[].name is missing", STRICT),
        ({**TOOL, "description": 5}, "description is not a string", STRICT),
        ({**TOOL, "description": None}, "description is null", set(OF_TYPESCRIPT)),
        (TOOL, "", set()),
    ],
)
async def test_a_tool_that_clients_refuse_takes_the_list_with_it(seen_of, tool, told, fail):
    _, findings = await seen_of(offering({"tools": [TOOL, tool]}))
    assert told in texts(findings)
    assert failing(findings) == fail


async def test_one_page_more_is_read(seen_of):
    pages = {"tools": [TOOL], "nextCursor": "1"}, {"tools": [{"name": "t"}]}
    facts, findings = await seen_of(offering(*pages))
    assert len(facts.lists["tools/list"]) == 2
    assert "page 2 of tools/list: result.tools[].inputSchema is missing" in texts(findings)
    assert failing(findings) == STRICT


async def test_a_cursor_that_leads_to_itself_is_told(seen_of):
    server = offering({"tools": [TOOL], "nextCursor": "1"})
    _, findings = await seen_of(server)
    assert "that clients that read all never end" in texts(findings)


async def test_lists_that_are_promised_and_not_answered(seen_of):
    server = Other(initialize=hello(capabilities={"tools": {}, "prompts": {}}))
    _, findings = await seen_of(server)
    assert "not answered, though the capability is there" in texts(findings)
    assert failing(findings) == set(ALL) - {CLAUDE}
    assert "tools/list, prompts/list: " in texts(findings)  # once for both


async def test_a_list_that_is_not_of_tools_takes_less_with_it(seen_of):
    prompts = answering({"prompts": [{"title": "no name"}]})
    server = Other({"initialize": hello(capabilities={"prompts": {}}), "prompts/list": prompts})
    _, findings = await seen_of(server)
    (one,) = [finding for finding in findings if "prompts[].name is missing" in finding.text]
    assert not one.fails
    assert set(one.limited) == set(STRICT) | {CLAUDE}


async def test_what_is_not_promised_is_not_asked_for_and_nothing_is_called(seen_of):
    server = offering({"tools": [TOOL]})
    await seen_of(server)
    assert "resources/list" not in server.sent
    read_only = {"initialize", "notifications/initialized", "tools/list", "server/discover", "ping"}
    assert set(server.sent) <= read_only


async def test_the_lists_of_a_server_of_the_modern_era_alone(seen_of):
    offers = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}
    answers = {
        "initialize": reply("400 Bad Request", refusal(-32022, "Unsupported")),
        "server/discover": answering(offers),
        "tools/list": answering({"tools": [{"name": "t"}]}),
    }
    _, findings = await seen_of(Other(answers))
    assert "tools/list: result.tools[].inputSchema is missing" in texts(findings)
