"""What a client answers to a question, held against what was asked."""

import pytest

from mcpd.app.questions import BadAnswer, Elicit, Sample

FORM = Elicit(
    "Who?",
    {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 3, "pattern": "^[a-z]*$"},
            "age": {"type": "integer", "minimum": 1, "maximum": 9},
            "share": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
            "ok": {"type": "boolean"},
            "color": {"type": "string", "enum": ["red", "blue"]},
            "size": {"type": "string", "oneOf": [{"const": "s", "title": "Small"}]},
            "several": {
                "type": "array",
                "maxItems": 2,
                "items": {"anyOf": [{"const": "a", "title": "A"}, {"const": "b", "title": "B"}]},
            },
        },
        "required": ["name"],
    },
)
FITTING = [
    {"name": "ada"},
    {"name": "ada", "age": 9, "share": 0.5, "ok": False, "color": "red", "size": "s"},
    {"name": "ada", "age": 9.0, "several": ["a", "b"], "more": object},
]
OTHERS = [
    {},
    {"name": ""},
    {"name": "adas"},
    {"name": "Ada"},
    {"name": None},
    {"name": "ada", "age": 0},
    {"name": "ada", "age": 1.5},
    {"name": "ada", "age": True},
    {"name": "ada", "share": 1},
    {"name": "ada", "share": 0},
    {"name": "ada", "ok": 1},
    {"name": "ada", "color": "green"},
    {"name": "ada", "size": "m"},
    {"name": "ada", "several": ["c"]},
    {"name": "ada", "several": ["a", "a", "b"]},
    {"name": "ada", "several": {}},
]


@pytest.mark.parametrize("content", FITTING)
def test_content_that_a_schema_has_is_the_answer(content):
    assert FORM.read({"action": "accept", "content": content}).content == content


@pytest.mark.parametrize("content", OTHERS)
def test_content_that_a_schema_does_not_have_is_no_answer(content):
    """MCP, client/elicitation: what comes has to be validated against the schema."""
    with pytest.raises(BadAnswer, match="does not fit"):
        FORM.read({"action": "accept", "content": content})


def test_who_declines_sends_no_content():
    assert FORM.read({"action": "decline", "content": {"age": 0}}).content is None


@pytest.mark.parametrize("text", [None, 7, ["x"], {}])
def test_a_models_words_are_text_whatever_its_blocks_hold(text):
    blocks = [{"type": "text", "text": text}, {"type": "text", "text": "said"}, 7, None]
    message = {"role": "assistant", "content": blocks, "model": "m"}
    assert Sample(["Hello"]).read(message).text == "said"
    assert Sample(["Hello"]).read({**message, "content": blocks[0]}).text == ""
