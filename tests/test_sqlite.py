"""One file, several processes."""

import threading

from mcpd.sqlite import Database

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
