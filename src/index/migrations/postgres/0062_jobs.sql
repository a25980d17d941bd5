-- Work that one node does for all of them, as the migration for SQLite has it.
CREATE TABLE jobs (
    name     TEXT   PRIMARY KEY,
    node     BIGINT NOT NULL,
    until_us BIGINT NOT NULL
);
