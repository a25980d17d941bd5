-- Times are microseconds since 1970-01-01T00:00:00Z (_us), lengths milliseconds (_ms).

-- One row a recording that reached the store. After an erasure only what proves it stays.
CREATE TABLE recordings (
    id                      TEXT    PRIMARY KEY NOT NULL, -- the call's id
    department              TEXT    NOT NULL,
    started_at_us           INTEGER NOT NULL,             -- when the call was admitted; retention counts from here
    recording_started_at_us INTEGER NOT NULL,             -- the moment of consent
    ended_at_us             INTEGER NOT NULL,
    duration_ms             INTEGER NOT NULL,
    caller_number           TEXT,                         -- as the feed gave it
    caller_number_norm      TEXT,                         -- digits with country code
    called_number           TEXT,
    called_number_norm      TEXT,
    caller_name             TEXT,
    caller_name_folded      TEXT,                         -- lower case, without accents
    external_id             TEXT,
    object_bytes            INTEGER NOT NULL,
    object_sha256           TEXT    NOT NULL,
    expires_at_us           INTEGER NOT NULL,
    erased_at_us            INTEGER                       -- set: every personal column above is null
) STRICT;

CREATE INDEX recordings_started ON recordings (started_at_us);
CREATE INDEX recordings_expires ON recordings (expires_at_us) WHERE erased_at_us IS NULL;
CREATE INDEX recordings_caller  ON recordings (caller_number_norm) WHERE erased_at_us IS NULL;
CREATE INDEX recordings_called  ON recordings (called_number_norm) WHERE erased_at_us IS NULL;

-- One row an ended call, recorded or not. No personal data.
CREATE TABLE calls (
    id            TEXT    PRIMARY KEY NOT NULL,
    department    TEXT    NOT NULL,
    started_at_us INTEGER NOT NULL,
    ended_at_us   INTEGER NOT NULL,
    outcome       TEXT    NOT NULL, -- recorded, refused, no_answer, withdrawn, not_selected, no_audio, lost
    cause         TEXT    NOT NULL  -- of no_audio and lost, else empty
) STRICT;

CREATE INDEX calls_started ON calls (started_at_us);
