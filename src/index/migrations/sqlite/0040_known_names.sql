-- Names by what is known of them: each spelling once, however many recordings have it, and each word of them once.
-- Parts and misspelt words are looked for among these; rows are found by the whole name. Triggers keep them, so that
-- a name goes with the last row that has it, and a word with the last name.
DROP TRIGGER recordings_named;
DROP TRIGGER recordings_unnamed;
DROP TRIGGER recordings_gone;
DROP VIEW named;
DROP TABLE names_terms;
DROP TABLE names_trigrams;
DROP TABLE names;
DROP TABLE department_codes;

-- Rows by name, and names in order of time, of which parts are looked at without the rows.
CREATE INDEX recordings_of_name ON recordings (caller_name_folded, started_at_us, id, department)
    WHERE erased_at_us IS NULL AND caller_name_folded IS NOT NULL;
CREATE INDEX recordings_names ON recordings (started_at_us, id, department, caller_name_folded)
    WHERE erased_at_us IS NULL AND caller_name_folded IS NOT NULL;
DROP INDEX recordings_called_end;
CREATE INDEX recordings_called_end ON recordings (substr(called_number_norm, -4), started_at_us, id, called_number_norm,
    caller_number_norm, department) WHERE erased_at_us IS NULL;
DROP INDEX recordings_of_department;
CREATE INDEX recordings_of_department ON recordings (department, started_at_us, id, caller_name_folded)
    WHERE erased_at_us IS NULL;

CREATE TABLE known_names (
    number INTEGER PRIMARY KEY,
    folded TEXT    NOT NULL UNIQUE -- recordings.caller_name_folded of a row that is not erased
) STRICT;
CREATE TABLE known_words (
    number INTEGER PRIMARY KEY,
    padded TEXT    NOT NULL UNIQUE -- a word of a known name between two blanks, so that trigrams tell where it begins
) STRICT;
CREATE TABLE words_of_names (
    name INTEGER NOT NULL, -- known_names.number
    word INTEGER NOT NULL, -- known_words.number
    PRIMARY KEY (name, word)
) STRICT, WITHOUT ROWID;
CREATE INDEX names_of_words ON words_of_names (word, name);

-- FTS5 keeps no text of its own here (external content), and only which text has which trigram.
CREATE VIRTUAL TABLE names_trigrams USING fts5(
    folded, content = 'known_names', content_rowid = 'number', columnsize = 0, detail = none,
    tokenize = 'trigram case_sensitive 1'
);
CREATE VIRTUAL TABLE words_trigrams USING fts5(
    padded, content = 'known_words', content_rowid = 'number', columnsize = 0, detail = none,
    tokenize = 'trigram case_sensitive 1'
);
-- What is deleted leaves the pages at once; 'secure_delete' of the connection empties what they held.
INSERT INTO names_trigrams (names_trigrams, rank) VALUES ('secure-delete', 1);
INSERT INTO words_trigrams (words_trigrams, rank) VALUES ('secure-delete', 1);
-- Which trigrams there are.
CREATE VIRTUAL TABLE names_terms USING fts5vocab(names_trigrams, 'row');
CREATE VIRTUAL TABLE words_terms USING fts5vocab(words_trigrams, 'row');

CREATE TRIGGER known_words_added AFTER INSERT ON known_words BEGIN
    INSERT INTO words_trigrams (rowid, padded) VALUES (NEW.number, NEW.padded);
END;
CREATE TRIGGER known_words_removed AFTER DELETE ON known_words BEGIN
    INSERT INTO words_trigrams (words_trigrams, rowid, padded) VALUES ('delete', OLD.number, OLD.padded);
END;
-- Words are what blanks, hyphens, dots and commas part, as in `likeness`.
CREATE TRIGGER known_names_added AFTER INSERT ON known_names BEGIN
    INSERT INTO names_trigrams (rowid, folded) VALUES (NEW.number, NEW.folded);
    INSERT INTO known_words (padded)
        SELECT DISTINCT ' ' || value || ' ' FROM json_each('[' || replace(json_quote(
            replace(replace(replace(NEW.folded, '-', ' '), '.', ' '), ',', ' ')), ' ', '","') || ']')
        WHERE value <> '' ON CONFLICT DO NOTHING;
    INSERT INTO words_of_names (name, word)
        SELECT DISTINCT NEW.number, known_words.number FROM json_each('[' || replace(json_quote(
            replace(replace(replace(NEW.folded, '-', ' '), '.', ' '), ',', ' ')), ' ', '","') || ']')
        CROSS JOIN known_words ON known_words.padded = ' ' || value || ' ' WHERE value <> '';
END;
CREATE TRIGGER known_names_removed AFTER DELETE ON known_names BEGIN
    INSERT INTO names_trigrams (names_trigrams, rowid, folded) VALUES ('delete', OLD.number, OLD.folded);
    DELETE FROM known_words WHERE number IN (SELECT word FROM words_of_names WHERE name = OLD.number)
        AND NOT EXISTS (SELECT 1 FROM words_of_names AS other WHERE other.word = known_words.number AND other.name <> OLD.number);
    DELETE FROM words_of_names WHERE name = OLD.number;
END;

CREATE TRIGGER recordings_named AFTER INSERT ON recordings
WHEN NEW.erased_at_us IS NULL AND NEW.caller_name_folded <> '' BEGIN
    INSERT INTO known_names (folded) VALUES (NEW.caller_name_folded) ON CONFLICT DO NOTHING;
END;
CREATE TRIGGER recordings_unnamed AFTER UPDATE OF caller_name_folded, erased_at_us ON recordings
WHEN OLD.caller_name_folded IS NOT NULL BEGIN
    DELETE FROM known_names WHERE folded = OLD.caller_name_folded AND NOT EXISTS (
        SELECT 1 FROM recordings WHERE caller_name_folded = OLD.caller_name_folded AND erased_at_us IS NULL);
END;
CREATE TRIGGER recordings_gone AFTER DELETE ON recordings WHEN OLD.caller_name_folded IS NOT NULL BEGIN
    DELETE FROM known_names WHERE folded = OLD.caller_name_folded AND NOT EXISTS (
        SELECT 1 FROM recordings WHERE caller_name_folded = OLD.caller_name_folded AND erased_at_us IS NULL);
END;

-- How far names of recordings from before this migration were taken up, the newest first; no row: all of them.
DELETE FROM names_fill;
INSERT INTO names_fill SELECT MAX(started_at_us) + 1, '' FROM recordings WHERE erased_at_us IS NULL HAVING COUNT(*) > 0;
