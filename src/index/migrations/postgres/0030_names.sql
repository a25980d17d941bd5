-- Verdicts are looked at in the index alone.
DROP INDEX recordings_faulty;
CREATE INDEX recordings_faulty ON recordings (started_at_us, id, department, verdicts)
    WHERE has_fault = 1 AND erased_at_us IS NULL;
