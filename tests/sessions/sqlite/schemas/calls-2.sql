-- calls.sqlite of schema 2.
PRAGMA auto_vacuum = 2;
PRAGMA application_id = 0;
PRAGMA user_version = 2;
BEGIN TRANSACTION;
CREATE TABLE calls (
    last INTEGER PRIMARY KEY AUTOINCREMENT,
    number INTEGER NOT NULL,
    entries BLOB NOT NULL
);
INSERT INTO "calls" VALUES(1,1,'[[1700000000.0,"alice","k1","cursor 1.2","2025-06-18","s","","tools/call","add",0,0,false,false,0.25,"abab-c-1"]]');
INSERT INTO "calls" VALUES(2,1,'[[1700000000.0,"alice","k1","cursor 1.2","2025-06-18","s","","tools/call","divide",0,-32602,false,false,0.25,"abab-c-1"]]');
INSERT INTO "calls" VALUES(3,1,'[[1700000000.0,"","","","","","192.0.2.1","POST","/mcp/",401,0,false,false,0.01,"abab-r-2"]]');
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('calls',3);
COMMIT;
