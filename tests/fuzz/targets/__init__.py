"""Every target, in the order in which they run."""

from tests.fuzz.target import Target
from tests.fuzz.targets import (
    arguments,
    envelope,
    events,
    fields,
    http_bodies,
    http_heads,
    lines,
    questions,
    rpc,
    server,
    tokens,
    transcripts,
)

TARGETS: list[Target] = [
    target
    for module in (http_heads, http_bodies, rpc, envelope, tokens, arguments, questions, lines,
                   events, transcripts, fields, server)
    for target in module.TARGETS
]  # fmt: skip
