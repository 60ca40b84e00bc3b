-- sessions.sqlite of schema 3, made from the one of schema 2 without tasks.
PRAGMA auto_vacuum = 2;
PRAGMA application_id = 0;
PRAGMA user_version = 3;
BEGIN TRANSACTION;
CREATE TABLE event (
    session_id TEXT NOT NULL,
    stream_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (session_id, stream_id, number),
    FOREIGN KEY (session_id, stream_id) REFERENCES stream (session_id, id) ON DELETE CASCADE
) WITHOUT ROWID;
INSERT INTO "event" VALUES('11111111-1111-4111-8111-111111111111','abababababab22aab16f-Nw',1,CAST('{"progress":1}' AS BLOB));
INSERT INTO "event" VALUES('11111111-1111-4111-8111-111111111111','abababababab22aab16f-Nw',2,CAST('{"progress":2}' AS BLOB));
INSERT INTO "event" VALUES('11111111-1111-4111-8111-111111111111','abababababab22aab16f-Nw',3,CAST('{"progress":3}' AS BLOB));
INSERT INTO "event" VALUES('11111111-1111-4111-8111-111111111111','ababababababea9afbae-OA',1,CAST('{"progress":1}' AS BLOB));
INSERT INTO "event" VALUES('11111111-1111-4111-8111-111111111111','ababababababea9afbae-OA',2,CAST('{"id":8,"result":{}}' AS BLOB));
INSERT INTO "event" VALUES('11111111-1111-4111-8111-111111111111','session',1700000010000000,CAST('{"method":"notifications/resources/updated"}' AS BLOB));
CREATE TABLE question (
    session_id TEXT NOT NULL REFERENCES session (id) ON DELETE CASCADE,
    request_id TEXT NOT NULL,
    asker TEXT NOT NULL,
    reply BLOB,
    PRIMARY KEY (session_id, request_id)
) WITHOUT ROWID;
INSERT INTO "question" VALUES('11111111-1111-4111-8111-111111111111','asked-1','abababababab22aab16f-Nw',CAST('{"result":{"action":"accept"}}' AS BLOB));
INSERT INTO "question" VALUES('11111111-1111-4111-8111-111111111111','asked-2','abababababab22aab16f-Nw',NULL);
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
CREATE TABLE stream (
    session_id TEXT NOT NULL REFERENCES session (id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    call BLOB,
    owner TEXT,
    last INTEGER NOT NULL DEFAULT 0,
    events INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    finished INTEGER NOT NULL DEFAULT 0,
    expires_at REAL,
    PRIMARY KEY (session_id, id)
) WITHOUT ROWID;
INSERT INTO "stream" VALUES('11111111-1111-4111-8111-111111111111','abababababab22aab16f-Nw',CAST('{"session_id":"11111111-1111-4111-8111-111111111111","stream_id":"abababababab22aab16f-Nw","request":"eyJqc29ucnBjIjoiMi4wIiwiaWQiOjcsIm1ldGhvZCI6InRvb2xzL2NhbGwiLCJwYXJhbXMiOnsibmFtZSI6ImFkZCJ9fQ==","subject":"alice","scopes":["read","write"]}' AS BLOB),'old',3,3,42,0,1700003610.0);
INSERT INTO "stream" VALUES('11111111-1111-4111-8111-111111111111','ababababababea9afbae-OA',CAST('{"session_id":"11111111-1111-4111-8111-111111111111","stream_id":"ababababababea9afbae-OA","request":"eyJqc29ucnBjIjoiMi4wIiwiaWQiOjgsIm1ldGhvZCI6InRvb2xzL2NhbGwiLCJwYXJhbXMiOnsibmFtZSI6ImFkZCJ9fQ==","subject":"alice","scopes":["read","write"]}' AS BLOB),'old',2,2,34,1,1700000310.0);
INSERT INTO "stream" VALUES('11111111-1111-4111-8111-111111111111','session',NULL,NULL,1700000010000000,1,44,0,NULL);
CREATE TABLE watch (
    topic TEXT NOT NULL,
    session_id TEXT NOT NULL REFERENCES session (id) ON DELETE CASCADE,
    PRIMARY KEY (topic, session_id)
) WITHOUT ROWID;
INSERT INTO "watch" VALUES('file:///a','11111111-1111-4111-8111-111111111111');
INSERT INTO "watch" VALUES('file:///b','11111111-1111-4111-8111-111111111111');
INSERT INTO "watch" VALUES('lists','11111111-1111-4111-8111-111111111111');
CREATE INDEX session_by_activity ON session (last_activity);
CREATE INDEX session_unbound ON session (created_at) WHERE subject IS NULL;
CREATE INDEX stream_by_expiry ON stream (expires_at);
CREATE INDEX watch_by_session ON watch (session_id);
CREATE INDEX session_by_owner ON session (subject, issuer) WHERE subject IS NOT NULL;
COMMIT;
