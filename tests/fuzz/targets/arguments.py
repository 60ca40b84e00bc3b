"""Arguments of tools: taken or refused, in words, as the published schema has it."""

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypedDict

import msgspec
from hypothesis import strategies as st
from msgspec import Meta

from mcpd.app.function import Function, WrongArguments
from mcpd.app.uri_template import UriTemplate
from mcpd.errors import PeerError
from mcpd.rpc.messages import Call, RequestId, decode, encode_call
from tests.fuzz.drawing import COMMON, HUGE, encode, mutated, texts, values
from tests.fuzz.json_schema import fits
from tests.fuzz.target import Target


class Color(enum.Enum):
    """An enum of texts."""

    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    """An enum of numbers."""

    LOW = 1
    HIGH = 2


@dataclass
class Point:
    """A dataclass with a default."""

    x: int
    y: float = 0.0
    tags: list[str] = field(default_factory=list)


class Node(msgspec.Struct):
    """A type that refers to itself."""

    name: str
    children: list["Node"] = []


class Options(TypedDict, total=False):
    """A TypedDict."""

    deep: bool
    label: str


def plain(a: int, b: str = "x", c: float = 1.5, d: bool = False) -> None:
    """Primitives."""


def bounded(
    n: Annotated[int, Meta(ge=1, le=9)],
    t: Annotated[str, Meta(min_length=1, max_length=3, pattern="^[a-z]*$")] = "a",
    f: Annotated[float, Meta(gt=0, lt=1)] = 0.5,
    many: Annotated[list[int], Meta(max_length=2)] = [],  # noqa: B006
) -> None:
    """Bounds."""


def shaped(
    p: Point,
    q: Point | None = None,
    o: Options = {},  # noqa: B006
    tree: Node | None = None,
    pair: tuple[int, str] = (1, "a"),
) -> None:
    """Structures."""


def chosen(
    color: Color,
    level: Level = Level.LOW,
    mode: Literal["up", "down", 3] = "up",
    either: int | str | None = None,
    table: dict[str, int] = {},  # noqa: B006
    anything: Any = None,
    seen: set[int] = frozenset(),  # type: ignore[assignment]
) -> None:
    """Choices."""


FUNCTIONS: list[Callable[..., None]] = [plain, bounded, shaped, chosen]
DECLARED = [Function.of(function, function.__name__) for function in FUNCTIONS]
NAMES = sorted({name for f in DECLARED for name in f.schema["properties"]} | {
    "x", "y", "tags", "name", "children", "deep", "label",
})  # fmt: skip
LEAVES = (
    1, 2, 1.0, 5.0, 0, 10, 0.25, "a", "abc", "abcd", "red", "blue", "up", 3, [], {}, [1, "a"],
    {"x": 1}, {"x": 1.0, "tags": ["t"]}, {"name": "n"}, {"deep": True}, {"a": 1}, True, 10**19,
)  # fmt: skip
ARGUMENTS = st.one_of(
    st.dictionaries(st.sampled_from(NAMES), values(NAMES, LEAVES), max_size=5), values()
)
INPUT = st.tuples(st.integers(0, len(DECLARED) - 1), ARGUMENTS)


def has_huge(value: Any) -> bool:
    """Whether a number is in it that no double holds, which is refused where a schema has no word
    for it; or an integer beyond 64 bits, which some decoders keep.
    """
    if isinstance(value, dict):
        return any(map(has_huge, value.values()))
    if isinstance(value, list):
        return any(map(has_huge, value))
    return value == HUGE or (isinstance(value, int) and not -(2**63) <= value < 2**64)


def taken(function: Function, text: bytes) -> dict[str, Any] | None:
    """The values of the parameters; None: they are refused."""
    try:
        found = function.decode(msgspec.Raw(text))
    except WrongArguments as error:
        assert error.message.endswith("."), error.message
        assert "`" not in error.message, error.message
        return None
    assert isinstance(found, dict)
    return found


def check_arguments(value: tuple[int, Any]) -> None:
    """Taken if and only if the schema has it."""
    function, arguments = DECLARED[value[0]], value[1]
    text = encode(arguments)
    try:
        decode(encode_call(Call(RequestId(b"1"), "x", msgspec.Raw(b'{"a":%b}' % text))))
    except PeerError:
        return  # lone surrogates; numbers of many digits
    found = taken(function, text)
    if has_huge(arguments):
        return
    valid = fits(arguments, function.schema, function.schema)
    assert (found is not None) == valid, f"taken: {found is not None}, the schema: {valid}"
    if found is not None:
        assert set(found) == set(function.schema["properties"])


def check_texts(value: tuple[int, dict[str, str]]) -> None:
    """Arguments that are texts, as prompts and templates have them."""
    function, given = DECLARED[value[0]], value[1]
    if any("\ud800" <= character <= "\udfff" for character in "".join([*given, *given.values()])):
        return  # no text that was read from JSON or a URI has lone surrogates
    try:
        found = function.decode_texts(given)
    except WrongArguments as error:
        assert error.message
        return
    assert set(found) == set(function.schema["properties"])


TEMPLATES = ("a://{x}", "a://{x}/{y}", "a://{+path}", "a://b{?q,r}", "a://b{/one*}", "a://{x:3}{#y}",
             "a://b{;c}{.d}")  # fmt: skip
COMPILED = [UriTemplate(text) for text in TEMPLATES]
URIS = mutated(
    [
        b"a://x",
        b"a://%2e%2e",
        b"a://a%2Fb/%2e",
        b"a://x/y",
        b"a://x/%2e%2e/y",
        b"a://b?q=1&r=2",
        b"a://b/1/2",
        b"a://x#f",
        b"a://b;c=1.d",
    ],
    (*COMMON, b"%2F", b"%5c", b"..", b"{x}", b"a://"),
).map(lambda data: data.decode("utf-8", "replace"))


def check_uri(value: tuple[int, str]) -> None:
    """Any URI matches or does not; a value of a plain variable stays within its segment."""
    template, uri = COMPILED[value[0]], value[1]
    found = template.match(uri)
    if found is None:
        return
    assert set(found) <= set(template.variables)
    for name, text in found.items():
        if name != "path" and "{#" not in template.text:
            assert "/" not in text or "*" in template.text, "a value leaves its segment"
            assert text not in (".", ".."), "a value leaves its segment"


TARGETS = [
    Target("arguments", INPUT, check_arguments,
           ((0, {"a": 1}), (1, {"n": 3, "t": "ab"}), (2, {"p": {"x": 1}}), (3, {"color": "red"}),
            (0, {"a": 1.0}), (0, None), (0, []), (2, {"p": {"x": 1}, "tree": {"name": "a",
             "children": [{"name": "b"}]}})), short=120),
    Target("text-arguments",
           st.tuples(st.integers(0, len(DECLARED) - 1),
                     st.dictionaries(st.one_of(st.sampled_from(NAMES), texts()),
                                     st.one_of(texts(), st.sampled_from(("1", "red", "1e999"))),
                                     max_size=4)),
           check_texts, ((0, {"a": "1"}),), short=60),
    Target("uri-template", st.tuples(st.integers(0, len(COMPILED) - 1), URIS), check_uri,
           ((0, "a://%2e%2e"), (1, "a://a/b%2Fc"), (3, "a://b?q=%2F")),
           short=80),
]  # fmt: skip
