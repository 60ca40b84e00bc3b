"""What a server said it can do: what it did not, it may refuse. Pure."""

from typing import Any

from mcpd.errors import METHOD_NOT_FOUND

_NEEDED = {
    "logging/setLevel": ("logging",),
    "completion/complete": ("completions",),
    "resources/subscribe": ("resources", "subscribe"),
    "resources/unsubscribe": ("resources", "subscribe"),
    "resources/list": ("resources",),
    "resources/templates/list": ("resources",),
    "resources/read": ("resources",),
    "prompts/list": ("prompts",),
    "prompts/get": ("prompts",),
}


class Capabilities:
    """Of one server, as its answers to ``initialize`` and ``server/discover`` tell them."""

    def __init__(self) -> None:
        self._told: dict[str, Any] | None = None

    def note(self, message: Any) -> None:
        """Look at an answer."""
        result = message.get("result") if isinstance(message, dict) else None
        told = result.get("capabilities") if isinstance(result, dict) else None
        if isinstance(told, dict):
            self._told = told

    def may_refuse(self, request: Any, answer: Any) -> bool:
        """Whether the answer is a refusal that the server announced."""
        if self._told is None or not isinstance(request, dict) or not isinstance(answer, dict):
            return False
        needed = _NEEDED.get(str(request.get("method")))
        error = answer.get("error")
        if needed is None or not isinstance(error, dict):
            return False
        told: Any = self._told
        for name in needed:
            told = told.get(name) if isinstance(told, dict) else None
        return error.get("code") == METHOD_NOT_FOUND and (told is None or told is False)
