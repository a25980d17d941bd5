-- Calls in progress of all nodes, as the migration for SQLite has it.
CREATE TABLE live_calls (
    name TEXT   NOT NULL,
    call TEXT   NOT NULL,
    node BIGINT NOT NULL,
    PRIMARY KEY (name, call)
);
CREATE INDEX live_calls_of_call ON live_calls (call);
CREATE INDEX live_calls_of_node ON live_calls (node, name);
