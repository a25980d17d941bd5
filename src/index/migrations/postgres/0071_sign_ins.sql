-- People who are signed in to the pages, as the migration for SQLite has them.
CREATE TABLE sign_ins (
    sha256        TEXT   PRIMARY KEY,
    id            TEXT   NOT NULL UNIQUE,
    token_sha256  TEXT   NOT NULL,
    created_at_us BIGINT NOT NULL,
    used_at_us    BIGINT NOT NULL,
    expires_at_us BIGINT NOT NULL
);
CREATE INDEX sign_ins_of_token ON sign_ins (token_sha256);
CREATE INDEX sign_ins_expire ON sign_ins (expires_at_us);
