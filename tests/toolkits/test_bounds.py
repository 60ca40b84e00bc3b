"""What one user of manage_task can keep, and what one search can cost."""

import sqlite3

import msgspec
import pytest
import trio
import trio.testing

from mcpd.toolkits.tasks import search, store
from mcpd.toolkits.tasks.model import Task
from mcpd.toolkits.tasks.search import MAX_WORDS, Page, SearchTooLarge, Wanted, scan
from mcpd.toolkits.tasks.store import TaskStore, TooManyBytes, TooManyTasks
from tests.in_process import serving
from tests.toolkits.test_tasks import do

LONG = "a" * 20_000
HARD = "a" * 200 + "b" + "a" * 299  # nearly fits at every place


def task(number: int, **changes: object) -> Task:
    values = {"status": "pending", "priority": "low", "created_at": "", "updated_at": "", **changes}
    return Task(id=f"id{number}", title=f"Task {number}", **values)  # type: ignore[arg-type]


@pytest.fixture
def tasks(tmp_path):
    opened = TaskStore(tmp_path / "tasks.sqlite")
    yield opened
    opened.close()


async def find(tasks: TaskStore, text: str = "", *, tag: str | None = None, limit: int = 50):
    page = Page(0, limit)
    await tasks.find("alice", Wanted.of(text, tag), status=None, priority=None, page=page)
    return page


async def test_others_have_their_turn_while_a_search_goes_on(tasks):
    for number in range(60):
        await tasks.add("alice", task(number, description=LONG))
    done = []

    async def look() -> None:
        assert (await find(tasks, HARD)).total == 0
        done.append("search")

    async def other() -> None:
        await tasks.add("bob", task(100))
        done.append("add")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(other)
    assert done == ["add", "search"]


async def test_a_search_can_be_cancelled(tmp_path):
    ticks = []
    scope = trio.CancelScope()

    def clock() -> float:
        ticks.append(1)
        if len(ticks) == 2:  # after its first step
            scope.cancel()
        return 0.0

    tasks = TaskStore(tmp_path / "tasks.sqlite", clock=clock)
    for number in range(60):
        await tasks.add("alice", task(number, description=LONG))
    with scope:
        await find(tasks, HARD)
    assert scope.cancelled_caught
    assert len(ticks) == 2
    tasks.close()


async def test_a_search_has_a_bound_on_bytes_and_on_time(tasks, monkeypatch):
    for number in range(40):
        await tasks.add("alice", task(number, description=LONG))
    monkeypatch.setattr(store, "MAX_SCAN_BYTES", 300_000)
    with pytest.raises(SearchTooLarge):
        await find(tasks, "nothing")
    monkeypatch.undo()
    times = iter([0.0, search.MAX_SCAN_S + 1])
    monkeypatch.setattr(tasks, "_clock", lambda: next(times))
    with pytest.raises(SearchTooLarge):
        await find(tasks, "nothing")


async def test_a_search_that_is_too_large_says_how_to_narrow_it(tmp_path, monkeypatch):
    monkeypatch.setattr(search, "STEP_BYTES", 1)
    monkeypatch.setattr(store, "MAX_SCAN_BYTES", 10)
    async with serving(tmp_path) as server:
        for title in ("one", "two"):
            await do(server, action="create", title=title)
        assert "narrow it" in await do(server, action="search", query="three")


async def test_words_are_bounded_and_repeated_ones_count_once(tmp_path):
    async with serving(tmp_path) as server:
        await do(server, action="create", title="x " * 20)
        assert (await do(server, action="search", query="x " * 200))["total"] == 1
        many = " ".join(f"w{number}" for number in range(MAX_WORDS + 1))
        assert "more than 16 words" in await do(server, action="search", query=many)


def test_a_step_looks_at_so_many_bytes(monkeypatch):
    monkeypatch.setattr(search, "STEP_BYTES", 50)
    rows = [(number, "x" * 20, "", "") for number in range(10)]
    step = scan(iter(rows), Wanted.of("y", None))
    assert (step.reached, step.size, step.done) == (2, 60, False)


def test_case_and_letters_of_any_language():
    wanted = Wanted.of("ÄPFEL .*", None)
    assert wanted.fits((1, "Äpfel", "a .* b", ""))
    assert not wanted.fits((1, "Äpfel", "a b", ""))


async def test_pages_end_at_so_many_bytes_and_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr(search, "PAGE_BYTES", 50_000)
    async with serving(tmp_path) as server:
        for number in range(7):
            await do(server, action="create", title=str(number), description=LONG)
        for action, more in (("list", {}), ("search", {"query": "aaa"})):
            seen, offset = [], 0
            while offset is not None:
                page = await do(server, action=action, offset=offset, limit=200, **more)
                assert page["total"] == 7
                seen += [task["title"] for task in page["tasks"]]
                offset = page.get("next_offset")
            assert seen == [str(number) for number in range(7)]


async def test_a_user_keeps_so_many_tasks_and_so_many_bytes(tasks, monkeypatch):
    monkeypatch.setattr(store, "MAX_TASKS_PER_USER", 3)
    monkeypatch.setattr(store, "MAX_BYTES_PER_USER", 100_000)
    for number in range(2):
        await tasks.add("alice", task(number, description=LONG))
    with pytest.raises(TooManyBytes):
        await tasks.add("alice", task(2, description=LONG))
    await tasks.add("alice", task(2))
    with pytest.raises(TooManyTasks):
        await tasks.add("alice", task(3))
    with pytest.raises(TooManyBytes):
        await tasks.change("alice", "id2", {"description": LONG})
    assert (await tasks.change("alice", "id0", {"description": ""})).description == ""
    assert (await tasks.change("alice", "id2", {"description": LONG})).description == LONG
    await tasks.delete("alice", "id1")
    await tasks.add("alice", task(4))
    await tasks.add("bob", task(5, description=LONG))


async def test_a_quota_is_an_error_that_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "MAX_BYTES_PER_USER", 1000)
    async with serving(tmp_path) as server:
        told = await do(server, action="create", title="x", description=LONG)
        assert "delete or shorten" in told


async def test_an_older_file_is_counted_when_it_is_opened(tmp_path, monkeypatch):
    path = tmp_path / "tasks.sqlite"
    old = sqlite3.connect(path)
    old.executescript(
        "CREATE TABLE task (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,"
        " user TEXT NOT NULL, status TEXT NOT NULL, priority TEXT NOT NULL, title TEXT NOT NULL,"
        " body TEXT NOT NULL, record BLOB NOT NULL);"
        "CREATE INDEX task_by_user ON task (user, number); PRAGMA user_version = 1;"
    )
    for number in range(3):
        one = task(number, description="ä" * 100)
        record = msgspec.json.encode(one).decode()
        old.execute(
            "INSERT INTO task (id, user, status, priority, title, body, record)"
            " VALUES (?, 'alice', 'pending', 'low', ?, ?, ?)",
            (one.id, one.title, one.description, record),
        )
    old.commit()
    old.close()
    tasks = TaskStore(path)
    monkeypatch.setattr(store, "MAX_TASKS_PER_USER", 3)
    assert (await find(tasks, "Ä")).total == 3
    with pytest.raises(TooManyTasks):
        await tasks.add("alice", task(9))
    for number in range(3):
        await tasks.delete("alice", f"id{number}")
    usage = await tasks._database.read(lambda db: db.execute("SELECT * FROM usage").fetchall())
    assert usage[0][:2] == ("alice", 0)
    assert usage[0][2] < 30  # the old body had no space behind the description
    tasks.close()
