"""Spans of calls, by OpenTelemetry's SDK: the extra ``traces``. Nothing of it is imported without
the setting of that name.

A span is current while its call runs, in the task and the thread of the author's function, so
spans of libraries that it uses are below it. Where spans go is OpenTelemetry's own business:
``OTEL_EXPORTER_OTLP_ENDPOINT`` and its other variables.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from mcpd.errors import ConfigError
from mcpd.events import CallBegan, CallServed
from mcpd.observer import Observer
from mcpd.trace_context import TraceContext

NAME = "mcpd"
FLUSH_MS = 1500  # for the last spans, when the server stops


class _Kept(NamedTuple):
    """What is kept of a span with its activity."""

    span: Any
    token: Any


class Tracing:
    """Makes a span of each call.

    Args:
        service: the name and the version of the server.
        exporter: in the place of OTLP's.

    Raises:
        ConfigError: the extra is not installed.
    """

    def __init__(self, service: tuple[str, str], exporter: Any = None) -> None:
        try:
            from opentelemetry import context, propagate, trace
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor

            exporter = _otlp() if exporter is None else exporter
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"Traces need the extra traces, which is not installed: there is no {error.name}.",
                fix="pip install 'mcpd-server[traces]', or in a clone: pip install '.[traces]'",
            ) from error
        name, version = service
        resource = Resource.create({"service.name": name, "service.version": version})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer(NAME, version)
        self._trace, self._context, self._propagate = trace, context, propagate

    def listen(self, observer: Observer) -> None:
        """Trace from here on."""
        observer.listen(CallBegan, self.began)
        observer.listen(CallServed, self.served)

    def began(self, began: CallBegan) -> None:
        """A span, current from here on in this task."""
        activity = began.activity
        parent = None
        if activity.context is not None:
            parent = self._propagate.extract(activity.context.carried())
        span = self._tracer.start_span(
            f"{began.method} {began.target}".strip() if _is_named(began) else began.method,
            parent,
            kind=self._trace.SpanKind.SERVER,
            attributes=_attributes(began),
        )
        token = self._context.attach(self._trace.set_span_in_context(span, parent))
        activity.span = _Kept(span, token)
        activity.context = _place_of(span, activity.context)

    def served(self, served: CallServed) -> None:
        """The end of the span, if it began in this task."""
        kept = served.activity.span
        if kept is None:
            return
        served.activity.span = None
        self._context.detach(kept.token)
        error = served.error_type
        if error:
            kept.span.set_attribute("error.type", error)
            if served.code:
                kept.span.set_attribute("rpc.response.status_code", str(served.code))
            kept.span.set_status(self._trace.StatusCode.ERROR)
        if served.client:
            kept.span.set_attribute("mcp.client.name", served.client)
        kept.span.end()

    def close(self) -> None:
        """Send the last spans, within FLUSH_MS; blocks."""
        self._provider.force_flush(FLUSH_MS)
        self._provider.shutdown()


def check_tracing() -> None:
    """Whether calls can be traced.

    Raises:
        ConfigError: the extra is not installed.
    """
    Tracing(("mcpd", ""), exporter=None).close()


def _otlp() -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    exporter: Callable[[], Any] = OTLPSpanExporter
    return exporter()


def _is_named(began: CallBegan) -> bool:
    """A URI is never in the name of a span: there are too many."""
    return began.method in ("tools/call", "prompts/get")


def _attributes(began: CallBegan) -> dict[str, str]:
    """OpenTelemetry, "Semantic conventions for MCP"."""
    found = {
        "mcp.method.name": began.method,
        "mcp.protocol.version": began.revision,
        "jsonrpc.request.id": began.request_id.decode("utf-8", "replace").strip('"')[:128],
    }
    if began.session:
        found["mcp.session.id"] = began.session
    if began.target and began.method == "tools/call":
        found |= {"gen_ai.tool.name": began.target, "gen_ai.operation.name": "execute_tool"}
    elif began.target and began.method == "prompts/get":
        found["gen_ai.prompt.name"] = began.target
    return found


def _place_of(span: Any, before: TraceContext | None) -> TraceContext:
    """The span as what is sent on names it."""
    place = span.get_span_context()
    return TraceContext(
        f"{place.trace_id:032x}",
        f"{place.span_id:016x}",
        f"{int(place.trace_flags):02x}",
        "" if before is None else before.state,
        "" if before is None else before.baggage,
    )
