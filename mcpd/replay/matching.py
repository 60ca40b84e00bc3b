"""Whether what a server said is what a transcript expects: by meaning, not by letter. Pure.

In an expected value ``<any>`` stands for anything, ``<optional>`` for anything or nothing,
``<time>`` for a moment, ``<NAME-1>`` for what the server made up: the first one is remembered, and
the client sends it back, as a number if it was one. An object may have more members than expected;
an array that ends in ``...`` may have more items, in any order.
"""

import re
import uuid
from dataclasses import dataclass, field
from typing import Any

from mcpd.replay.expectation import ANY, MORE, OPTIONAL
from mcpd.replay.texts import match_parts
from mcpd.replay.varying import is_moment

_NAMED = re.compile(r"<[a-z]+-\d+>")
_FREE = (ANY, OPTIONAL)
_TEXTS = ("<secret>", "<token>", "<base>")
DEFAULTS: dict[str, Any] = {"isError": False, "hasMore": False, "resultType": "complete"}


def is_named(text: str) -> bool:
    """Whether it is a placeholder for what a server made up."""
    return _NAMED.fullmatch(text) is not None


class Unbound(Exception):
    """The client would send back what the server never gave. The text names it."""


@dataclass(slots=True)
class Bindings:
    """What placeholders stand for in this run."""

    values: dict[str, Any] = field(default_factory=dict)

    def fill(self, value: Any) -> Any:
        """A value of the client with what the server gave.

        Raises:
            Unbound: it gave nothing.
        """
        if isinstance(value, dict):
            return {
                self.fill_text(key): self.fill(inner)
                for key, inner in value.items()
                if not (isinstance(inner, str) and self._is_optional(inner))
            }
        if isinstance(value, list):
            return [self.fill(inner) for inner in value]
        if isinstance(value, str) and _NAMED.fullmatch(value) and value in self.values:
            return self.values[value]
        return self.fill_text(value) if isinstance(value, str) else value

    def fill_text(self, text: str) -> str:
        """See ``fill``."""

        def known(match: re.Match[str]) -> str:
            if match[0].startswith("<made-"):  # the client made it up, and does so again
                self.values.setdefault(match[0], uuid.uuid4().hex)
            try:
                return str(self.values[match[0]])
            except KeyError:
                raise Unbound(match[0]) from None

        for name in ("<token>", "<bad-token>", "<base>"):
            if name in text and name in self.values:
                text = text.replace(name, self.values[name])
        return _NAMED.sub(known, text)

    def _is_optional(self, text: str) -> bool:
        """A state that the server did not give need not come back."""
        return text.startswith("<state-") and text not in self.values

    def match_text(self, expected: str, got: Any) -> bool:
        """Whether a text is the expected one; a placeholder is bound at its first sight."""
        if expected in _FREE:
            return True
        if expected == "<time>":
            return is_moment(got)
        if expected in _TEXTS:
            return isinstance(got, str | int | float) and not isinstance(got, bool)
        if not _NAMED.fullmatch(expected):
            return bool(got == expected) or self._match_parts(expected, got)
        if expected in self.values:
            return is_same(self.values[expected], got)
        if not isinstance(got, str | int | float) or isinstance(got, bool):
            return False
        self.values[expected] = got
        return True

    def _match_parts(self, expected: str, got: Any) -> bool:
        found = match_parts(expected, got, self.values) if isinstance(got, str) else None
        self.values.update(found or {})
        return found is not None


def differences(expected: Any, got: Any, bindings: Bindings, path: str = "") -> list[str]:
    """What is not as expected, each with where it is; empty: it matches."""
    if isinstance(expected, str):
        if bindings.match_text(expected, got):
            return []
        return [f"{path or 'the value'} is {_show(got)}, not {_show(expected)}"]
    if isinstance(expected, dict):
        return _in_object(expected, got, bindings, path)
    if isinstance(expected, list):
        return _in_array(expected, got, bindings, path)
    return (
        []
        if is_same(expected, got)
        else [f"{path or 'the value'} is {_show(got)}, not {_show(expected)}"]
    )


def _in_object(expected: dict[str, Any], got: Any, bindings: Bindings, path: str) -> list[str]:
    if not isinstance(got, dict):
        return [f"{path or 'the message'} is {_show(got)}, not an object"]
    found: list[str] = []
    for name, value in expected.items():
        if _NAMED.fullmatch(name) or name in _TEXTS:
            name = _choose(name, value, got, expected, bindings)
        where = f"{path}.{name}" if path else name
        if name in got:
            found += differences(value, got[name], bindings, where)
        elif name in ("result", "error") or not _may_be_absent(name, value):
            found.append(f"{where} is missing")
    return found


def _choose(
    name: str, value: Any, got: dict[str, Any], expected: dict[str, Any], bindings: Bindings
) -> str:
    """The member that a placeholder stands for: one that fits, and that nothing else is."""
    if name not in bindings.values or name in _TEXTS:
        taken = {bindings.values.get(other, other) for other in expected}
        for key in got:
            trial = Bindings(dict(bindings.values))
            if key not in taken and not differences(value, got[key], trial):
                if name in _TEXTS:
                    return key
                bindings.values[name] = key
                break
    return name if name in _TEXTS else str(bindings.values.get(name, name))


def _may_be_absent(name: str, expected: Any) -> bool:
    if isinstance(expected, str) and expected.startswith("<state-"):
        return True  # servers that keep the state themselves give none
    return bool(expected == OPTIONAL or (name in DEFAULTS and DEFAULTS[name] == expected))


def _in_array(expected: list[Any], got: Any, bindings: Bindings, path: str) -> list[str]:
    if not isinstance(got, list):
        return [f"{path} is {_show(got)}, not an array"]
    if expected[-1:] != [MORE]:
        if len(got) != len(expected):
            return [f"{path} has {len(got)} items, not {len(expected)}"]
        pairs = enumerate(zip(expected, got, strict=True))
        return [d for i, (e, g) in pairs for d in differences(e, g, bindings, f"{path}[{i}]")]
    return [
        f"{path} has no {_show(item)}"
        for item in expected[:-1]
        if not any(not differences(item, other, Bindings(dict(bindings.values))) for other in got)
    ]


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def is_same_kind(expected: Any, got: Any, bindings: Bindings) -> bool:
    """Whether a message could be the expected one: an answer to the same request, or the same
    method.
    """
    if not isinstance(expected, dict) or not isinstance(got, dict):
        return type(expected) is type(got)
    if "method" in expected or "method" in got:
        return bool(expected.get("method") == got.get("method")) and (
            ("id" in expected) is ("id" in got)
        )
    wanted = expected.get("id")
    if isinstance(wanted, str):
        return bindings.match_text(wanted, got.get("id"))
    return "id" in got and is_same(wanted, got["id"])


def is_same(one: Any, other: Any) -> bool:
    """Whether two JSON values without members are the same; true is not 1."""
    return bool(one == other) and isinstance(one, bool) is isinstance(other, bool)
