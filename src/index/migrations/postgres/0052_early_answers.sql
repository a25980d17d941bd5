-- Answers that wait for their call, as the migration for SQLite has it.
CREATE TABLE early_answers (
    id            TEXT   PRIMARY KEY,
    kind          TEXT   NOT NULL,
    call          TEXT,
    node          BIGINT,
    answer        TEXT   NOT NULL,
    kept_at_us    BIGINT NOT NULL,
    expires_at_us BIGINT NOT NULL,
    used          BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX early_answers_expire ON early_answers (expires_at_us);
CREATE INDEX early_answers_of_node ON early_answers (node) WHERE node IS NOT NULL;

CREATE TABLE early_answer_names (
    name   TEXT NOT NULL,
    answer TEXT NOT NULL REFERENCES early_answers (id) ON DELETE CASCADE,
    PRIMARY KEY (name, answer)
);
CREATE INDEX early_answer_names_of_answer ON early_answer_names (answer);
