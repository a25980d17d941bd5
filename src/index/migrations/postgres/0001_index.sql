-- Times are microseconds since 1970-01-01T00:00:00Z (_us), lengths milliseconds (_ms). The columns
-- are explained in the migrations for SQLite.

-- One row a recording that reached the store. After an erasure only what proves it stays.
CREATE TABLE recordings (
    id                      TEXT   PRIMARY KEY,
    department              TEXT   NOT NULL,
    started_at_us           BIGINT NOT NULL,
    recording_started_at_us BIGINT NOT NULL,
    ended_at_us             BIGINT NOT NULL,
    duration_ms             BIGINT NOT NULL,
    caller_number           TEXT,
    caller_number_norm      TEXT,
    called_number           TEXT,
    called_number_norm      TEXT,
    caller_name             TEXT,
    caller_name_folded      TEXT,
    external_id             TEXT,
    object_bytes            BIGINT NOT NULL,
    object_sha256           TEXT   NOT NULL,
    expires_at_us           BIGINT NOT NULL,
    erased_at_us            BIGINT
);

CREATE INDEX recordings_started ON recordings (started_at_us);
CREATE INDEX recordings_expires ON recordings (expires_at_us) WHERE erased_at_us IS NULL;
CREATE INDEX recordings_caller  ON recordings (caller_number_norm) WHERE erased_at_us IS NULL;
CREATE INDEX recordings_called  ON recordings (called_number_norm) WHERE erased_at_us IS NULL;

-- One row an ended call, recorded or not. No personal data.
CREATE TABLE calls (
    id            TEXT   PRIMARY KEY,
    department    TEXT   NOT NULL,
    started_at_us BIGINT NOT NULL,
    ended_at_us   BIGINT NOT NULL,
    outcome       TEXT   NOT NULL,
    cause         TEXT   NOT NULL
);

CREATE INDEX calls_started ON calls (started_at_us);

-- One row an announced call, whatever became of it: keyed hashes, no numbers and no names.
CREATE TABLE sessions (
    id          TEXT   PRIMARY KEY,
    began_at_us BIGINT NOT NULL,
    ended_at_us BIGINT,
    client      TEXT   NOT NULL,
    department  TEXT   NOT NULL,
    call        TEXT,
    outcome     TEXT,
    cause       TEXT,
    caller_hash TEXT,
    called_hash TEXT,
    name_hashes TEXT   NOT NULL,
    erased      BIGINT NOT NULL DEFAULT 0
);

CREATE INDEX sessions_began ON sessions (began_at_us);
CREATE INDEX sessions_call ON sessions (call);

-- How far the deletion log of each installation had come when it was last seen.
CREATE TABLE deletion_heads (
    node    TEXT   PRIMARY KEY,
    entries BIGINT NOT NULL,
    hash    TEXT   NOT NULL
);
