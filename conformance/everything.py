"""The fixture of the conformance suites: every feature of MCP once, on mcpd's public API alone.

mcpd serve --app conformance/everything.py:app --auth none
"""

import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any

import trio
from msgspec import Meta

from mcpd import (
    App,
    Audio,
    Content,
    Context,
    Elicit,
    EmbeddedResource,
    Image,
    ListRoots,
    Message,
    ResourceContents,
    Sample,
    Text,
    ToolError,
)
from mcpd.errors import InvalidParams

RED_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
)
SILENCE = base64.b64decode("UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=")
PAUSE_S = 0.05


@asynccontextmanager
async def lifespan(app: App) -> AsyncIterator[dict[str, str]]:
    """``ctx.state``: what became of the slow calls, by their key."""
    yield {}


app = App(
    "everything",
    version="1.0.0",
    title="Everything",
    instructions="A server with one of everything, for conformance tests.",
    lifespan=lifespan,
)

# --- tools: content --------------------------------------------------------------------------


@app.tool
async def test_simple_text() -> str:
    """Return a text."""
    return "This is a simple text response for testing."


@app.tool
async def test_image_content() -> Image:
    """Return an image."""
    return Image.of(RED_PIXEL, "image/png")


@app.tool
async def test_audio_content() -> Audio:
    """Return sound."""
    return Audio.of(SILENCE, "audio/wav")


def embedded(uri: str, mime_type: str, text: str) -> EmbeddedResource:
    return EmbeddedResource(resource=ResourceContents(uri, mime_type, text=text))


@app.tool
async def test_embedded_resource() -> EmbeddedResource:
    """Return a resource, contents and all."""
    text = "This is an embedded resource content."
    return embedded("test://embedded-resource", "text/plain", text)


@app.tool
async def test_multiple_content_types() -> list[Content]:
    """Return a text, an image and a resource."""
    return [
        Text("Multiple content types test:"),
        Image.of(RED_PIXEL, "image/png"),
        embedded(
            "test://mixed-content-resource", "application/json", '{"test":"data","value":123}'
        ),
    ]


@app.tool
async def test_error_handling() -> str:
    """Fail."""
    raise ToolError("This tool intentionally returns an error for testing")


@app.tool
async def test_structured(a: int, b: int = 2) -> dict[str, int]:
    """Return structured content."""
    return {"sum": a + b}


# --- tools: progress, logs, time -------------------------------------------------------------


@app.tool
async def test_tool_with_logging(ctx: Context) -> str:
    """Send three log messages."""
    for said in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.info(said)
        await trio.sleep(PAUSE_S)
    return "Logged."


@app.tool
async def test_logging_tool(ctx: Context) -> str:
    """Send a log message, if the request wants any."""
    await ctx.info("Diagnostic trace")
    return "Logging evaluated"


@app.tool
async def test_tool_with_progress(ctx: Context) -> str:
    """Report progress: 0, 50, 100."""
    for progress in (0, 50, 100):
        await ctx.report_progress(progress, 100, f"{progress} of 100")
        await trio.sleep(PAUSE_S)
    return "Progressed."


@app.tool
async def test_reconnection(ctx: Context) -> str:
    """Let the client's connection go in the middle of the call."""
    await ctx.close_stream(retry_after_s=0.5)
    await trio.sleep(2 * PAUSE_S)
    return "Reconnection test completed successfully."


@app.tool
async def test_slow(seconds: float, key: str, ctx: Context) -> str:
    """Sleep, reporting progress; test_slow_status tells what became of it."""
    ctx.state[key] = "running"
    try:
        async with ctx.progress(total=seconds) as step:
            left = seconds
            while left > 0:
                await trio.sleep(min(PAUSE_S, left))
                await step(steps=min(PAUSE_S, left))
                left -= PAUSE_S
    except trio.Cancelled:
        ctx.state[key] = "cancelled"
        raise
    ctx.state[key] = "done"
    return f"slept {seconds:g} s"


@app.tool
async def test_slow_status(key: str, ctx: Context) -> str:
    """What became of test_slow: running, done or cancelled."""
    return str(ctx.state.get(key, "unknown"))


# --- tools: schemas --------------------------------------------------------------------------

ADDRESS = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


