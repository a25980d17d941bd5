-- Accesses to recordings, as the migration for SQLite has it.
CREATE TABLE accesses (
    entry     TEXT   PRIMARY KEY,
    node      TEXT   NOT NULL,
    sequence  BIGINT NOT NULL,
    recording TEXT   NOT NULL,
    at_us     BIGINT NOT NULL,
    content   TEXT   NOT NULL
);
CREATE INDEX accesses_of_recording ON accesses (recording, node, sequence);
CREATE INDEX accesses_by_time ON accesses (at_us);

CREATE TABLE accesses_copied (
    node     TEXT   PRIMARY KEY,
    sequence BIGINT NOT NULL,
    entry    TEXT   NOT NULL
);
