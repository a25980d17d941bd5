-- People who sign in by an OpenID Connect provider, as the migration for SQLite has them.
ALTER TABLE users ADD COLUMN subject TEXT;
ALTER TABLE users ADD COLUMN confirmed_roles TEXT;
ALTER TABLE users ADD COLUMN confirmed_departments TEXT;
CREATE UNIQUE INDEX users_of_subject ON users (subject);
ALTER TABLE sign_ins ADD COLUMN provider_sid TEXT;
ALTER TABLE sign_ins ADD COLUMN id_token TEXT;
CREATE INDEX sign_ins_of_provider ON sign_ins (provider_sid);

CREATE TABLE provider_used (
    sha256        TEXT   PRIMARY KEY,
    expires_at_us BIGINT NOT NULL
);

CREATE TABLE provider_logouts (
    id            TEXT   PRIMARY KEY,
    sid           TEXT,
    subject       TEXT,
    at_us         BIGINT NOT NULL,
    expires_at_us BIGINT NOT NULL,
    done          BIGINT NOT NULL
);
CREATE INDEX provider_logouts_of_sid ON provider_logouts (sid);
CREATE INDEX provider_logouts_of_subject ON provider_logouts (subject);
