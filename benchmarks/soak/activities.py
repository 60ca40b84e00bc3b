"""What well-behaved clients do. Each function is one activity; it raises Wrong or what was lost."""

import json
from contextlib import aclosing
from random import Random
from typing import Any

import trio

from benchmarks.soak.client import Session, Target, open_session, result_of, rpc, text_of
from benchmarks.soak.judge import Wrong
from benchmarks.soak.peer import Event

STEPS = 10
POLL_S = 0.3
SESSION_CALLS = (20, 600)  # in one session; it varies, or all users would renew theirs at once
ITEMS = 50  # that one user has at most


class SessionUser:
    """Has a session, and expects it to be there after every restart."""

    def __init__(self, seed: int) -> None:
        self._rng = Random(seed)
        self._session: Session | None = None
        self._left = 0

    async def session(self, target: Target) -> Session:
        """The one that there is, or a new one."""
        if self._session is not None and not self._left:
            ending, self._session = self._session, None
            await ending.end()
        if self._session is None:
            self._session = await open_session(target)
            self._left = self._rng.randint(*SESSION_CALLS)
        self._left -= 1
        return self._session

    async def check(self, target: Target) -> None:
        """At the end: it is still there."""
        if self._session is not None:
            number = self._session.number()
            ping = self._session.post(rpc(number, "ping", {}))
            result_of(*await target.once(ping), number)


async def stream(user: SessionUser, target: Target, rng: Random) -> None:
    """Ten progress messages, each once and in order, then the result."""
    await _counted(user, target, rng, cut_after=0)


async def resumed_stream(user: SessionUser, target: Target, rng: Random) -> None:
    """The same, but the client goes away in the middle and comes back."""
    await _counted(user, target, rng, cut_after=rng.randint(1, STEPS))


async def _counted(user: SessionUser, target: Target, rng: Random, cut_after: int) -> None:
    session = await user.session(target)
    number, key, seen = session.number(), f"{rng.random()}", []
    arguments = {"key": key, "steps": STEPS, "pause_s": rng.choice((0.0, 0.01, 0.1))}
    request = session.call(number, "count", arguments)
    async with aclosing(session.follow(request, cut_after)) as events:
        async for event in events:
            message = event.message or {}
            if message.get("method") == "notifications/progress":
                seen.append(message["params"]["progress"])
            elif "result" in message:
                _check_text(message, number, f"counted {key}")
    if seen != list(range(1, STEPS + 1)):
        raise Wrong(f"progress came as {seen} (left after {cut_after} events)")


def _check_text(message: dict[str, Any], number: int, expected: str) -> None:
    if message["id"] != number or text_of(message["result"]) != expected:
        raise Wrong(f"expected {expected!r} for {number}, got {message}")


async def elicitation(user: SessionUser, target: Target, rng: Random) -> None:
    """In a session: a question on the call's stream, its answer by another request."""
    session = await user.session(target)
    number, key = session.number(), f"{rng.random()}"
    answered: set[Any] = set()
    async with aclosing(session.follow(session.call(number, "ask", {"key": key}), 0)) as events:
        async for event in events:
            message = event.message or {}
            if message.get("method") == "elicitation/create" and message["id"] not in answered:
                answered.add(message["id"])
                await _answer(session, event)
            elif "result" in message:
                _check_text(message, number, f"{key} please")
    if not answered:
        raise Wrong("no question came")


async def _answer(session: Session, event: Event) -> None:
    assert event.message is not None
    content = {"action": "accept", "content": {"word": "please"}}
    answer = {"jsonrpc": "2.0", "id": event.message["id"], "result": content}
    head, body = await session.target.surely(session.post(json.dumps(answer).encode()))
    if head.status != 202:
        raise Wrong(f"answer: {head.status} {body[:300]!r}")


