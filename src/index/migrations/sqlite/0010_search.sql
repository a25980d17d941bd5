-- Search by an index: endings of numbers by their last four digits, totals by counters. Triggers and indexes
-- keep them, so that a row is found whoever writes it, and leaves no trace in them once it is erased.

-- How many recordings there are of a day (started_at_us / 86400000000) and department.
CREATE TABLE live_counts (
    day        INTEGER NOT NULL,
    department TEXT    NOT NULL,
    live       INTEGER NOT NULL,
    PRIMARY KEY (day, department)
) STRICT, WITHOUT ROWID;
INSERT INTO live_counts
    SELECT started_at_us / 86400000000, department, COUNT(*) FROM recordings WHERE erased_at_us IS NULL GROUP BY 1, 2;

CREATE TRIGGER recordings_counted AFTER INSERT ON recordings WHEN NEW.erased_at_us IS NULL BEGIN
    INSERT INTO live_counts VALUES (NEW.started_at_us / 86400000000, NEW.department, 1)
        ON CONFLICT DO UPDATE SET live = live + 1;
END;
CREATE TRIGGER recordings_erased AFTER UPDATE OF erased_at_us ON recordings
WHEN OLD.erased_at_us IS NULL AND NEW.erased_at_us IS NOT NULL BEGIN
    UPDATE live_counts SET live = live - 1
        WHERE day = OLD.started_at_us / 86400000000 AND department = OLD.department;
END;
CREATE TRIGGER recordings_removed AFTER DELETE ON recordings WHEN OLD.erased_at_us IS NULL BEGIN
    UPDATE live_counts SET live = live - 1
        WHERE day = OLD.started_at_us / 86400000000 AND department = OLD.department;
END;

CREATE INDEX recordings_live ON recordings (started_at_us, id) WHERE erased_at_us IS NULL;
CREATE INDEX recordings_of_department ON recordings (department, started_at_us, id) WHERE erased_at_us IS NULL;
CREATE INDEX recordings_caller_end ON recordings (substr(caller_number_norm, -4), started_at_us, id, caller_number_norm)
    WHERE erased_at_us IS NULL;
CREATE INDEX recordings_called_end ON recordings
    (substr(called_number_norm, -4), started_at_us, id, called_number_norm, caller_number_norm) WHERE erased_at_us IS NULL;
-- Calls of more than six hours, which a window of time may meet long after they began.
CREATE INDEX recordings_long ON recordings (started_at_us)
    WHERE erased_at_us IS NULL AND ended_at_us - started_at_us > 21600000000;
