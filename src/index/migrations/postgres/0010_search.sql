-- Search by an index: as the migration for SQLite, with what PostgreSQL has of its own. No extension is
-- needed: trigrams are an array, and GIN indexes arrays.
CREATE FUNCTION optag_trigrams(name TEXT) RETURNS TEXT[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
$$ SELECT array_agg(DISTINCT substr(name, n, 3)) FROM generate_series(1, length(name) - 2) n $$;
CREATE INDEX recordings_names ON recordings USING gin (optag_trigrams(caller_name_folded)) WITH (fastupdate = off)
    WHERE erased_at_us IS NULL;

CREATE TABLE live_counts (
    day        BIGINT NOT NULL,
    department TEXT   NOT NULL,
    live       BIGINT NOT NULL,
    PRIMARY KEY (day, department)
);
INSERT INTO live_counts
    SELECT started_at_us / 86400000000, department, COUNT(*) FROM recordings WHERE erased_at_us IS NULL GROUP BY 1, 2;

CREATE FUNCTION optag_count_live() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND OLD.erased_at_us IS NULL AND (TG_OP = 'DELETE' OR NEW.erased_at_us IS NOT NULL) THEN
        UPDATE live_counts SET live = live - 1
            WHERE day = OLD.started_at_us / 86400000000 AND department = OLD.department;
    ELSIF TG_OP = 'INSERT' AND NEW.erased_at_us IS NULL THEN
        INSERT INTO live_counts AS counts VALUES (NEW.started_at_us / 86400000000, NEW.department, 1)
            ON CONFLICT (day, department) DO UPDATE SET live = counts.live + 1;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER recordings_counted AFTER INSERT OR DELETE OR UPDATE OF erased_at_us ON recordings
    FOR EACH ROW EXECUTE FUNCTION optag_count_live();

CREATE INDEX recordings_live ON recordings (started_at_us, id) WHERE erased_at_us IS NULL;
CREATE INDEX recordings_of_department ON recordings (department, started_at_us, id) WHERE erased_at_us IS NULL;
CREATE INDEX recordings_caller_end ON recordings (right(caller_number_norm, 4), started_at_us, id, caller_number_norm)
    WHERE erased_at_us IS NULL;
CREATE INDEX recordings_called_end ON recordings
    (right(called_number_norm, 4), started_at_us, id, called_number_norm, caller_number_norm) WHERE erased_at_us IS NULL;
CREATE INDEX recordings_long ON recordings (started_at_us)
    WHERE erased_at_us IS NULL AND ended_at_us - started_at_us > 21600000000;
