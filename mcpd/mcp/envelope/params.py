"""What is read of every request's params, once: the reserved members of ``_meta``, and the members
that several methods have in common. Pure.
"""

from typing import Any

import msgspec

from mcpd.errors import InvalidParams
from mcpd.mcp.revisions import BY_NAME
from mcpd.rpc.messages import EMPTY_PARAMS

PREFIX = "io.modelcontextprotocol/"
META_VERSION = PREFIX + "protocolVersion"
META_CLIENT_INFO = PREFIX + "clientInfo"
META_CAPABILITIES = PREFIX + "clientCapabilities"
META_LOG_LEVEL = PREFIX + "logLevel"
META_SERVER_INFO = PREFIX + "serverInfo"
TASKS_EXTENSION = PREFIX + "tasks"

_NULL = msgspec.Raw(b"null")


class Meta(msgspec.Struct, frozen=True):
    """The reserved members of ``_meta``, unchecked: most requests have few of them."""

    version: Any = msgspec.field(default=msgspec.UNSET, name=META_VERSION)
    client_info: Any = msgspec.field(default=msgspec.UNSET, name=META_CLIENT_INFO)
    capabilities: Any = msgspec.field(default=msgspec.UNSET, name=META_CAPABILITIES)
    log_level: Any = msgspec.field(default=msgspec.UNSET, name=META_LOG_LEVEL)
    progress_token: Any = msgspec.field(default=msgspec.UNSET, name="progressToken")


NO_META = Meta()


class Params(msgspec.Struct, frozen=True, rename="camel"):
    """Members of params; the method that needs one checks it."""

    given_meta: Meta | None = msgspec.field(default=None, name="_meta")
    name: Any = msgspec.UNSET
    uri: Any = msgspec.UNSET
    task_id: Any = msgspec.UNSET
    arguments: msgspec.Raw = EMPTY_PARAMS
    task: Any = msgspec.UNSET
    input_responses: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    request_state: Any = msgspec.UNSET

    @property
    def meta(self) -> Meta:
        """What ``_meta`` says; null, as some clients send it, is none."""
        return self.given_meta or NO_META

    @property
    def names_modern(self) -> bool:
        """Whether ``_meta`` names a revision without a handshake, as no older client does."""
        version = self.meta.version
        revision = BY_NAME.get(version) if isinstance(version, str) else None
        return revision is not None and revision.modern

    @property
    def given_arguments(self) -> msgspec.Raw:
        """The arguments as JSON; null, as some clients send it, is none."""
        return EMPTY_PARAMS if self.arguments == _NULL else self.arguments

    def member(self, name: str) -> Any:
        """A member by its name on the wire; UNSET: it is not there."""
        return getattr(self, _ATTRIBUTES.get(name, name))

    def text(self, member: str) -> str:
        """A member that must be a string, by its name on the wire.

        Raises:
            InvalidParams: it is none.
        """
        value = self.member(member)
        if not isinstance(value, str):
            raise InvalidParams(f"params.{member} must be a string.")
        return value


_ATTRIBUTES = {"taskId": "task_id"}
_decoder = msgspec.json.Decoder(Params)


def read_common(params: msgspec.Raw) -> Params:
    """Decode the members that several methods have in common.

    Raises:
        InvalidParams: ``_meta`` is no object.
    """
    try:
        return _decoder.decode(params)
    except msgspec.ValidationError as error:
        raise InvalidParams(f"The params are wrong: {error}.") from error
