"""Whether a text is the expected one where that has placeholders in it. Pure.

From left to right and without a way back, so that no text of a server costs more than its length.
"""

import re
from collections.abc import Mapping
from typing import Any

from mcpd.replay.varying import ANY_MOMENT, UUID

_PLACEHOLDER = re.compile(r"<(?:time|secret|token|base|[a-z]+-\d+)>")
_BASE = re.compile(r"https?://[^\s/\"'<>]+")
_SHAPES = {"<time>": ANY_MOMENT, "<base>": _BASE}


def match_parts(expected: str, got: str, values: Mapping[str, Any]) -> dict[str, str] | None:
    """What the placeholders in a text stand for; None: it is another text.

    Args:
        values: what placeholders stand for already.
    """
    literals, names = _PLACEHOLDER.split(expected), _PLACEHOLDER.findall(expected)
    if not names or not got.startswith(literals[0]):
        return None
    found: dict[str, str] = {}
    place = len(literals[0])
    for number, (name, literal) in enumerate(zip(names, literals[1:], strict=True), 1):
        known = values.get(name, found.get(name))
        behind = len(got) - len(literal) if number == len(names) else got.find(literal, place + 1)
        end = _end(name, known, got, place, behind)
        if end is None or not got.startswith(literal, end):
            return None
        if name[1:-1] not in ("time", "secret", "token", "base") and known is None:
            found[name] = got[place:end]
        place = end + len(literal)
    return found if place == len(got) else None


def _end(name: str, known: Any, got: str, place: int, behind: int) -> int | None:
    """Where what stands for a placeholder ends.

    Args:
        behind: where that is if anything may stand for it.
    """
    shape = UUID if name.startswith("<uuid-") else _SHAPES.get(name)
    if shape is not None and (known is None or name == "<base>"):
        match = shape.match(got, place)
        return match.end() if match else None
    if known is not None and name not in ("<token>", "<secret>"):
        return place + len(str(known)) if got.startswith(str(known), place) else None
    return behind if behind > place else None
