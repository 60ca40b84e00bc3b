"""Results as JSON, with what the revision wants on each."""

import msgspec

from mcpd.mcp.request import Job, Result

_encode = msgspec.json.Encoder().encode


def encode(job: Job, result: Result) -> bytes:
    """A result as JSON; a Raw one is complete already."""
    if isinstance(result, msgspec.Raw):
        return bytes(result)
    if job.caller.revision.modern:
        result = job.services.host.complete(result, job.caller.revision)
    return _encode(result)
