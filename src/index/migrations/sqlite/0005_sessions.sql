-- One row an announced call, whatever became of it. No numbers and no names: keyed hashes, by
-- which a call that another list names can be found here.
CREATE TABLE sessions (
    id          TEXT    PRIMARY KEY NOT NULL,
    began_at_us INTEGER NOT NULL,           -- when it was announced
    ended_at_us INTEGER,                    -- null while it goes on, or where the recorder died
    client      TEXT    NOT NULL,           -- address of the recording client, or 'api'
    department  TEXT    NOT NULL,           -- empty where none took it
    call        TEXT,                       -- calls.id; null where it was not admitted
    outcome     TEXT,                       -- null where it is the call's
    cause       TEXT,
    caller_hash TEXT,
    called_hash TEXT,
    name_hashes TEXT    NOT NULL,           -- separated by blanks
    erased      INTEGER NOT NULL DEFAULT 0  -- 1: the hashes are gone and stay so
) STRICT;

CREATE INDEX sessions_began ON sessions (began_at_us);
CREATE INDEX sessions_call ON sessions (call);
