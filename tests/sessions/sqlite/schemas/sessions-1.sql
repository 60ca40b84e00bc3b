-- sessions.sqlite of schema 1, as the last build of it wrote it: sessions alone.
PRAGMA auto_vacuum = 0;
PRAGMA application_id = 0;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE session (
    id TEXT PRIMARY KEY,
    created_at REAL NOT NULL,
    last_activity REAL NOT NULL,
    issuer TEXT,
    subject TEXT,
    record BLOB NOT NULL
) WITHOUT ROWID;
INSERT INTO "session" VALUES('11111111-1111-4111-8111-111111111111',1700000000.0,1700000050.0,'','alice',CAST('{"id":"11111111-1111-4111-8111-111111111111","created_at":1700000000.0,"last_activity":1700000000.0,"state":"ready","client_name":"cursor","client_version":"1.2","capabilities":{"sampling":{}},"address":"192.0.2.1","user_agent":"agent/1","revision":"2025-06-18","log_level":"info","subscriptions":["file:///a","file:///b"],"issuer":"","subject":"alice"}' AS BLOB));
INSERT INTO "session" VALUES('22222222-2222-4222-8222-222222222222',1700000001.0,1700000001.0,NULL,NULL,CAST('{"id":"22222222-2222-4222-8222-222222222222","created_at":1700000001.0,"last_activity":1700000001.0,"client_name":"idle"}' AS BLOB));
CREATE INDEX session_by_activity ON session (last_activity);
CREATE INDEX session_unbound ON session (created_at) WHERE subject IS NULL;
COMMIT;
