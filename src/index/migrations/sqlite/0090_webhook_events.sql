-- Events that wait to be sent to the receivers of [[webhook]]: in order for each recording. No personal data beyond ids.
CREATE TABLE webhook_events (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    receiver   TEXT    NOT NULL, -- webhook.id
    recording  TEXT    NOT NULL,
    kind       TEXT    NOT NULL, -- stored, refused, failed, erased
    department TEXT    NOT NULL,
    outcome    TEXT    NOT NULL, -- calls.outcome; empty where there is none
    cause      TEXT    NOT NULL,
    at_us      INTEGER NOT NULL, -- when it happened, by the database's clock
    attempts   INTEGER NOT NULL DEFAULT 0,
    next_us    INTEGER NOT NULL DEFAULT 0 -- not sent before
) STRICT;
CREATE INDEX webhook_events_of_recording ON webhook_events (receiver, recording, seq);
CREATE INDEX webhook_events_by_time ON webhook_events (receiver, at_us);
