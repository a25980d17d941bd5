-- The verdict on each stream of a recording, in channel order, with commas around and between:
-- ',ok,late,'. Empty where the recording is older than verdicts.
ALTER TABLE recordings ADD COLUMN verdicts TEXT NOT NULL DEFAULT '';
-- 1 where one of them is not ok.
ALTER TABLE recordings ADD COLUMN has_fault BIGINT NOT NULL DEFAULT 0;

CREATE INDEX recordings_faulty ON recordings (started_at_us) WHERE has_fault = 1;
