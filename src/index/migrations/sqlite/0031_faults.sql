-- A fault is looked for by this index and by no other, whatever a planner knows of the rows.
DROP INDEX recordings_faulty;
CREATE INDEX recordings_faulty ON recordings (has_fault, started_at_us, id, department, verdicts)
    WHERE has_fault = 1 AND erased_at_us IS NULL;
