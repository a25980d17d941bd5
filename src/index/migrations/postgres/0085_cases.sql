-- Requests of callers, as the migration for SQLite has them.
CREATE TABLE cases (
    number        TEXT   PRIMARY KEY,
    open_key      TEXT   UNIQUE,
    department    TEXT   NOT NULL,
    state         TEXT   NOT NULL,
    revision      BIGINT NOT NULL,
    asked         TEXT   NOT NULL,
    received_on   TEXT   NOT NULL,
    due_on        TEXT   NOT NULL,
    due_at_us     BIGINT NOT NULL,
    extended      BIGINT NOT NULL,
    opened_by     TEXT   NOT NULL,
    opened_at_us  BIGINT NOT NULL,
    decision      TEXT,
    ground        TEXT,
    decided_by    TEXT,
    decided_at_us BIGINT,
    closed_by     TEXT,
    closed_at_us  BIGINT,
    counts        TEXT   NOT NULL,
    last_step     TEXT   NOT NULL,
    content       TEXT   NOT NULL
);
CREATE INDEX cases_due ON cases (state, due_at_us, number);

CREATE TABLE case_numbers (
    year BIGINT PRIMARY KEY,
    last BIGINT NOT NULL
);
