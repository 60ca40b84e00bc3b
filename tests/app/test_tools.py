"""Signatures to schemas, arguments to values, and declarations that cannot be served."""

from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Literal, TypedDict

import msgspec
import pytest
import trio

from mcpd import App, Context
from mcpd.app.function import WrongArguments
from mcpd.app.tool import Tool
from mcpd.errors import DeclarationError
from mcpd.limits.fair_limiter import FairLimiter
from mcpd.mcp.envelope.headers import mirrored_parameters


def only(app: App) -> Tool:
    (tool,) = app.tools.values()
    return tool


async def run(tool: Tool, **arguments: Any) -> Any:
    raw = msgspec.Raw(msgspec.json.encode(arguments))
    outcome = await tool.run(raw, None, FairLimiter(2, str))
    return outcome.content[0].text if outcome.content else None  # type: ignore[union-attr]


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Point:
    x: int
    y: int = 0


class Options(TypedDict, total=False):
    deep: bool


class Node(msgspec.Struct):
    name: str
    children: list["Node"] = []


def test_every_kind_of_type_has_a_schema():
    app = App("x")

    @app.tool
    def tool(
        a: int,
        b: Annotated[float, msgspec.Meta(ge=0, le=1, description="A share.")],
        c: Literal["x", "y"],
        d: Colour,
        e: Point,
        f: Options,
        g: list[str] | None = None,
        h: dict[str, int] = {},  # noqa: B006
        i: int | str = 7,
        *,
        j: bool = False,
        k=None,
    ) -> None: ...

    schema = only(app).input_schema
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["a", "b", "c", "d", "e", "f"]
    properties = schema["properties"]
    assert properties["b"] == {
        "type": "number", "minimum": 0, "maximum": 1, "description": "A share."
    }  # fmt: skip
    assert properties["c"] == {"enum": ["x", "y"]}
    assert properties["i"]["default"] == 7
    assert properties["k"] == {"default": None}
    assert set(schema["$defs"]) == {"Colour", "Point", "Options"}


def test_a_recursive_type_keeps_its_definition():
    app = App("x")

    @app.tool
    def tool(node: Node) -> Node: ...

    output = only(app).output_schema
    assert output is not None
    assert "Node" in output["$defs"]
    assert output["properties"]["children"]["items"] == {"$ref": "#/$defs/Node"}


def test_names_titles_and_docstrings():
    app = App("x")

    @app.tool(name="my.tool-1", description="Said.")
    def one() -> None:
        """Not said."""

    @app.tool
    def two() -> None:
        """First line.

        More.
        """

    assert [(t.name, t.description) for t in app.tools.values()] == [
        ("my.tool-1", "Said."),
        ("two", "First line.\n\nMore."),
    ]


@pytest.mark.parametrize("name", ["", "with space", "x" * 129, "slash/", "umlautä"])
def test_names_that_are_none(name):
    with pytest.raises(DeclarationError):
        App("x").tool(name=name or "?")(lambda: None)


def star(*args: int) -> None: ...
def positional(a: int, /) -> None: ...
def unresolved(a: "Missing") -> None: ...  # type: ignore[name-defined]  # noqa: F821
def unschemable(a: trio.Event) -> None: ...


@pytest.mark.parametrize("function", [star, positional, unresolved, unschemable])
def test_declarations_that_cannot_be_served_say_so(function):
    with pytest.raises(DeclarationError) as caught:
        App("x").tool(function)
    assert function.__name__ in caught.value.message


def test_a_type_without_a_schema_is_named():
    def wave(frequency: complex) -> None: ...

    with pytest.raises(DeclarationError, match="complex"):
        App("x").tool(wave)


def test_a_lifespan_that_nothing_can_enter_says_what_is_missing():
    async def lifespan(app: App):
        yield

    with pytest.raises(DeclarationError) as caught:
        App("x", lifespan=lifespan)  # type: ignore[arg-type]
    assert "asynccontextmanager" in (caught.value.fix or "")


def test_two_tools_of_one_name():
    app = App("x")
    app.tool(name="a")(lambda: None)
    with pytest.raises(DeclarationError):
        app.tool(name="a")(lambda: None)


@pytest.fixture
def tool():
    app = App("x")

    @app.tool
    async def tool(a: int, p: Point | None = None, tags: list[Colour] = []) -> str:  # noqa: B006
        return f"{a!r} {p!r} {[t.value for t in tags]}"

    return only(app)


async def test_values_arrive_as_declared(tool):
    said = await run(tool, a=1, p={"x": 2}, tags=["red"])
    assert said == "1 Point(x=2, y=0) ['red']"
    assert await run(tool, a=2.0) == "2 None []"  # JSON Schema: 2.0 is an integer


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "The argument a is missing; expected an integer."),
        ({"a": "1"}, "The argument a is wrong: got a string; expected an integer."),
        ({"a": 1.5}, "The argument a is wrong: got a number; expected an integer."),
        ({"a": None}, "The argument a is wrong: got null; expected an integer."),
        ({"a": 1, "b": 1}, "There is no argument b. The arguments are: a, p, tags."),
        ({"a": 1, "tag": []}, "There is no argument tag. Did you mean tags?"),
        ({"a": 1, "p": {"y": 1}}, "The argument p.x is missing; expected an integer."),
        (
            {"a": 1, "p": {"x": "q"}},
            "The argument p.x is wrong: got a string; expected an integer.",
        ),
        ({"a": 1, "tags": "red"}, "The argument tags is wrong: got a string; expected an array of"),
        ({"a": 1, "tags": ["green"]}, 'expected one of "blue", "red"'),
    ],
)
async def test_wrong_arguments_name_the_argument_and_what_was_expected(tool, arguments, sentence):
    with pytest.raises(WrongArguments) as caught:
        await run(tool, **arguments)
    assert sentence in caught.value.message


