-- Names by what is known of them, as the migration for SQLite has it.
CREATE INDEX recordings_of_name ON recordings (caller_name_folded, started_at_us, id, department)
    WHERE erased_at_us IS NULL AND caller_name_folded IS NOT NULL;
DROP INDEX recordings_names;
CREATE INDEX recordings_names ON recordings (started_at_us, id, department, caller_name_folded)
    WHERE erased_at_us IS NULL AND caller_name_folded IS NOT NULL;
DROP INDEX recordings_called_end;
CREATE INDEX recordings_called_end ON recordings (right(called_number_norm, 4), started_at_us, id, called_number_norm,
    caller_number_norm, department) WHERE erased_at_us IS NULL;
DROP INDEX recordings_of_department;
CREATE INDEX recordings_of_department ON recordings (department, started_at_us, id, caller_name_folded)
    WHERE erased_at_us IS NULL;

CREATE TABLE known_names (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    folded TEXT   NOT NULL UNIQUE
);
CREATE TABLE known_words (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    padded TEXT   NOT NULL UNIQUE
);
CREATE TABLE words_of_names (
    name BIGINT NOT NULL,
    word BIGINT NOT NULL,
    PRIMARY KEY (name, word)
);
CREATE INDEX names_of_words ON words_of_names (word, name);
CREATE INDEX names_trigrams ON known_names USING gin (optag_trigrams(folded)) WITH (fastupdate = off);
CREATE INDEX words_trigrams ON known_words USING gin (optag_trigrams(padded)) WITH (fastupdate = off);

-- Several nodes write at a time: whoever needs a name or word locks it, so that nobody takes it away meanwhile, and
-- whoever takes it away looks again once nobody else has it. Names are locked before words, and both in their order,
-- so that none waits for another in a circle.
CREATE FUNCTION optag_know_names(wanted TEXT[]) RETURNS VOID LANGUAGE plpgsql AS $$
DECLARE
    one    TEXT;
    added  BIGINT;
    others BIGINT[] := '{}';
BEGIN
    FOR one IN SELECT DISTINCT name FROM unnest(wanted) AS name WHERE name <> '' ORDER BY name LOOP
        LOOP
            PERFORM 1 FROM known_names WHERE folded = one FOR KEY SHARE;
            EXIT WHEN FOUND;
            INSERT INTO known_names (folded) VALUES (one) ON CONFLICT DO NOTHING RETURNING number INTO added;
            IF FOUND THEN
                others := others || added;
                EXIT;
            END IF;
        END LOOP;
    END LOOP;
    FOR one IN SELECT DISTINCT ' ' || word || ' ' AS padded FROM known_names
        CROSS JOIN LATERAL regexp_split_to_table(folded, '[-., ]') AS word
        WHERE number = ANY (others) AND word <> '' ORDER BY padded
    LOOP
        LOOP
            PERFORM 1 FROM known_words WHERE padded = one FOR KEY SHARE;
            EXIT WHEN FOUND;
            INSERT INTO known_words (padded) VALUES (one) ON CONFLICT DO NOTHING;
            EXIT WHEN FOUND;
        END LOOP;
    END LOOP;
    INSERT INTO words_of_names (name, word)
        SELECT DISTINCT known_names.number, known_words.number FROM known_names
        CROSS JOIN LATERAL regexp_split_to_table(folded, '[-., ]') AS word
        JOIN known_words ON known_words.padded = ' ' || word || ' '
        WHERE known_names.number = ANY (others) AND word <> '';
END $$;

CREATE FUNCTION optag_forget_name(unwanted TEXT) RETURNS VOID LANGUAGE plpgsql AS $$
DECLARE
    name_number BIGINT;
    one         BIGINT;
BEGIN
    SELECT number INTO name_number FROM known_names WHERE folded = unwanted FOR UPDATE;
    IF NOT FOUND OR EXISTS (SELECT 1 FROM recordings WHERE caller_name_folded = unwanted AND erased_at_us IS NULL) THEN
        RETURN;
    END IF;
    FOR one IN SELECT known_words.number FROM words_of_names JOIN known_words ON known_words.number = words_of_names.word
        WHERE words_of_names.name = name_number ORDER BY known_words.padded FOR UPDATE OF known_words
    LOOP
        DELETE FROM words_of_names WHERE name = name_number AND word = one;
        DELETE FROM known_words WHERE number = one AND NOT EXISTS (SELECT 1 FROM words_of_names WHERE word = one);
    END LOOP;
    DELETE FROM known_names WHERE number = name_number;
END $$;

CREATE FUNCTION optag_name_of_row() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.erased_at_us IS NULL AND NEW.caller_name_folded <> '' THEN
            PERFORM optag_know_names(ARRAY[NEW.caller_name_folded]);
        END IF;
    ELSIF OLD.caller_name_folded IS NOT NULL THEN
        PERFORM optag_forget_name(OLD.caller_name_folded);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER recordings_named AFTER INSERT OR DELETE OR UPDATE OF caller_name_folded, erased_at_us ON recordings
    FOR EACH ROW EXECUTE FUNCTION optag_name_of_row();

-- How far names of recordings from before this migration were taken up, the newest first; no row: all of them.
CREATE TABLE names_fill (
    started_at_us BIGINT NOT NULL,
    id            TEXT   NOT NULL
);
INSERT INTO names_fill SELECT MAX(started_at_us) + 1, '' FROM recordings WHERE erased_at_us IS NULL HAVING COUNT(*) > 0;
