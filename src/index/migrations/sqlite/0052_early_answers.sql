-- Answers that wait for their call, whichever node it comes to. Times are the database's own.
CREATE TABLE early_answers (
    id            TEXT    PRIMARY KEY NOT NULL,
    kind          TEXT    NOT NULL, -- yes, no, withdraw
    call          TEXT,             -- of a call in progress whose node could not be reached; else by its names
    node          INTEGER,          -- that node
    answer        TEXT    NOT NULL, -- how it was given and what shows it, JSON
    kept_at_us    INTEGER NOT NULL,
    expires_at_us INTEGER NOT NULL, -- the row is kept for a day longer, for calls that could not look for it
    used          INTEGER NOT NULL DEFAULT 0 -- 0 waits, 1 was given to a call, 2 expired, 3 replaced by a later answer
) STRICT;
CREATE INDEX early_answers_expire ON early_answers (expires_at_us);
CREATE INDEX early_answers_of_node ON early_answers (node) WHERE node IS NOT NULL;

CREATE TABLE early_answer_names (
    name   TEXT NOT NULL, -- as in live_calls
    answer TEXT NOT NULL REFERENCES early_answers (id) ON DELETE CASCADE,
    PRIMARY KEY (name, answer)
) STRICT;
CREATE INDEX early_answer_names_of_answer ON early_answer_names (answer);
