-- credentials.sqlite of schema 1, as its first build wrote it.
PRAGMA auto_vacuum = 2;
PRAGMA application_id = 0;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE api_key (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    record BLOB NOT NULL,
    created_at REAL NOT NULL,
    expires_at REAL,
    revoked_at REAL,
    last_used REAL
) WITHOUT ROWID;
INSERT INTO "api_key" VALUES('AAAAAAAAAAAA',' alice',CAST('{"id":"AAAAAAAAAAAA","digest":"8xDS/GVbT71NmFlINNkPdd78B29JXx0i9diuGWsGT60=","name":"laptop","subject":"alice","scopes":["read"],"created_at":1700000000.0,"addresses":["10.0.0.0/8"]}' AS BLOB),1700000000.0,NULL,NULL,1700000060.0);
INSERT INTO "api_key" VALUES('revoked','https://idp.example bob',CAST('{"id":"revoked","digest":"LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=","name":"lost","subject":"bob","issuer":"https://idp.example","created_at":1700000001.0,"expires_at":5700000000.0}' AS BLOB),1700000001.0,5700000000.0,1700000070.0,NULL);
CREATE TABLE change (number INTEGER NOT NULL);
INSERT INTO "change" VALUES(6);
CREATE TABLE revocation (
    kind TEXT NOT NULL,
    issuer TEXT NOT NULL,
    name TEXT NOT NULL,
    before REAL NOT NULL,
    expires_at REAL,
    PRIMARY KEY (kind, issuer, name)
) WITHOUT ROWID;
INSERT INTO "revocation" VALUES('key','','revoked',0.0,5700000000.0);
INSERT INTO "revocation" VALUES('subject','','carol',1700000000.0,NULL);
INSERT INTO "revocation" VALUES('token','','jti-1',0.0,5700000000.0);
CREATE INDEX api_key_by_owner ON api_key (owner);
COMMIT;
