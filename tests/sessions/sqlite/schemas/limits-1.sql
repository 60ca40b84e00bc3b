-- limits.sqlite of schema 1.
PRAGMA auto_vacuum = 2;
PRAGMA application_id = 0;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE window (
    key TEXT NOT NULL,
    rule TEXT NOT NULL,
    number INTEGER NOT NULL,
    counts TEXT NOT NULL,
    ends REAL NOT NULL,
    PRIMARY KEY (key, rule)
) WITHOUT ROWID;
CREATE INDEX window_by_end ON window (ends)
;
COMMIT;
