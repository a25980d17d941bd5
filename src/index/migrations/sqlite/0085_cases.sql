-- Requests of callers, of all nodes: one row a case. Closing leaves the columns that name nobody outside the staff; `content`
-- has the rest until then.
CREATE TABLE cases (
    number        TEXT    PRIMARY KEY NOT NULL, -- year and running number, such as 2026-0042
    open_key      TEXT    UNIQUE,               -- by which the same form sent twice opens one case
    department    TEXT    NOT NULL,             -- empty: of all departments
    state         TEXT    NOT NULL,             -- open, decided or closed
    revision      INTEGER NOT NULL,             -- grows with every step
    asked         TEXT    NOT NULL,             -- erase, hand_out or access
    received_on   TEXT    NOT NULL,             -- the day on which the request was received, in the caller's calendar
    due_on        TEXT    NOT NULL,             -- the last day of the time limit
    due_at_us     INTEGER NOT NULL,             -- the end of that day
    extended      INTEGER NOT NULL,             -- 1: by two months
    opened_by     TEXT    NOT NULL,
    opened_at_us  INTEGER NOT NULL,
    decision      TEXT,                         -- erase, hand_out or refuse
    ground        TEXT,                         -- of a refusal
    decided_by    TEXT,
    decided_at_us INTEGER,
    closed_by     TEXT,
    closed_at_us  INTEGER,
    counts        TEXT    NOT NULL,             -- what became of how many recordings, JSON
    last_step     TEXT    NOT NULL,             -- the step that led to this revision, with a hash of what was asked and by whom
    content       TEXT    NOT NULL              -- what the caller told and what was done with it, JSON; empty once closed
) STRICT;
CREATE INDEX cases_due ON cases (state, due_at_us, number);

-- The last number of each year.
CREATE TABLE case_numbers (
    year INTEGER PRIMARY KEY,
    last INTEGER NOT NULL
) STRICT;
