-- tasks.sqlite of schema 1, as the last build of it wrote it.
PRAGMA auto_vacuum = 0;
PRAGMA application_id = 0;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE task (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    user TEXT NOT NULL,
    status TEXT NOT NULL,
    priority TEXT NOT NULL,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    record BLOB NOT NULL
);
INSERT INTO "task" VALUES(1,'one','alice','pending','low','Buy milk','Two litres of it shop','{"id":"one","title":"Buy milk","status":"pending","priority":"low","created_at":"2023-11-14T22:13:20Z","updated_at":"2023-11-14T22:13:20Z","description":"Two litres of it","tags":["shop"]}');
INSERT INTO "task" VALUES(2,'two','alice','completed','high','Überweisen','','{"id":"two","title":"Überweisen","status":"completed","priority":"high","created_at":"2023-11-14T22:13:20Z","updated_at":"2023-11-14T22:13:20Z","completed_at":"2023-11-14T22:13:20Z"}');
CREATE INDEX task_by_user ON task (user, number);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('task',3);
COMMIT;
