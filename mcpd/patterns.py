"""Names with ``*``, as the configuration has them. Pure."""

import functools
import re


@functools.lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = (re.escape(part) for part in pattern.split("*"))
    return re.compile(".*".join(parts), re.DOTALL)


def fits(name: str, pattern: str) -> bool:
    """Whether a name is what a pattern stands for: ``*`` is any text, every other sign itself."""
    return _compiled(pattern).fullmatch(name) is not None
