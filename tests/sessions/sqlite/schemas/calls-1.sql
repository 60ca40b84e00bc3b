-- calls.sqlite of schema 1, as its first build wrote it.
PRAGMA auto_vacuum = 2;
PRAGMA application_id = 0;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE call (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    user TEXT NOT NULL,
    credential TEXT NOT NULL,
    client TEXT NOT NULL,
    revision TEXT NOT NULL,
    session TEXT NOT NULL,
    address TEXT NOT NULL,
    method TEXT NOT NULL,
    target TEXT NOT NULL,
    status INTEGER NOT NULL,
    code INTEGER NOT NULL,
    is_error INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    seconds REAL NOT NULL,
    request TEXT NOT NULL
);
INSERT INTO "call" VALUES(1,1700000000.0,'alice','k1','cursor 1.2','2025-06-18','s','','tools/call','add',0,0,0,0,0.25,'abab-c-1');
INSERT INTO "call" VALUES(2,1700000000.0,'alice','k1','cursor 1.2','2025-06-18','s','','tools/call','divide',0,-32602,0,0,0.25,'abab-c-1');
INSERT INTO "call" VALUES(3,1700000000.0,'','','','','','192.0.2.1','POST','/mcp/',401,0,0,0,0.01,'abab-r-2');
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('call',3);
COMMIT;
