-- Events that wait to be sent to the receivers of [[webhook]], as the migration for SQLite has it.
CREATE TABLE webhook_events (
    seq        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    receiver   TEXT   NOT NULL,
    recording  TEXT   NOT NULL,
    kind       TEXT   NOT NULL,
    department TEXT   NOT NULL,
    outcome    TEXT   NOT NULL,
    cause      TEXT   NOT NULL,
    at_us      BIGINT NOT NULL,
    attempts   BIGINT NOT NULL DEFAULT 0,
    next_us    BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX webhook_events_of_recording ON webhook_events (receiver, recording, seq);
CREATE INDEX webhook_events_by_time ON webhook_events (receiver, at_us);