@app.tool(input_schema=ADDRESS)
async def json_schema_2020_12_tool(
    name: str = "",
    address: dict[str, Any] | None = None,
    contactMethod: str = "",
    phone: str = "",
    email: str = "",
) -> str:
    """A schema of its own, passed through unharmed."""
    return f"called with {name!r}"


@app.tool
async def test_header_mirror(
    region: Annotated[str, Meta(extra_json_schema={"x-mcp-header": "Region"})],
    query: str = "",
) -> str:
    """A parameter that 2026-07-28 mirrors into a header."""
    return f"{query} in {region}"


@app.tool
async def test_x_mcp_header(
    region: Annotated[str, Meta(extra_json_schema={"x-mcp-header": "Region"})] = "",
    priority: Annotated[int, Meta(extra_json_schema={"x-mcp-header": "Priority"})] = 0,
    verbose: Annotated[bool, Meta(extra_json_schema={"x-mcp-header": "Verbose"})] = False,
) -> str:
    """Mirrored parameters of every kind, none required."""
    return f"{region} {priority} {verbose}"


# --- tools: asking the client ----------------------------------------------------------------


def form(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


NAME = form(name={"type": "string"})
OK = form(ok={"type": "boolean"})


@app.tool
async def test_sampling(prompt: str, ctx: Context) -> str:
    """Ask the client's model."""
    return f"LLM response: {(await ctx.sample(prompt, max_tokens=100)).text}"


@app.tool
async def test_elicitation(message: str, ctx: Context) -> str:
    """Ask the user."""
    schema = form(
        username={"type": "string", "description": "User's response"},
        email={"type": "string", "description": "User's email address"},
    )
    answer = await ctx.elicit(message, schema)
    return f"User response: action={answer.action}, content={answer.content}"


DEFAULTS = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "description": "User name", "default": "John Doe"},
        "age": {"type": "integer", "description": "User age", "default": 30},
        "score": {"type": "number", "description": "User score", "default": 95.5},
        "status": {
            "type": "string",
            "description": "User status",
            "enum": ["active", "inactive", "pending"],
            "default": "active",
        },
        "verified": {"type": "boolean", "description": "Verification status", "default": True},
    },
    "required": [],
}


@app.tool
async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
    """Ask with a default for every kind of field."""
    answer = await ctx.elicit("Please review and update the form fields with defaults", DEFAULTS)
    return f"Elicitation completed: action={answer.action}, content={answer.content}"


def titled(*names: str) -> list[dict[str, str]]:
    return [{"const": f"value{n}", "title": name} for n, name in enumerate(names, 1)]


CHOICES = {
    "type": "object",
    "properties": {
        "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
        "titledSingle": {
            "type": "string",
            "oneOf": titled("First Option", "Second Option", "Third Option"),
        },
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {
            "type": "array",
            "minItems": 1,
            "maxItems": 3,
            "items": {"type": "string", "enum": ["option1", "option2", "option3"]},
        },
        "titledMulti": {
            "type": "array",
            "minItems": 1,
            "maxItems": 3,
            "items": {"anyOf": titled("First Choice", "Second Choice", "Third Choice")},
        },
    },
    "required": [],
}


@app.tool
async def test_elicitation_sep1330_enums(ctx: Context) -> str:
    """Ask with every kind of choice."""
    answer = await ctx.elicit("Please select options from the enum fields", CHOICES)
    return f"Elicitation completed: action={answer.action}, content={answer.content}"


@app.tool
async def test_elicitation_url(ctx: Context) -> str:
    """Send the user to a page."""
    answer = await ctx.elicit_url("Please sign in", "https://example.org/sign-in", "sign-in-1")
    return f"action={answer.action}"


@app.tool
async def test_roots(ctx: Context) -> str:
    """Ask for the client's roots."""
    return f"Found {len(await ctx.roots())} root(s)"


@app.tool
async def test_missing_capability(ctx: Context) -> str:
    """Need sampling."""
    return (await ctx.sample("Say something.", max_tokens=10)).text


def content_of(answer: Any, name: str) -> str:
    return str((answer.content or {}).get(name, ""))


@app.tool
async def test_input_required_result_elicitation(ctx: Context) -> str:
    """Ask for a name."""
    (answer,) = await ctx.ask(Elicit("What is your name?", NAME, key="user_name"))
    return f"Hello, {content_of(answer, 'name')}!"


