"""URI templates (RFC 6570), read backwards: from a URI to the values of its variables. Pure."""

import re
from urllib.parse import unquote

from mcpd.errors import DeclarationError

_EXPRESSION = re.compile(r"\{([+#./;?&]?)([^{}]*)\}")
_VARIABLE = re.compile(r"([A-Za-z0-9_]+)(\*|:[1-9]\d{0,3})?")
_UNRESERVED = r"[^/?#&;,]"  # what a simple expansion can come to
_RESERVED = r"[^\s]"  # + and # let reserved characters stand

# operator → (what begins it, what separates, whether names are written, characters of a value)
_OPERATORS = {
    "": ("", ",", False, _UNRESERVED),
    "+": ("", ",", False, _RESERVED),
    "#": ("#", ",", False, _RESERVED),
    ".": (".", ".", False, r"[^/?#.,]"),
    "/": ("/", "/", False, _UNRESERVED),
    ";": (";", ";", True, _UNRESERVED),
    "?": ("?", "&", True, r"[^&#]"),
    "&": ("&", "&", True, r"[^&#]"),
}
MAX_URI_CHARS = 4096


class UriTemplate:
    """A compiled template.

    Raises (from the constructor):
        DeclarationError: it is no RFC 6570 template, or names a variable twice.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.variables: list[str] = []
        self._reserved: set[str] = set()  # of + and #, which take whole paths
        pattern, at = "", 0
        for expression in _EXPRESSION.finditer(text):
            pattern += re.escape(text[at : expression.start()])
            pattern += self._expression(expression[1], expression[2])
            at = expression.end()
        rest = text[at:]
        if "{" in rest or "}" in rest or "{" in _EXPRESSION.sub("", text):
            raise DeclarationError(f"{text!r} is no URI template.", fix="See RFC 6570.")
        if len(set(self.variables)) != len(self.variables):
            raise DeclarationError(f"{text!r} names a variable twice.")
        self._pattern = re.compile(pattern + re.escape(rest))

    def _expression(self, operator: str, body: str) -> str:
        first, separator, named, characters = _OPERATORS[operator]
        parts = []
        for number, item in enumerate(body.split(",")):
            variable = _VARIABLE.fullmatch(item.strip())
            if variable is None:
                raise DeclarationError(
                    f"{self.text!r}: {item!r} is no template variable.", fix="See RFC 6570."
                )
            name = variable[1]
            self.variables.append(name)
            if operator in ("+", "#"):
                self._reserved.add(name)
            if variable[2] == "*" and operator in ("", "/"):
                characters = _RESERVED
            start = first if number == 0 else separator
            value = f"(?P<{name}>{characters}{'*' if named else '+'})"
            if named:
                parts.append(f"(?:{re.escape(start)}{name}={value})?")
            else:
                parts.append(re.escape(start) + value)
        return "".join(parts)

    def match(self, uri: str) -> dict[str, str] | None:
        """The variables' values, percent-decoded once; None: the URI is not of this form.

        Variables of ``?``, ``&`` and ``;`` may be missing; they are left out.
        """
        if len(uri) > MAX_URI_CHARS:
            return None
        found = self._pattern.fullmatch(uri)
        if found is None:
            return None
        values = {n: unquote(v) for n, v in found.groupdict().items() if v is not None}
        safe = all(n in self._reserved or _is_segment(v) for n, v in values.items())
        return values if safe else None


def _is_segment(value: str) -> bool:
    """Whether a decoded value stays within its part of the path; an author may open files by it."""
    return value not in (".", "..") and not any(c in value for c in "/\\\0")
