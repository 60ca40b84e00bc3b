"""One file: several processes, a disk that is full, a file that shrinks."""

import sqlite3
import threading

import pytest
import trio
import trio.testing

from mcpd.errors import ConfigError, StoreError
from mcpd.sqlite import Database, opening
from mcpd.sqlite.database import KEEP_FREE_PAGES, Job
from mcpd.sqlite.faults import FULL
from mcpd.sqlite.opening import WAL_BYTES

OPENERS = 6
ROUNDS = 20


def test_a_new_file_can_be_made_by_many_at_once(tmp_path):
    """As workers do at their first start."""
    errors = []
    for number in range(ROUNDS):
        all_there = threading.Barrier(OPENERS)

        def open_it(path=tmp_path / f"{number}.sqlite", all_there=all_there):
            all_there.wait()
            try:
                Database(path, "CREATE TABLE a (b)", alone=False).close()
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=open_it) for _ in range(OPENERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []


SCHEMA = "CREATE TABLE a (b)"
PAGE = 4096


def insert(size: int) -> Job[None]:
    def job(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO a VALUES (?)", (b"x" * size,))

    return job


def count(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM a").fetchone()[0])


async def let_grow(database: Database, pages: int) -> None:
    """By so many pages; SQLite then says that the disk is full."""

    def limit(db: sqlite3.Connection) -> None:
        there = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {there + pages}")

    await database.read(limit)


async def test_on_a_full_disk_no_write_of_the_group_is_acknowledged(tmp_path):
    """SQLite rolls the whole transaction back by itself."""
    database = Database(tmp_path / "a.sqlite", SCHEMA)
    await database.write(insert(10))
    await let_grow(database, 5)
    refused: list[StoreError] = []

    async def write(size: int) -> None:
        try:
            await database.write(insert(size))
        except StoreError as error:
            refused.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write, 5)  # alone
        await trio.testing.wait_all_tasks_blocked()
        for size in (10, 100 * PAGE, 10):  # together
            nursery.start_soon(write, size)
    kept = await database.read(count)
    assert kept + len(refused) == 5
    assert kept in (1, 2)
    assert {error.message for error in refused} == {FULL.words}
    assert all(dict(error.headers)[b"retry-after"] for error in refused)
    assert str(tmp_path) not in refused[0].message + refused[0].fix
    await let_grow(database, 1000)
    await database.write(insert(100 * PAGE))
    assert await database.read(count) == kept + 1
    database.close()


@pytest.mark.parametrize("kind", ["full", "read_only"])
async def test_a_file_that_cannot_be_written_is_noted_and_tried_until_it_can(
    tmp_path, kind, caplog
):
    now = [0.0]
    database = Database(tmp_path / "a.sqlite", SCHEMA)
    database.condition._clock = lambda: now[0]
    fails = "PRAGMA max_page_count = 1" if kind == "full" else "PRAGMA query_only = 1"
    works = "PRAGMA max_page_count = 10000" if kind == "full" else "PRAGMA query_only = 0"
    await database.read(lambda db: db.execute(fails).fetchall())
    for now[0] in (0.0, 30.0, 59.0, 61.0, 90.0):
        with pytest.raises(StoreError):
            await database.write(insert(PAGE))
    assert database.condition.state == kind
    lines = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(lines) == 2  # once a minute
    assert "a.sqlite" in lines[0].getMessage()
    assert "mcpd goes on by itself" in lines[0].getMessage()
    await database.read(lambda db: db.execute(works).fetchall())
    await database.probe()
    assert database.condition.state == "ok"
    assert "can be written again" in caplog.text
    await database.write(insert(PAGE))
    database.close()


async def test_a_refused_job_is_no_fault_of_the_file(tmp_path, caplog):
    database = Database(tmp_path / "a.sqlite", "CREATE TABLE a (b UNIQUE)")
    await database.write(insert(1))
    with pytest.raises(StoreError):
        await database.write(insert(1))
    assert database.condition.state == "ok"
    assert caplog.text == ""
    database.close()


async def fill_and_empty(database: Database, pages: int) -> None:
    for _ in range(pages // 64):
        await database.write(insert(64 * PAGE))
    await database.write(lambda db: db.execute("DELETE FROM a"))


async def test_what_is_deleted_is_given_back_in_steps(tmp_path):
    path = tmp_path / "a.sqlite"
    database = Database(path, SCHEMA)
    await fill_and_empty(database, 2048)
    await database.give_back()
    assert path.stat().st_size <= (KEEP_FREE_PAGES + 16) * PAGE
    assert path.with_name("a.sqlite-wal").stat().st_size == 0
    await fill_and_empty(database, 64)
    before = path.stat().st_size
    await database.give_back()  # little is kept for what comes next
    assert path.stat().st_size == before
    database.close()


async def test_the_log_of_writes_does_not_stay_large(tmp_path):
    database = Database(tmp_path / "a.sqlite", SCHEMA)
    await database.write(insert(4096 * PAGE))  # 16 MiB in one transaction
    for _ in range(3):
        await database.write(insert(1))
    assert (tmp_path / "a.sqlite-wal").stat().st_size <= WAL_BYTES
    database.close()


async def test_a_file_of_an_older_mcpd_is_made_able_to_shrink(tmp_path):
    path = tmp_path / "a.sqlite"
    old = sqlite3.connect(path)
    old.executescript(f"PRAGMA journal_mode = WAL; {SCHEMA}; PRAGMA user_version = 1")
    old.execute("INSERT INTO a VALUES ('kept')")
    old.commit()
    assert old.execute("PRAGMA auto_vacuum").fetchone() == (0,)
    old.close()
    database = Database(path, SCHEMA)
    assert await database.read(count) == 1
    await fill_and_empty(database, 2048)
    await database.give_back()
    assert path.stat().st_size <= (KEEP_FREE_PAGES + 16) * PAGE
    database.close()


def test_a_file_that_is_too_large_to_be_rewritten_is_left_as_it_is(tmp_path, monkeypatch, caplog):
    path = tmp_path / "a.sqlite"
    old = sqlite3.connect(path)
    old.executescript(f"{SCHEMA}; PRAGMA user_version = 1")
    old.close()
    monkeypatch.setattr(opening, "MAX_REBUILD_BYTES", 1)
    Database(path, SCHEMA).close()
    assert "VACUUM" in caplog.text


def test_a_server_starts_with_a_file_that_it_need_not_write(tmp_path):
    """A full disk keeps no server from starting."""
    path = tmp_path / "a.sqlite"
    Database(path, SCHEMA).close()
    connection = opening.connect(path)
    connection.execute("PRAGMA query_only = 1")
    opening.open_file(connection, path)
    opening.prepare(connection, path, SCHEMA, 1, {})
    assert path.with_name("a.sqlite-wal").stat().st_size == 0
    connection.close()


def test_a_file_that_turns_out_to_be_of_no_use_is_let_go(tmp_path):
    path = tmp_path / "a.sqlite"
    with pytest.raises(ConfigError, match="no such table"):
        Database(path, SCHEMA).prepare(lambda db: db.execute("SELECT * FROM missing"))
    Database(path, SCHEMA).close()  # it is not locked
