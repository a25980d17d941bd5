-- Nodes that share the index, as the migration for SQLite has it.
CREATE TABLE nodes (
    id             TEXT   PRIMARY KEY,
    number         BIGINT NOT NULL UNIQUE,
    address        TEXT   NOT NULL,
    state          TEXT   NOT NULL,
    version        TEXT   NOT NULL,
    capacity_calls BIGINT NOT NULL,
    calls          BIGINT NOT NULL,
    names_key      TEXT   NOT NULL,
    heartbeat_us   BIGINT NOT NULL
);