async def test_arguments_that_are_no_object(tool):
    for raw in (b"[]", b"3", b'"x"'):
        with pytest.raises(WrongArguments):
            await tool.run(msgspec.Raw(raw), None, FairLimiter(1, str))


async def test_plain_functions_run_in_threads_under_a_limit():
    app, threads, most = App("x"), FairLimiter(2, str), 0

    @app.tool
    def busy() -> None:
        nonlocal most
        most = max(most, threads.statistics()[0])
        trio.from_thread.run(trio.sleep, 0.02)

    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(only(app).run, msgspec.Raw(b"{}"), None, threads)
    assert most == 2


async def test_a_default_is_not_shared_between_calls():
    app = App("x")

    @app.tool
    async def grow(items: list[int] = []) -> int:  # noqa: B006
        items.append(1)
        return len(items)

    assert [await run(only(app)) for _ in range(3)] == ["1", "1", "1"]


def test_a_context_is_no_argument():
    app = App("x")

    @app.tool
    async def tool(a: int, ctx: Context) -> None: ...

    assert list(only(app).input_schema["properties"]) == ["a"]
    assert only(app).function.wants_context


async def test_a_dataclass_comes_back_whole():
    """msgspec leaves defaults to the class, where its encoder does not look"""
    app = App("x")

    @app.tool
    async def echo(points: list[Point]) -> list[Point]:
        return points

    assert await run(only(app), points=[{"x": 1}]) == '[{"x":1,"y":0}]'


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "array"}, "object"),
        ({}, "object"),
        ({"type": "object", "$schema": "http://json-schema.org/draft-07/schema#"}, "dialect"),
        ({"type": "object", "properties": {"a": {"$ref": "https://example.org/s"}}}, "$ref"),
    ],
)
def test_schemas_that_clients_cannot_use_are_refused(schema, words):
    app = App("x")
    if schema:
        with pytest.raises(DeclarationError) as caught:
            app.tool(name="t", input_schema=schema)(lambda a=None: None)
        assert words in caught.value.message


def test_a_schema_of_ones_own_is_passed_through_unharmed():
    app = App("x")
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/a"}},
        "$defs": {"a": {"$anchor": "x", "type": "string"}},
        "if": {"required": ["a"]},
        "then": {},
        "x-mine": 1,
    }
    app.tool(name="t", input_schema=schema)(lambda a=None: None)
    assert only(app).input_schema == schema


MIRRORED = [
    ({"a": {"type": "string", "x-mcp-header": ""}}, "no header name"),
    ({"a": {"type": "string", "x-mcp-header": "a b"}}, "no header name"),
    ({"a": {"type": "string", "x-mcp-header": "a\r\nb"}}, "no header name"),
    ({"a": {"type": "number", "x-mcp-header": "A"}}, "neither string, integer nor boolean"),
    (
        {
            "a": {"type": "string", "x-mcp-header": "A"},
            "b": {"type": "string", "x-mcp-header": "a"},
        },
        "two parameters",
    ),
    ({"a": {"type": "array", "items": {"type": "string", "x-mcp-header": "A"}}}, "reached through"),
    ({"a": {"anyOf": [{"type": "string", "x-mcp-header": "A"}]}}, "reached through"),
]


@pytest.mark.parametrize(("properties", "words"), MIRRORED)
def test_mirrored_parameters_keep_the_constraints(properties, words):
    """2026-07-28, streamable-http, "Schema Extension" """
    app = App("x")
    schema = {"type": "object", "properties": properties}
    app.tool(name="t", input_schema=schema)(lambda a=None, b=None: None)
    with pytest.raises(DeclarationError) as caught:
        mirrored_parameters("t", only(app).input_schema)
    assert words in caught.value.message


def test_nested_properties_can_be_mirrored():
    app = App("x")
    inner = {"type": "object", "properties": {"b": {"type": "integer", "x-mcp-header": "Deep"}}}
    schema = {"type": "object", "properties": {"a": inner}}
    app.tool(name="t", input_schema=schema)(lambda a=None: None)
    assert mirrored_parameters("t", only(app).input_schema) == {"mcp-param-deep": ["a", "b"]}


@pytest.mark.parametrize(
    ("declare", "told"),
    [
        (lambda app: app.tool(readonly=True), "A tool has no option readonly"),
        (lambda app: app.resource("a://b", mimetype="x"), "A resource has no option mimetype"),
        (lambda app: app.prompt(titel="x"), "A prompt has no option titel"),
    ],
)
def test_an_option_that_does_not_exist_is_refused_with_the_nearest(declare, told):
    with pytest.raises(DeclarationError, match=told) as caught:
        declare(App("x"))(lambda: None)
    assert caught.value.fix.startswith("Did you mean ")
