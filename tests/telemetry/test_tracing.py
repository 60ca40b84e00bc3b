"""Traces: carried into logs, to tools and to what they call; spans by OpenTelemetry."""

import subprocess
import sys

import pytest
import trio
from opentelemetry import trace as otel
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from mcpd import App, Context, current_trace
from mcpd.events import CallServed
from mcpd.telemetry.tracing import Tracing
from mcpd.trace_context import TraceContext, read_trace
from tests.in_process import META, HandshakeClient, modern, modern_headers, serving

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    ("parent", "trace"),
    [
        (PARENT, TRACE),
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", TRACE),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (PARENT.upper(), None),
        ("", None),
        (None, None),
        (7, None),
        ([PARENT], None),
    ],
)
def test_only_what_is_well_formed_is_a_trace(parent, trace):
    found = read_trace(parent)
    assert (None if found is None else found.trace_id) == trace


def test_what_is_sent_on_names_another_span_of_the_same_trace():
    context = read_trace(PARENT, "a=1,b=2", "user=x")
    carried = context.child().carried()
    assert carried["tracestate"] == "a=1,b=2"
    assert carried["baggage"] == "user=x"
    assert carried["traceparent"].startswith(f"00-{TRACE}-")
    assert SPAN not in carried["traceparent"]
    assert read_trace(PARENT, "x" * 600, "bad\nvalue") == TraceContext(TRACE, SPAN, "01")


def an_app():
    app = App("traced")

    @app.tool
    async def told(ctx: Context) -> dict[str, str]:
        return dict(ctx.trace)

    @app.tool
    def in_a_thread() -> dict[str, str]:
        return current_trace()

    @app.tool
    async def nested() -> str:
        with otel.get_tracer("author").start_as_current_span("below"):
            await trio.lowlevel.checkpoint()
        raise ValueError("no")

    return app


async def call(peer, name, *, meta=None, header=None):
    params = {"name": name, "arguments": {}, "_meta": {**META, **(meta or {})}}
    message = {"jsonrpc": "2.0", "id": "r1", "method": "tools/call", "params": params}
    headers = modern_headers("tools/call", name)
    if header:
        headers.append(("traceparent", header))
    reply = await peer.request("POST", "/mcp/", json=message, headers=headers)
    return reply.json()["result"].get("structuredContent", {})


async def test_a_trace_reaches_tools_by_meta_or_by_header(tmp_path):
    async with serving(tmp_path, [an_app()]) as served:
        heard = []
        served.server.runtime.observer.listen(CallServed, heard.append)
        peer, other = served.user(), PARENT.replace("4bf", "abc")
        assert await call(peer, "told") == {}
        by_meta = await call(peer, "told", meta={"traceparent": PARENT, "baggage": "a=b"})
        assert by_meta["traceparent"].startswith(f"00-{TRACE}-")
        assert by_meta["baggage"] == "a=b"
        by_header = await call(peer, "in_a_thread", header=PARENT)
        assert by_header["traceparent"].startswith(f"00-{TRACE}-")
        both = await call(peer, "told", meta={"traceparent": PARENT}, header=other)
        assert both["traceparent"].startswith(f"00-{TRACE}-")
        assert await call(peer, "told", meta={"traceparent": "nonsense"}) == {}
        assert [one.activity.trace for one in heard] == ["", TRACE, TRACE, TRACE, ""]


@pytest.fixture
def spans():
    return InMemorySpanExporter()


async def test_each_call_is_a_span_below_its_parent_with_the_authors_below_it(
    tmp_path, spans, monkeypatch
):
    tracing = Tracing(("traced", "1"), spans)
    monkeypatch.setattr(otel, "get_tracer", lambda name: tracing._provider.get_tracer(name))
    async with serving(tmp_path, [an_app()]) as served:
        tracing.listen(served.server.runtime.observer)
        told = await call(served.user(), "told", meta={"traceparent": PARENT})
        await call(served.user(), "nested", meta={"traceparent": PARENT})
        client = HandshakeClient(served.user())
        await client.open()
        await client.call("tools/call", {"name": "told", "arguments": {}})
        await modern(served.user(), "tools/call", {"name": "none of that name"})
    await trio.to_thread.run_sync(tracing.close)
    found = {(span.name, span.kind.name): span for span in spans.get_finished_spans()}
    first = next(s for s in spans.get_finished_spans() if s.name == "tools/call told")
    assert f"{first.context.trace_id:032x}" == TRACE
    assert f"{first.parent.span_id:016x}" == SPAN
    assert first.attributes["gen_ai.tool.name"] == "told"
    assert first.attributes["jsonrpc.request.id"] == "r1"
    assert first.attributes["mcp.client.name"] == "test 1"
    assert told["traceparent"].startswith(f"00-{TRACE}-")
    failed, below = found["tools/call nested", "SERVER"], found["below", "INTERNAL"]
    assert below.parent.span_id == failed.context.span_id
    assert failed.attributes["error.type"] == "tool_error"
    assert not failed.status.is_ok
    unknown = next(s for s in found.values() if s.attributes.get("error.type") == "-32602")
    assert unknown.name == "tools/call"
    in_session = [s for s in spans.get_finished_spans() if "mcp.session.id" in s.attributes]
    assert in_session[0].attributes["mcp.protocol.version"] == "2025-11-25"


def test_nothing_of_the_extras_is_imported_without_their_settings():
    code = (
        "import sys, mcpd.server.daemon, mcpd.cli.serve;"
        "print([m for m in sys.modules if m.partition('.')[0] in"
        " ('opentelemetry', 'prometheus_client', 'requests', 'coredis')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
