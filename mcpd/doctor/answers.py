"""Whether clients can read what the server answers. Pure.

Seen with the clients themselves: both SDKs refuse each of these, but for null, which the Python
SDK reads as left out. VS Code reads messages without a check, and finds answers by the exact id.
"""

from collections.abc import Iterator

from mcpd.client.message_rules import Fault, form_faults, result_faults
from mcpd.doctor.facts import HANDSHAKE, MODERN, Facts
from mcpd.doctor.finding import ALL, BRIDGE, OF_TYPESCRIPT, STRICT, VSCODE, Finding, without
from mcpd.doctor.seen import EVENT_STREAM, Seen
from mcpd.mcp.revisions import HANDSHAKE as HANDSHAKE_REVISIONS

MAX_TOLD = 3  # faults of one answer
_JSON = "application/json"
_WANTED = "The schema of MCP and JSON-RPC 2.0 say how it is to be; libraries for servers do it so."


def answers(facts: Facts) -> Iterator[Finding]:
    """What is wrong with the answers to ``initialize`` and to the lists."""
    if facts.initialize.status == 200:
        yield from _answer("initialize", facts.initialize, essential=True)
    if facts.version and not facts.knows_version:
        yield Finding(
            f"initialize agrees on the version {facts.version} (asked for: {HANDSHAKE}), which"
            " clients do not know for a session.",
            f"Answer one of {', '.join(HANDSHAKE_REVISIONS)}; {MODERN} has no initialize."
            if facts.version == MODERN
            else f"Answer one of {', '.join(HANDSHAKE_REVISIONS)}.",
            STRICT,
        )
    for method, pages in facts.lists.items():
        yield from _list(method, pages)


def _list(method: str, pages: list[Seen]) -> Iterator[Finding]:
    essential = method == "tools/list"
    for number, page in enumerate(pages):
        what = method if number == 0 else f"page {number + 1} of {method}"
        error = page.answer.get("error")
        if page.status != 200 or page.error or error is not None:
            told = page.error or f"{page.status} {page.says}"
            yield Finding(
                f"{what} is not answered, though the capability is there: {told}",
                "Answer it, or leave the capability out.",
                fails=ALL if essential else (),
                limited=() if essential else ALL,
            )
        else:
            yield from _answer(what, page, method=method, essential=essential)
    cursors = [page.result.get("nextCursor") for page in pages]
    if len(cursors) > 1 and cursors[0] == cursors[1]:
        yield Finding(
            f"Both pages of {method} that were read name the same nextCursor: clients that read"
            " every page never come to an end.",
            "Leave nextCursor out on the last page.",
            limited=ALL,
        )


def _answer(what: str, seen: Seen, *, method: str = "", essential: bool) -> Iterator[Finding]:
    """Of something that has an answer with a result."""
    answer = seen.answer
    if not answer:
        return
    if seen.kind not in (_JSON, EVENT_STREAM):
        yield _told(
            f"{what} is answered as {seen.kind or 'no type'}, not as {_JSON} or {EVENT_STREAM}.",
            f"Send Content-Type: {_JSON}.",
            without(STRICT, BRIDGE),
            essential=essential,
        )
    yield from _id(what, seen, essential=essential)
    faults = [*form_faults(answer)]
    if "result" in answer:
        faults += result_faults(method or what, answer["result"])
    hard = [fault for fault in faults if not fault.is_null]
    soft = [fault for fault in faults if fault.is_null]
    for found, clients in ((hard, STRICT), (soft, OF_TYPESCRIPT)):
        if found:
            yield _told(f"{what}: {_listed(found)}.", _WANTED, clients, essential=essential)


def _id(what: str, seen: Seen, *, essential: bool) -> Iterator[Finding]:
    asked, got = seen.request_id, seen.answer.get("id")
    if got == asked and type(got) is type(asked):
        return
    told = "null" if got is None else repr(got)
    clients = (VSCODE,) if str(got) == str(asked) else ALL
    yield _told(
        f"{what} is answered with the id {told}, and {asked!r} was asked: the answer is not found.",
        "Send back the id as it came.",
        clients,
        essential=essential,
    )


def _told(text: str, fix: str, clients: tuple[str, ...], *, essential: bool) -> Finding:
    if essential:
        return Finding(text, fix, fails=clients)
    return Finding(text, fix, limited=clients)


def _listed(faults: list[Fault]) -> str:
    texts = list(dict.fromkeys(fault.text for fault in faults))
    more = len(texts) - MAX_TOLD
    return ", ".join(texts[:MAX_TOLD]) + (f", and {more} more" if more > 0 else "")
