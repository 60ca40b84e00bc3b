"""URI templates read backwards; resources and prompts from functions; forms from types."""

from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Literal

import msgspec
import pytest

from mcpd import App, Elicit, ElicitUrl, ListRoots, Sample
from mcpd.app.questions import BadAnswer, form_schema, missing_capability
from mcpd.app.uri_template import UriTemplate
from mcpd.errors import DeclarationError
from tests.in_process import modern, serving


@pytest.mark.parametrize(
    ("template", "uri", "values"),
    [
        ("note://{name}", "note://today", {"name": "today"}),
        ("note://{name}", "note://a%20b%3F", {"name": "a b?"}),
        ("note://{name}", "note://a%2Fb", None),  # decoded, it would leave its part of the path
        ("note://{name}", "note://..", None),
        ("note://{name}", "note://%2e%2e", None),
        ("note://{name}", "note://a%00", None),
        ("note://{name}", "note://a%5Cb", None),
        ("note://{name}", "note://a/b", None),
        ("note://{name}", "note://", None),
        ("note://{name}", "xnote://a", None),
        ("test://{a}/x/{b}", "test://1/x/2", {"a": "1", "b": "2"}),
        ("file:///{+path}", "file:///a/b/c.txt", {"path": "a/b/c.txt"}),
        ("q://s{?a,b}", "q://s?a=1&b=2", {"a": "1", "b": "2"}),
        ("q://s{?a,b}", "q://s?a=1", {"a": "1"}),
        ("q://s{?a,b}", "q://s", {}),
        ("p://x{/a,b}", "p://x/1/2", {"a": "1", "b": "2"}),
        ("p://x{#frag}", "p://x#here/there", {"frag": "here/there"}),
        ("p://x{.ext}", "p://x.json", {"ext": "json"}),
        ("p://x{;v}", "p://x;v=1", {"v": "1"}),
        ("p://{a,b}", "p://1,2", {"a": "1", "b": "2"}),
        ("p://a.c/{x}", "p://abc/1", None),  # the dot is a dot
    ],
)
def test_uri_templates_match_and_give_variables(template, uri, values):
    """RFC 6570"""
    assert UriTemplate(template).match(uri) == values


@pytest.mark.parametrize(
    "text", ["a://{", "a://}", "a://{}", "a://{a b}", "a://{x}{x}", "a://{{x}}"]
)
def test_what_is_no_template(text):
    with pytest.raises(DeclarationError):
        UriTemplate(text)


def test_a_long_uri_costs_nothing():
    template = UriTemplate("a://{x}/{y}/{z}")
    assert template.match("a://" + "a" * 100_000) is None
    assert template.match("a://" + "a/" * 2000) is None


def test_resources_that_cannot_be_served():
    app = App("x")
    for uri, function in (
        ("no uri", lambda: ""),
        ("note://{name}", lambda: ""),
        ("note://{name}", lambda other: ""),
        ("note://plain", lambda name: ""),
    ):
        with pytest.raises(DeclarationError):
            app.resource(uri)(function)
    app.resource("note://{name}")(lambda name, extra="": "")
    with pytest.raises(DeclarationError):
        app.resource("note://{name}")(lambda name: "")


def test_prompt_arguments_come_from_the_signature():
    app = App("x")

    @app.prompt
    def review(
        code: Annotated[str, msgspec.Meta(description="The code.")], level: int = 1
    ) -> str: ...

    assert app.prompts["review"].arguments() == [
        {"name": "code", "required": True, "description": "The code."},
        {"name": "level", "required": False},
    ]


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


@dataclass
class Order:
    size: Size
    milk: Literal["oat", "cow"] = "oat"
    sugar: int | None = None
    extras: list[Literal["foam", "ice"]] | None = None
    name: Annotated[str, msgspec.Meta(min_length=1, title="Your name")] = "You"


def test_forms_are_flat():
    """MCP, client/elicitation: primitives and enums alone"""
    assert form_schema(Order) == {
        "type": "object",
        "properties": {
            "size": {"type": "string", "title": "Size", "enum": ["l", "s"]},
            "milk": {"type": "string", "enum": ["cow", "oat"], "default": "oat"},
            "sugar": {"type": "integer"},
            "extras": {"type": "array", "items": {"type": "string", "enum": ["foam", "ice"]}},
            "name": {"type": "string", "minLength": 1, "title": "Your name", "default": "You"},
        },
        "required": ["size"],
    }


def test_answers_are_checked_against_the_form():
    question = Elicit("?", Order)
    answer = question.read({"action": "accept", "content": {"size": "s"}})
    assert (answer.accepted, answer.content) == (True, Order(Size.SMALL))
    assert question.read({"action": "decline"}).content is None
    for wrong in ({}, {"action": "maybe"}, {"action": "accept"},
                  {"action": "accept", "content": {"size": "xl"}}):  # fmt: skip
        with pytest.raises(BadAnswer):
            question.read(wrong)
    with pytest.raises(BadAnswer):
        ListRoots().read({"roots": [1]})
    with pytest.raises(BadAnswer):
        Sample(["x"]).read({"role": "robot"})


@pytest.mark.parametrize(
    ("question", "declared", "missing"),
    [
        (Elicit("?", Order), {}, True),
        (Elicit("?", Order), {"elicitation": {}}, False),
        (Elicit("?", Order), {"elicitation": {"form": {}}}, False),
        (Elicit("?", Order), {"elicitation": {"url": {}}}, True),
        (ElicitUrl("?", "https://x", "1"), {"elicitation": {}}, True),
        (ElicitUrl("?", "https://x", "1"), {"elicitation": {"url": {}}}, False),
        (Sample(["x"]), {"sampling": {}}, False),
        (Sample(["x"], options={"tools": []}), {"sampling": {}}, True),
        (Sample(["x"], options={"tools": []}), {"sampling": {"tools": {}}}, False),
        (ListRoots(), {"roots": {"listChanged": True}}, False),
        (ListRoots(), {"roots": True}, True),
    ],
)
def test_what_a_client_must_have_declared(question, declared, missing):
    assert missing_capability(question.capability, declared) is missing


async def test_what_is_taken_away_is_not_listed_any_more(tmp_path):
    app = App("changing")
    app.tool(name="t")(lambda: "x")
    app.resource("note://t", name="r")(lambda: "x")
    app.prompt(name="p")(lambda: "x")
    async with serving(tmp_path, [app]) as server:
        for kind, remove, key in (
            ("tools", app.remove_tool, "t"),
            ("resources", app.remove_resource, "note://t"),
            ("prompts", app.remove_prompt, "p"),
        ):
            listed = (await modern(server.user(), f"{kind}/list")).json()["result"][kind]
            assert len(listed) == 1
            remove(key)
            listed = (await modern(server.user(), f"{kind}/list")).json()["result"][kind]
            assert listed == []
            with pytest.raises(KeyError):
                remove(key)
