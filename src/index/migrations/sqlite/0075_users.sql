-- People who sign in with a password and a code, on any node.
CREATE TABLE users (
    id            TEXT    PRIMARY KEY NOT NULL, -- never used again; sign-ins name it
    name          TEXT    NOT NULL UNIQUE,      -- by which they sign in; appears in the audit log
    display_name  TEXT    NOT NULL,
    roles         TEXT    NOT NULL,             -- names with commas between
    departments   TEXT    NOT NULL,             -- "all" or a list, JSON
    password      TEXT,                         -- argon2id, PHC string; null until a link was used
    totp          TEXT,                         -- sealed with a key derived from the master key, hexadecimal
    totp_step     INTEGER NOT NULL,             -- the last time step whose code was used
    epoch         INTEGER NOT NULL,             -- grows with what ends every sign-in: reset, disabling
    disabled      INTEGER NOT NULL,             -- 0 or 1
    vouched_by    TEXT    NOT NULL,             -- who was last given a link to set the password
    created_at_us INTEGER NOT NULL,
    used_at_us    INTEGER                       -- the last sign-in; null: never
) STRICT;

-- Codes that stand in for a lost telephone, each once.
CREATE TABLE recovery_codes (
    user_id TEXT NOT NULL,
    sha256  TEXT NOT NULL,
    PRIMARY KEY (user_id, sha256)
) STRICT;

-- Links by which a password is set, once.
CREATE TABLE user_links (
    sha256        TEXT    PRIMARY KEY NOT NULL, -- of the secret in the link, which is kept nowhere
    user_id       TEXT,                         -- null: makes the first user, while nobody administers
    expires_at_us INTEGER NOT NULL
) STRICT;

-- Addresses that a user signed in from, so that attempts from elsewhere do not keep them out.
CREATE TABLE user_addresses (
    user_id    TEXT    NOT NULL,
    address    TEXT    NOT NULL, -- keyed hash
    used_at_us INTEGER NOT NULL,
    PRIMARY KEY (user_id, address)
) STRICT;

-- What a second administrator must confirm.
CREATE TABLE user_requests (
    id            TEXT    PRIMARY KEY NOT NULL,
    kind          TEXT    NOT NULL,             -- roles, reset
    user_id       TEXT    NOT NULL,
    roles         TEXT    NOT NULL,             -- those that it would have
    departments   TEXT    NOT NULL,
    asked_by      TEXT    NOT NULL,
    asked_at_us   INTEGER NOT NULL,
    expires_at_us INTEGER NOT NULL
) STRICT;
