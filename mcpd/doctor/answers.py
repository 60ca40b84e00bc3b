"""Whether clients can read what the server answers. Pure.

Seen with the clients themselves: both SDKs refuse each of these, but for null, which the Python
SDK reads as left out. VS Code reads messages without a check, and finds answers by the exact id.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mcpd.client.message_rules import Fault, form_faults, result_faults
from mcpd.doctor.facts import HANDSHAKE, MODERN, Facts
from mcpd.doctor.finding import ALL, BRIDGE, OF_TYPESCRIPT, STRICT, VSCODE, Finding, without
from mcpd.doctor.seen import EVENT_STREAM, Seen
from mcpd.mcp.revisions import HANDSHAKE as HANDSHAKE_REVISIONS

MAX_TOLD = 3  # faults of one answer
_JSON = "application/json"
_WANTED = "Answer as JSON-RPC 2.0 and the schema of MCP have it."
_ESSENTIAL = "tools/list"  # what most clients are there for; they drop a list with a fault whole


@dataclass(frozen=True, slots=True)
class _Wrong:
    """One thing that is wrong, in one answer or in several."""

    text: str
    fix: str
    clients: tuple[str, ...]


Wrongs = Iterator[tuple[_Wrong, str]]  # with the name of the answer


def answers(facts: Facts) -> Iterator[Finding]:
    """What is wrong with the answers to ``initialize`` and to the lists. The same thing is told
    once.
    """
    found: dict[_Wrong, list[str]] = {}
    for wrong, what in _wrongs(facts):
        found.setdefault(wrong, []).append(what)
    for wrong, names in found.items():
        essential = any(_ESSENTIAL in name or name == "initialize" for name in names)
        yield Finding(
            f"{', '.join(names)}: {wrong.text}.",
            wrong.fix,
            fails=wrong.clients if essential else (),
            limited=() if essential else wrong.clients,
        )


def _wrongs(facts: Facts) -> Wrongs:
    if facts.initialize.status == 200:
        yield from _answer("initialize", "initialize", facts.initialize)
    if facts.version and not facts.knows_version:
        text = f"agrees on {facts.version} (asked for: {HANDSHAKE}), which clients do not know here"
        fix = f"Answer one of {', '.join(HANDSHAKE_REVISIONS)}."
        if facts.version == MODERN:
            fix += f" {MODERN} has no initialize."
        yield _Wrong(text, fix, STRICT), "initialize"
    for method, pages in facts.lists.items():
        yield from _list(method, pages)


def _list(method: str, pages: list[Seen]) -> Wrongs:
    for number, page in enumerate(pages):
        what = method if number == 0 else f"page {number + 1} of {method}"
        if page.status != 200 or page.error or "error" in page.answer:
            told = page.error or f"{page.status} {page.says}"
            text = f"not answered, though the capability is there ({told})"
            yield _Wrong(text, "Answer it, or leave the capability out.", ALL), what
        else:
            yield from _answer(what, method, page)
    cursors = [page.result.get("nextCursor") for page in pages]
    if len(cursors) > 1 and cursors[0] == cursors[1]:
        text = "the next page has the same nextCursor, so that clients that read all never end"
        yield _Wrong(text, "Leave nextCursor out on the last page.", ALL), method


def _answer(what: str, method: str, seen: Seen) -> Wrongs:
    """Of something that has an answer."""
    answer = seen.answer
    if not answer:
        return
    if seen.kind not in (_JSON, EVENT_STREAM):
        text = f"the content type is {seen.kind or 'missing'}, not {_JSON} or {EVENT_STREAM}"
        yield _Wrong(text, f"Send Content-Type: {_JSON}.", without(STRICT, BRIDGE)), what
    asked, got = seen.request_id, answer.get("id")
    if got != asked or type(got) is not type(asked):
        same = str(got) == str(asked)
        told = "null" if got is None else "a string" if same else "another"
        text = f"the id of the answer is {told}, not that of the request, so it is not found"
        yield _Wrong(text, "Send the id back as it came.", (VSCODE,) if same else ALL), what
    faults = [*form_faults(answer)]
    if "result" in answer:
        faults += result_faults(method, answer["result"])
    hard = [fault for fault in faults if not fault.is_null]
    soft = [fault for fault in faults if fault.is_null]
    for found, clients in ((hard, STRICT), (soft, OF_TYPESCRIPT)):
        if found:
            yield _Wrong(_listed(found), _WANTED, clients), what


def _listed(faults: list[Fault]) -> str:
    texts = list(dict.fromkeys(fault.text for fault in faults))
    more = len(texts) - MAX_TOLD
    return ", ".join(texts[:MAX_TOLD]) + (f", and {more} more" if more > 0 else "")
