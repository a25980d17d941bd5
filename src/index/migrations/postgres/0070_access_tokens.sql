-- Access tokens of every node, as the migration for SQLite has them.
CREATE TABLE access_tokens (
    name          TEXT   PRIMARY KEY,
    sha256        TEXT   NOT NULL UNIQUE,
    roles         TEXT   NOT NULL,
    departments   TEXT   NOT NULL,
    networks      TEXT   NOT NULL,
    created_at_us BIGINT NOT NULL,
    expires_at_us BIGINT,
    used_at_us    BIGINT
);

CREATE TABLE access_version (
    one     BIGINT PRIMARY KEY CHECK (one = 1),
    version BIGINT NOT NULL
);
INSERT INTO access_version (one, version) VALUES (1, 0);

CREATE TABLE taken_token_files (
    sha256      TEXT   PRIMARY KEY,
    taken_at_us BIGINT NOT NULL
);
