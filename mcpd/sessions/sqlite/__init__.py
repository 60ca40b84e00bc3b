"""Sessions, streams, answers and tasks in one SQLite file."""
