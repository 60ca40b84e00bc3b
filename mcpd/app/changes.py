"""What changes in an app while it is served, and who is told."""

from typing import Literal, Protocol

ListKind = Literal["tools", "resources", "prompts"]


class ChangeListener(Protocol):
    """Is told what changed in an app; called from any thread."""

    def list_changed(self, kind: ListKind) -> None:
        """A list is not what it was."""

    def resource_updated(self, uri: str) -> None:
        """A resource is not what it was."""
