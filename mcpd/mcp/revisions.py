"""What each revision of MCP has. The only file that compares revisions."""

from dataclasses import dataclass, replace

from mcpd.errors import INVALID_PARAMS, RESOURCE_NOT_FOUND


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision, as the set of what it has. Dates name the revision that brought a thing."""

    name: str
    modern: bool = False  # 2026-07-28: no handshake, no session; metadata on every request
    batches: bool = False  # 2025-03-26 alone
    tool_annotations: bool = False  # 2025-03-26
    audio: bool = False  # 2025-03-26
    completions: bool = False  # 2025-03-26: the capability
    progress_messages: bool = False  # 2025-03-26: message in progress notifications
    resumable: bool = False  # 2025-03-26 to 2025-11-25: event ids
    primes_streams: bool = False  # 2025-11-25: an event with an id and no data comes first
    titles: bool = False  # 2025-06-18: title beside name
    structured: bool = False  # 2025-06-18: outputSchema, structuredContent
    resource_links: bool = False  # 2025-06-18
    elicitation: bool = False  # 2025-06-18
    metadata: bool = False  # 2025-06-18: _meta on declarations and content
    icons: bool = False  # 2025-11-25
    tasks: bool = False  # 2025-11-25: experimental; later an extension
    elicitation_modes: bool = False  # 2025-11-25: mode, so also url; titled and multiple choice
    sampling_tools: bool = False  # 2025-11-25
    argument_errors_as_results: bool = False  # 2025-11-25: wrong arguments are isError results
    any_structure: bool = False  # 2026-07-28: structured content need not be an object
    resource_not_found_code: int = RESOURCE_NOT_FOUND  # 2026-07-28: -32602


V2024_11_05 = Revision("2024-11-05")
V2025_03_26 = replace(
    V2024_11_05,
    name="2025-03-26",
    batches=True,
    tool_annotations=True,
    audio=True,
    completions=True,
    progress_messages=True,
    resumable=True,
)
V2025_06_18 = replace(
    V2025_03_26,
    name="2025-06-18",
    batches=False,
    titles=True,
    structured=True,
    resource_links=True,
    elicitation=True,
    metadata=True,
)
V2025_11_25 = replace(
    V2025_06_18,
    name="2025-11-25",
    icons=True,
    primes_streams=True,
    tasks=True,
    elicitation_modes=True,
    sampling_tools=True,
    argument_errors_as_results=True,
)
V2026_07_28 = replace(
    V2025_11_25,
    name="2026-07-28",
    modern=True,
    resumable=False,
    primes_streams=False,
    any_structure=True,
    resource_not_found_code=INVALID_PARAMS,
)

# Newest first: the order in which versions are offered.
REVISIONS = (V2026_07_28, V2025_11_25, V2025_06_18, V2025_03_26, V2024_11_05)
VERSION_NAMES = [revision.name for revision in REVISIONS]
BY_NAME = {revision.name: revision for revision in REVISIONS}
HANDSHAKE = {revision.name: revision for revision in REVISIONS if not revision.modern}
NEWEST_HANDSHAKE = V2025_11_25
ASSUMED_WITHOUT_HEADER = V2025_03_26  # MCP 2025-06-18, transports, "Protocol Version Header"


def versions(*, handshake: bool) -> list[str]:
    """What a server speaks that serves the revisions with a handshake, or does not."""
    return [revision.name for revision in REVISIONS if handshake or revision.modern]


def negotiate(requested: str) -> Revision:
    """What ``initialize`` answers: the requested revision, else our newest with a handshake.

    Never one that the client asked for and we do not speak, and never a modern one, which has
    no handshake (MCP 2025-11-25, lifecycle, "Version Negotiation").
    """
    return HANDSHAKE.get(requested, NEWEST_HANDSHAKE)