async def modern_elicitation(target: Target, rng: Random) -> None:
    """2026-07-28: the question is a result, the answer comes with a second call."""
    key = f"{rng.random()}"
    call = {"name": "ask", "arguments": {"key": key}}
    asked = result_of(*await target.once(target.modern(1, "tools/call", call, "ask")), 1)
    answers = {
        name: {"action": "accept", "content": {"word": "please"}}
        for name in asked.get("inputRequests", {})
    }
    if asked.get("resultType") != "input_required" or not answers:
        raise Wrong(f"no question: {asked}")
    again = {**call, "requestState": asked["requestState"], "inputResponses": answers}
    head, body = await target.surely(target.modern(2, "tools/call", again, "ask"))
    if text_of(result_of(head, body, 2)) != f"{key} please":
        raise Wrong(f"not our answer: {body[:300]!r}")


async def task(target: Target, rng: Random) -> None:
    """A call that becomes a task, polled until it is over. An interruption may fail it."""
    began, key = trio.current_time(), f"{rng.random()}"
    call = {"name": "work", "arguments": {"key": key}}
    made = result_of(*await target.once(target.modern(1, "tools/call", call, "work")), 1)
    if made.get("resultType") != "task":
        raise Wrong(f"no task: {made}")
    task_id = made["taskId"]
    poll = target.modern(2, "tasks/get", {"taskId": task_id}, task_id)
    while True:
        await trio.sleep(POLL_S)
        state = result_of(*await target.surely(poll), 2)
        if state["status"] == "completed":
            if text_of(state["result"]) != f"worked {key}":
                raise Wrong(f"not our task: {state}")
            return
        if state["status"] != "working":
            if state["status"] == "failed" and target.judge.excuses(began):
                return
            raise Wrong(f"the task is {state}")


async def registration(target: Target, rng: Random) -> None:
    """/register; then initialize and use it, end it, or leave it."""
    body = b'{"client_info": {"name": "soak", "version": "1"}}'
    head, answer = await target.once(target.request("POST", "/register", {}, body))
    if head.status != 200 or not json.loads(answer).get("session_id"):
        raise Wrong(f"register: {head.status} {answer[:300]!r}")
    session_id = json.loads(answer)["session_id"]
    chosen = rng.random()
    if chosen < 0.25:
        return
    if chosen < 0.75:
        await open_session(target, session_id)
    body = json.dumps({"session_id": session_id}).encode()
    head, answer = await target.once(target.request("POST", "/unregister", {}, body))
    if head.status != 200:
        raise Wrong(f"unregister: {head.status} {answer[:300]!r}")


async def listener(target: Target, rng: Random) -> None:
    """An open-ended stream that is held for a while."""
    asked = {"notifications": {"toolsListChanged": True}}
    async with target.connection() as peer:
        await peer.send(target.modern(1, "subscriptions/listen", asked))
        with trio.move_on_after(rng.uniform(0, 5)):
            async for event in peer.events(await peer.head()):
                if event.message is None or "method" not in event.message:
                    return  # the server says goodbye


class ItemUser:
    """Creates items with manage_task; what was acknowledged must be there for ever."""

    def __init__(self) -> None:
        self._items: dict[str, str] = {}  # id to title, as acknowledged

    async def act(self, target: Target, rng: Random) -> None:
        """Create, read or delete one."""
        if len(self._items) < ITEMS:
            title = f"item {rng.random()}"
            made = await self._manage(target, {"action": "create", "title": title})
            self._items[made["task"]["id"]] = title
        await self._read(target, rng.choice(list(self._items)))
        if len(self._items) == ITEMS:
            gone = rng.choice(list(self._items))
            title = self._items.pop(gone)  # after an interruption we cannot know
            await self._manage(target, {"action": "delete", "task_id": gone})

    async def check(self, target: Target) -> None:
        """At the end: everything that was acknowledged is there."""
        for item in self._items:
            await self._read(target, item)

    async def _read(self, target: Target, item: str) -> None:
        found = await self._manage(target, {"action": "get", "task_id": item})
        if found["task"]["title"] != self._items[item]:
            raise Wrong(f"item {item} is {found}, not {self._items[item]!r}")

    async def _manage(self, target: Target, arguments: dict[str, Any]) -> dict[str, Any]:
        call = {"name": "manage_task", "arguments": arguments}
        request = target.modern(1, "tools/call", call, "manage_task")
        found: dict[str, Any] = result_of(*await target.once(request), 1)["structuredContent"]
        return found
