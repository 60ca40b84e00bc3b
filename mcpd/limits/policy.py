"""How often something may be done: every rate limit of the server, and how a refusal says so. With
the caps of ``caps.py`` these are its limits.
"""

import math
from dataclasses import dataclass

from mcpd.errors import TooManyRequests
from mcpd.limits.buckets import Buckets
from mcpd.limits.caps import MAX_RESULT_BYTES, Caps

REGISTRATION_BURST = 10
CALL_BURST_S = 6.0  # of the calls of a minute, at once


@dataclass(frozen=True, slots=True)
class RateLimit:
    """One limit, for each of its keys.

    Args:
        refusal: what a client that passes it is told.
        fix: what it can do, and which setting raises the limit.
    """

    refusal: str
    fix: str
    buckets: Buckets

    def check(self, key: str, now: float) -> None:
        """Count one more for a key at ``now``: seconds of a clock that only goes forward.

        Raises:
            TooManyRequests: it is one too many; with Retry-After.
        """
        wait_s = self.buckets.consume(key, now)
        if wait_s > 0:
            raise TooManyRequests(
                self.refusal,
                fix=self.fix,
                headers=((b"retry-after", b"%d" % math.ceil(wait_s)),),
            )


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one server.

    Attributes:
        calls: tool calls and completions, by principal.
        registrations: by address.
        caps: how much there may be at once.
        max_result_bytes: of a result as JSON.
        limit_loopback: whether addresses of this machine are limited too.
    """

    calls: RateLimit
    registrations: RateLimit
    caps: Caps
    limit_loopback: bool = False
    max_result_bytes: int = MAX_RESULT_BYTES


def make_limits(
    *,
    calls_per_minute: float,
    registrations_per_minute: float = 60.0,
    limit_loopback: bool = False,
    caps: Caps | None = None,
    max_result_bytes: int = MAX_RESULT_BYTES,
) -> Limits:
    """The limits that settings name."""
    burst = max(1, int(calls_per_minute * CALL_BURST_S / 60))
    return Limits(
        RateLimit(
            "You call too often.",
            "Call again later, or raise calls_per_minute.",
            Buckets(per_minute=calls_per_minute, burst=burst),
        ),
        RateLimit(
            "Your address registers too often.",
            "Keep the session id, or raise registrations_per_minute.",
            Buckets(per_minute=registrations_per_minute, burst=REGISTRATION_BURST),
        ),
        caps or Caps(),
        limit_loopback,
        max_result_bytes,
    )
