"""What is another one the next time: moments and ids in what a server says."""

import msgspec
import pytest

from mcpd.replay.matching import Bindings, Unbound, differences
from mcpd.replay.recorder import Observation
from mcpd.replay.transcript_writer import compose

NOW = 1_790_000_000.0
ID, OTHER = "3f2a9c1e-1111-4222-8333-94b5a6c7d8e9", "00000000-aaaa-4bbb-8ccc-dddddddddddd"


def recorded(*bodies, now=NOW):
    """The bodies of a transcript of requests and their answers, in turn."""
    seen = []
    for place, body in enumerate(bodies):
        kind = "response" if place % 2 else "request"
        more = {"status": 200} if place % 2 else {"method": "POST", "target": "/mcp/"}
        data = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, **body})
        seen.append(Observation(kind, place // 2 + 1, float(place), body=data, **more))
    return [e.body for e in compose(seen, {}, secrets=[], base="http://x", now=now).entries]


def text(said):
    return {"result": {"content": [{"type": "text", "text": said}]}}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("2026-11-27T09:34:00Z", "2026-11-27T09:34:01Z"),
        ("It is 2026-11-27T09:34:00.123456+00:00 now.", "It is 2026-11-27T09:34:01.9+00:00 now."),
        ("It is 2026-11-27 09:34:00", "It is 2026-11-27 09:34:01"),
        ("2026-11-27T09:34:00.123456", "2026-11-27T09:34:01"),
        ("Fri, 27 Nov 2026 09:34:00 GMT", "Fri, 27 Nov 2026 09:34:01 GMT"),
        ("Fri Nov 27 09:34:00 2026", "Fri Nov 27 09:34:01 2026"),
        ("at 09:34:00 PM, that is", "at 09:34:01 PM, that is"),
        (f"since {NOW:.0f} and {NOW:.3f}", f"since {NOW + 1:.0f} and {NOW + 1.5:.3f}"),
        (f"{NOW * 1000:.0f} ms", f"{NOW * 1000 + 1000:.0f} ms"),
        (f"made {ID}.", f"made {OTHER}."),
        (f"{ID} and {ID}", f"{OTHER} and {OTHER}"),
        ("id 0123456789abcdef0123456789abcdef", "id ffffffffffffffffffffffffffffffff"),
        ('{"at": "2026-11-27T09:34:00Z"}', '{"at": "2026-11-27T09:34:01Z"}'),
        (f"<{ID}> at 09:34:00", f"<{OTHER}> at 09:34:01"),
    ],
)
def test_a_recording_of_a_clock_passes_a_second_later(first, second):
    _, expected = recorded({"method": "tools/call"}, text(first))
    answer = {"jsonrpc": "2.0", "id": 1, **text(second)}
    assert differences(expected, answer, Bindings()) == []
    assert differences(expected, {"jsonrpc": "2.0", "id": 1, **text("else")}, Bindings())


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (f"{ID} and {ID}", f"{OTHER} and {ID}"),
        (f"made {ID}.", "made nothing."),
        (f"made {ID}.", f"made {OTHER}, twice."),
        ("at 09:34:00", "at noon"),
        ("1234567890 items", "1234567891 items"),  # far from the recording: no clock's
        ("version 2025-11-25", "version 2026-07-28"),
        ("10 of 20", "11 of 20"),
    ],
)
def test_everything_else_in_a_text_still_counts(first, second):
    _, expected = recorded({"method": "tools/call"}, text(first))
    assert differences(expected, {"jsonrpc": "2.0", "id": 1, **text(second)}, Bindings())


def test_numbers_and_members_that_vary():
    first = {"now": NOW, "ms": NOW * 1000, "n": 5, ID: {"x": 1}}
    result = {"content": [], "structuredContent": first}
    _, expected = recorded({"method": "tools/call"}, {"result": result})
    later = {"now": NOW + 1, "ms": NOW * 1000 + 1000, "n": 5, OTHER: {"x": 1}}
    result = {"content": [], "structuredContent": later}
    answer = {"jsonrpc": "2.0", "id": 1, "result": result}
    assert differences(expected, answer, Bindings()) == []
    later["n"] = 6
    assert differences(expected, answer, Bindings())


def test_an_id_that_the_server_made_up_is_sent_back():
    call = {
        "method": "tools/call",
        "params": {"name": "x", "arguments": {"job": ID, "s": f"a {ID}"}},
    }
    bodies = recorded(
        {"method": "tools/call"}, text(f"job {ID} has begun"), call, text(f"{ID}: ok")
    )
    bindings = Bindings()
    answer = {"jsonrpc": "2.0", "id": 1, **text(f"job {OTHER} has begun")}
    with pytest.raises(Unbound):
        bindings.fill(bodies[2])
    assert differences(bodies[1], answer, bindings) == []
    sent = bindings.fill(bodies[2])["params"]["arguments"]
    assert sent == {"job": OTHER, "s": f"a {OTHER}"}
    assert differences(bodies[3], {**answer, **text(f"{ID}: ok")}, bindings)
    assert differences(bodies[3], {**answer, **text(f"{OTHER}: ok")}, bindings) == []


def test_what_the_client_says_is_sent_as_it_said_it():
    arguments = {"id": ID, "at": "2026-11-27T09:34:00Z", "text": f"{ID} at 09:34:00"}
    call = {"method": "tools/call", "params": {"name": "x", "arguments": arguments}}
    sent, expected = recorded(call, text(f"echo {ID}"))
    assert Bindings().fill(sent)["params"]["arguments"] == arguments
    assert expected["result"]["content"][0]["text"] == f"echo {ID}"


def test_a_long_text_with_many_placeholders_costs_its_length_alone():
    _, expected = recorded({"method": "tools/call"}, text("password=hunter2hunter2 " * 500))
    hostile = text("password=" * 200_000)
    assert differences(expected, {"jsonrpc": "2.0", "id": 1, **hostile}, Bindings())
