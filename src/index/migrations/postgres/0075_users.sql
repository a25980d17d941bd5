-- Users, as the migration for SQLite has them.
CREATE TABLE users (
    id            TEXT    PRIMARY KEY,
    name          TEXT    NOT NULL UNIQUE,
    display_name  TEXT    NOT NULL,
    roles         TEXT    NOT NULL,
    departments   TEXT    NOT NULL,
    password      TEXT,
    totp          TEXT,
    totp_step     BIGINT  NOT NULL,
    epoch         BIGINT  NOT NULL,
    disabled      BIGINT  NOT NULL,
    vouched_by    TEXT    NOT NULL,
    created_at_us BIGINT  NOT NULL,
    used_at_us    BIGINT
);
CREATE TABLE recovery_codes (
    user_id TEXT NOT NULL,
    sha256  TEXT NOT NULL,
    PRIMARY KEY (user_id, sha256)
);
CREATE TABLE user_links (
    sha256        TEXT    PRIMARY KEY,
    user_id       TEXT,
    expires_at_us BIGINT  NOT NULL
);
CREATE TABLE user_addresses (
    user_id    TEXT    NOT NULL,
    address    TEXT    NOT NULL,
    used_at_us BIGINT  NOT NULL,
    PRIMARY KEY (user_id, address)
);
CREATE TABLE user_requests (
    id            TEXT    PRIMARY KEY,
    kind          TEXT    NOT NULL,
    user_id       TEXT    NOT NULL,
    roles         TEXT    NOT NULL,
    departments   TEXT    NOT NULL,
    asked_by      TEXT    NOT NULL,
    asked_at_us   BIGINT  NOT NULL,
    expires_at_us BIGINT  NOT NULL
);
