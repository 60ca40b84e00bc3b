"""JSON in transcripts and recordings: of any peer, and read, compared and written by functions that
call themselves. Pure.
"""

import json
from typing import Any

from mcpd.rpc.json_limits import MAX_DEPTH  # deeper messages are read nowhere else either


def parse_json(text: str | bytes) -> Any:
    """The value of a text.

    Raises:
        ValueError: it is no JSON, or nested deeper than MAX_DEPTH.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    if not _is_within(value, MAX_DEPTH):
        raise ValueError(_TOO_DEEP)
    return value


_TOO_DEEP = f"it is nested deeper than {MAX_DEPTH}"


def _is_within(value: Any, depth: int) -> bool:
    """Level by level, since the value may be too deep for anything else."""
    level = [value]
    for _ in range(depth):
        level = [inner for outer in level for inner in _containers(outer)]
        if not level:
            return True
    return False


def _containers(value: Any) -> list[Any]:
    members = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list):
        return []
    return [member for member in members if isinstance(member, dict | list)]