@app.tool
async def test_input_required_result_sampling(ctx: Context) -> str:
    """Ask the model."""
    question = Sample(["What is the capital of France?"], max_tokens=100, key="sample_request")
    (answer,) = await ctx.ask(question)
    return f"Sampling result: {answer.text}"


@app.tool
async def test_input_required_result_list_roots(ctx: Context) -> str:
    """Ask for roots."""
    (roots,) = await ctx.ask(ListRoots(key="roots_request"))
    return f"Found {len(roots)} root(s)"


@app.tool
async def test_input_required_result_request_state(ctx: Context) -> str:
    """Ask, and see that the state came back."""
    await ctx.ask(Elicit("Please confirm", OK, key="confirm"))
    return "state-ok: requestState validated"


@app.tool
async def test_input_required_result_multiple_inputs(ctx: Context) -> str:
    """Ask three things at once."""
    name, greeting, roots = await ctx.ask(
        Elicit("What is your name?", NAME, key="user_name"),
        Sample(["Generate a greeting"], max_tokens=50, key="greeting"),
        ListRoots(key="client_roots"),
    )
    return f"Name: {content_of(name, 'name')}; Greeting: {greeting.text}; Roots: {len(roots)}"


@app.tool
async def test_input_required_result_multi_round(ctx: Context) -> str:
    """Ask one thing after the other."""
    (name,) = await ctx.ask(Elicit("Step 1: What is your name?", NAME, key="step1"))
    colour_form = form(color={"type": "string"})
    (colour,) = await ctx.ask(
        Elicit("Step 2: What is your favorite color?", colour_form, key="step2")
    )
    said = content_of(name, "name"), content_of(colour, "color")
    return f"Multi-round complete for {said[0]} who likes {said[1]}"


@app.tool
async def test_input_required_result_tampered_state(ctx: Context) -> str:
    """Ask, and refuse state that was altered."""
    await ctx.ask(Elicit("Please confirm", OK, key="confirm"))
    return "integrity-ok: state verified"


@app.tool
async def test_input_required_result_capabilities(ctx: Context) -> str:
    """Ask only what the client said it can do."""
    questions: list[Elicit[Any] | Sample] = []
    if "elicitation" in ctx.client_capabilities:
        wanted = form(value={"type": "string"})
        questions.append(Elicit("Elicitation input", wanted, key="elicit_input"))
    if "sampling" in ctx.client_capabilities:
        questions.append(Sample(["Sample request"], max_tokens=50, key="sample_input"))
    if not questions:
        return "No supported capabilities declared"
    await ctx.ask(*questions)
    return f"capabilities-ok: received {', '.join(question.key for question in questions)}"


@app.tool
async def test_streaming_elicitation(ctx: Context) -> str:
    """Report progress, ask, and finish."""
    await ctx.report_progress(50, 100)
    if "elicitation" in ctx.client_capabilities:
        await ctx.elicit("Go on?", OK)
    return "Streaming complete"


# --- tools: changes while running ------------------------------------------------------------


@app.tool
async def test_trigger_tool_change() -> str:
    """Add a tool, or take it away again."""
    if "test_dynamic" in app.tools:
        app.remove_tool("test_dynamic")
    else:

        @app.tool(name="test_dynamic")
        async def dynamic() -> str:
            """Was added while the server ran."""
            return "dynamic"

    return "Mutation triggered"


@app.tool
async def test_trigger_prompt_change() -> str:
    """Add a prompt, or take it away again."""
    if "test_dynamic_prompt" in app.prompts:
        app.remove_prompt("test_dynamic_prompt")
    else:

        @app.prompt(name="test_dynamic_prompt")
        async def dynamic() -> str:
            """Was added while the server ran."""
            return "dynamic"

    return "Mutation triggered"


@app.tool
async def test_trigger_resource_update(uri: str) -> str:
    """Announce that a resource changed."""
    app.resource_updated(uri)
    return f"announced {uri}"


# --- tools: tasks ----------------------------------------------------------------------------


@app.tool
async def greet(name: str = "World") -> str:
    """Answer at once, never as a task."""
    return f"Hello, {name}!"


@app.tool(task="optional")
async def slow_compute(ctx: Context, seconds: float = 1.0, label: str = "") -> str:
    """Work for a while; a task where the client takes tasks."""
    await ctx.report_progress(0, seconds, "computing")
    await trio.sleep(seconds)
    return f"computed {label}".strip()


