-- Parts of names by their trigrams. FTS5 keeps no text of its own here (external content): the text is in
-- `names`, and goes from both in one transaction.

-- A department as one trigram, so that the same index answers for it.
CREATE TABLE department_codes (
    number     INTEGER PRIMARY KEY,
    department TEXT    NOT NULL UNIQUE,
    code       TEXT    GENERATED ALWAYS AS (
        substr('0123456789abcdefghijklmnopqrstuvwxyz', number / 1296 + 1, 1)
        || substr('0123456789abcdefghijklmnopqrstuvwxyz', number / 36 % 36 + 1, 1)
        || substr('0123456789abcdefghijklmnopqrstuvwxyz', number % 36 + 1, 1)) VIRTUAL
) STRICT;

-- The name of each recording that is not erased. `place` is started_at in ms, shifted by 20 bits, and the next
-- free number from there: in order of time, and never that of another recording.
CREATE TABLE names (
    place  INTEGER PRIMARY KEY,
    id     TEXT    NOT NULL UNIQUE, -- recordings.id
    folded TEXT    NOT NULL,        -- recordings.caller_name_folded
    code   TEXT    NOT NULL         -- department_codes.code
) STRICT;

CREATE VIRTUAL TABLE names_trigrams USING fts5(
    folded, code, content = 'names', content_rowid = 'place', columnsize = 0, tokenize = 'trigram case_sensitive 1'
);
-- What is deleted leaves the pages at once; 'secure_delete' of the connection empties what they held.
INSERT INTO names_trigrams (names_trigrams, rank) VALUES ('secure-delete', 1);
-- Which trigrams there are.
CREATE VIRTUAL TABLE names_terms USING fts5vocab(names_trigrams, 'row');

CREATE TRIGGER names_added AFTER INSERT ON names BEGIN
    INSERT INTO names_trigrams (rowid, folded, code) VALUES (NEW.place, NEW.folded, NEW.code);
END;
CREATE TRIGGER names_removed AFTER DELETE ON names BEGIN
    INSERT INTO names_trigrams (names_trigrams, rowid, folded, code) VALUES ('delete', OLD.place, OLD.folded, OLD.code);
END;

-- What is put in here gets its place.
CREATE VIEW named AS SELECT id, started_at_us, caller_name_folded, department FROM recordings;
CREATE TRIGGER named_placed INSTEAD OF INSERT ON named WHEN NEW.caller_name_folded IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM names WHERE id = NEW.id) BEGIN
    INSERT INTO department_codes (department) VALUES (NEW.department) ON CONFLICT DO NOTHING;
    INSERT INTO names (place, id, folded, code)
        SELECT COALESCE((SELECT MAX(place) FROM names WHERE place BETWEEN first AND first + 1048575), first - 1) + 1,
            NEW.id, NEW.caller_name_folded, (SELECT code FROM department_codes WHERE department = NEW.department)
        FROM (SELECT MAX(0, MIN(NEW.started_at_us / 1000, 8796093022206)) << 20 AS first);
END;

CREATE TRIGGER recordings_named AFTER INSERT ON recordings WHEN NEW.erased_at_us IS NULL BEGIN
    INSERT INTO named VALUES (NEW.id, NEW.started_at_us, NEW.caller_name_folded, NEW.department);
END;
CREATE TRIGGER recordings_unnamed AFTER UPDATE OF caller_name_folded, erased_at_us ON recordings
WHEN NEW.erased_at_us IS NOT NULL BEGIN
    DELETE FROM names WHERE id = OLD.id;
END;
CREATE TRIGGER recordings_gone AFTER DELETE ON recordings BEGIN
    DELETE FROM names WHERE id = OLD.id;
END;

-- How far names of recordings from before this migration were taken up, the newest first; no row: all of them.
CREATE TABLE names_fill (
    started_at_us INTEGER NOT NULL,
    id            TEXT    NOT NULL
) STRICT;
INSERT INTO names_fill SELECT MAX(started_at_us) + 1, '' FROM recordings WHERE erased_at_us IS NULL HAVING COUNT(*) > 0;

-- Verdicts are looked at in the index alone.
DROP INDEX recordings_faulty;
CREATE INDEX recordings_faulty ON recordings (started_at_us, id, department, verdicts)
    WHERE has_fault = 1 AND erased_at_us IS NULL;
