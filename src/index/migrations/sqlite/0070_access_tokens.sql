-- Access tokens of every node. A row goes when its token is revoked.
CREATE TABLE access_tokens (
    name          TEXT    PRIMARY KEY NOT NULL, -- who uses it; appears in the audit log
    sha256        TEXT    NOT NULL UNIQUE,      -- of the token, which is kept nowhere
    roles         TEXT    NOT NULL,             -- names with commas between
    departments   TEXT    NOT NULL,             -- "all" or a list, JSON
    networks      TEXT    NOT NULL,             -- addresses and networks with commas between; empty: from anywhere
    created_at_us INTEGER NOT NULL,
    expires_at_us INTEGER,                      -- null: never
    used_at_us    INTEGER                       -- the last use, to within an hour; null: never used
) STRICT;

-- Grows with every change of a token, so that nodes see one without reading all of them.
CREATE TABLE access_version (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    version INTEGER NOT NULL
) STRICT;
INSERT INTO access_version (one, version) VALUES (1, 0);

-- Files of tokens that were taken over, so that none is taken over twice: not even if a backup brings it back.
CREATE TABLE taken_token_files (
    sha256      TEXT    PRIMARY KEY NOT NULL, -- of the file
    taken_at_us INTEGER NOT NULL
) STRICT;