@app.tool(task="required")
async def failing_job() -> str:
    """Fail, and only as a task."""
    raise ToolError("This job always fails")


@app.tool(task="optional")
async def protocol_error_job() -> str:
    """Fail with a protocol error."""
    raise InvalidParams("This job fails with a protocol error")


@app.tool(task="optional")
async def confirm_delete(ctx: Context, filename: str = "file.txt") -> str:
    """Ask in the middle of the work."""
    answer = await ctx.elicit(f"Delete {filename}?", form(confirm={"type": "boolean"}))
    confirmed = answer.accepted and (answer.content or {}).get("confirm")
    return f"Deleted {filename}" if confirmed else f"Kept {filename}"


@app.tool(task="optional")
async def multi_input(ctx: Context) -> str:
    """Ask two things at once in the middle of the work."""
    first, second = await ctx.ask(
        Elicit("First?", form(name={"type": "string"}, confirm={"type": "boolean"})),
        Elicit("Second?", form(name={"type": "string"}, confirm={"type": "boolean"})),
    )
    return f"{content_of(first, 'name')} and {content_of(second, 'name')}"


@app.tool(task="late")
async def test_tool_with_task(ctx: Context) -> str:
    """Ask first, and become a task then."""
    (answer,) = await ctx.ask(Elicit("What is your name?", NAME, key="user_name"))
    await ctx.detach()
    await trio.sleep(PAUSE_S)
    return f"Hello from a task, {content_of(answer, 'name')}!"


# --- resources -------------------------------------------------------------------------------


@app.resource("test://static-text", title="Static text", mime_type="text/plain")
async def static_text() -> str:
    """A static text resource."""
    return "This is the content of the static text resource."


@app.resource("test://stateless-static-text", mime_type="text/plain")
async def stateless_static_text() -> str:
    """A static text resource for stateless clients."""
    return "This is a static text resource."


@app.resource("test://static-binary", mime_type="image/png")
async def static_binary() -> bytes:
    """A static binary resource."""
    return RED_PIXEL


@app.resource("test://template/{id}/data", mime_type="application/json")
async def template_data(id: str) -> dict[str, Any]:  # noqa: A002 - the suite's spelling
    """Data of the given id."""
    return {"id": id, "templateTest": True, "data": f"Data for ID: {id}"}


@app.resource("test://watched-resource", mime_type="text/plain")
async def watched_resource() -> str:
    """A resource to subscribe to."""
    return "Watched resource content"


# --- prompts and completion ------------------------------------------------------------------


@app.prompt
async def test_simple_prompt() -> str:
    """A prompt without arguments."""
    return "This is a simple prompt for testing."


@app.prompt
async def test_prompt_with_arguments(
    arg1: Annotated[str, Meta(description="First test argument")],
    arg2: Annotated[str, Meta(description="Second test argument")],
) -> str:
    """A prompt with two arguments."""
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


@app.prompt
async def test_prompt_with_embedded_resource(
    resourceUri: Annotated[str, Meta(description="URI of the resource to embed")],
) -> list[Message]:
    """A prompt with an embedded resource."""
    text = "Embedded resource content for testing."
    return [
        Message.user(embedded(resourceUri, "text/plain", text)),
        Message.user("Please process the embedded resource above."),
    ]


@app.prompt
async def test_prompt_with_image() -> list[Message]:
    """A prompt with an image."""
    image = Image.of(RED_PIXEL, "image/png")
    return [Message.user(image), Message.user("Please analyze the image above.")]


@app.prompt
async def test_input_required_result_prompt(ctx: Context) -> str:
    """A prompt that asks the user first."""
    context_form = form(context={"type": "string"})
    (answer,) = await ctx.ask(
        Elicit("What context should the prompt use?", context_form, key="user_context")
    )
    return f"Use this context: {content_of(answer, 'context')}"


WORDS = ["paris", "park", "party", "test", "testing"]


@app.completion("test_prompt_with_arguments", "arg1")
async def complete_arg1(value: str, others: Mapping[str, str]) -> list[str]:
    """Words that begin with what was typed."""
    return [word for word in WORDS if word.startswith(value)]


@app.completion("test://template/{id}/data", "id")
async def complete_id(value: str, others: Mapping[str, str]) -> list[str]:
    """Numbers that begin with what was typed."""
    return [str(number) for number in range(1000) if str(number).startswith(value)]
