"""Which era a call belongs to: decided here, once. Pure."""

from collections.abc import Collection
from enum import Enum, auto

import msgspec

from mcpd.mcp.envelope.params import Params
from mcpd.mcp.revisions import BY_NAME
from mcpd.rpc.messages import Call


class Era(Enum):
    """The two ways in which a request says who sends it."""

    HANDSHAKE = auto()  # up to 2025-11-25: initialize, then the session knows
    MODERN = auto()  # 2026-07-28: each request carries it


BOTH_ERAS = frozenset(Era)


class Envelope(msgspec.Struct, frozen=True):
    """A request's era and what was read of its params.

    Attributes:
        begins_session: it is the ``initialize`` of the handshake era.
    """

    era: Era
    params: Params
    begins_session: bool = False


def hinted_era(version: str | None) -> Era | None:
    """What the header MCP-Protocol-Version says of the era, before the body is read."""
    revision = BY_NAME.get(version or "")
    if revision is None:
        return None
    return Era.MODERN if revision.modern else Era.HANDSHAKE


def classify(
    call: Call, params: Params, *, hint: Era | None = None, served: Collection[Era] = BOTH_ERAS
) -> Envelope:
    """Decide by ``_meta``, which modern requests carry, and else by the hint.

    Args:
        params: what was read of the call's.
        hint: see ``hinted_era``.
        served: the eras of this endpoint; where it is one, it is that one.

    Raises:
        InvalidParams: ``_meta`` is no object.
    """
    version = params.meta.version
    modern_here = Era.MODERN in served and params.names_modern
    if call.method == "initialize" and not modern_here:
        return Envelope(Era.HANDSHAKE, params, begins_session=True)
    if len(served) == 1:
        return Envelope(next(iter(served)), params)
    modern = version is not msgspec.UNSET or hint is Era.MODERN
    return Envelope(Era.MODERN if modern else Era.HANDSHAKE, params)
