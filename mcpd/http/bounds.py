"""How much and how long: every bound of the HTTP layer, with its unit in its name."""

from dataclasses import dataclass

from mcpd.errors import ContentTooLarge


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds on one connection, and on all of them. Refusals name the setting of the same name."""

    max_head_bytes: int = 32 * 1024  # 431; nginx and h11 use 8 to 64 KiB
    max_body_bytes: int = 4 * 1024 * 1024  # 413
    head_timeout_s: float = 15.0  # 408, from the first byte of a head to its last
    body_timeout_s: float = 60.0  # 408, for a whole body
    idle_timeout_s: float = 75.0  # keep-alive without a request; nginx's value
    write_timeout_s: float = 30.0  # for a peer to take one piece of what we write
    request_timeout_s: float = 3600.0  # 503, for the work behind one request
    left_call_timeout_s: float = 600.0  # for a call that goes on without its client
    heartbeat_s: float = 15.0  # a comment on a quiet event stream
    max_connections: int = 8192  # 503
    max_connections_per_address: int = 256  # 503; for each IPv4 address or IPv6 /64
    limit_loopback: bool = False  # whether peers of this machine have that bound too
    retry_hint_ms: int = 1000  # when an event stream is ended by us


WATCH_AFTER_S = 0.05  # a request that runs longer is watched for its peer's going away
READ_BYTES = 16 * 1024  # below any head limit in use, so that h11 sees heads in pieces
BODY_READ_BYTES = 128 * 1024
WRITE_PIECE_BYTES = 256 * 1024  # write_timeout_s is for one piece
PIPELINE_BYTES = 64 * 1024  # kept of what a peer sends while its last request runs
UNREAD_BODY_BYTES = 64 * 1024  # an unread body up to this size is skipped to keep a connection
MAX_CHUNK_LINE_BYTES = 4096  # the size of a chunk with its extensions, or one trailer
FRAMING_BYTES = 32 * 1024  # of a chunked body that are not data, whatever its size ...
FRAMING_SHARE = 8  # ... and one more for so many bytes of data: chunks of 40 bytes and more pass
DRAIN_IDLE_S = 0.05  # for a request that came just before an idle connection is closed
DRAIN_FRESH_S = 1.0  # for the first request of a connection that came just before
GOODBYE_S = 2.0  # for the last answer and the half-close
LINGER_S = 2.0  # for a peer to notice a refusal while it still sends
LINGER_BYTES = 8 * 1024 * 1024  # more than a large body: its client reads why it was refused


def too_large(max_bytes: int) -> ContentTooLarge:
    """413: the body passes its bound."""
    return ContentTooLarge(
        f"The body has more than the {max_bytes} bytes that are read here.",
        fix="Send less at once, or raise max_body_bytes.",
        data={"max_bytes": max_bytes},
    )
