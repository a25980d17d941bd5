-- Legal holds, as the migration for SQLite has it.
CREATE TABLE holds (
    id           TEXT   PRIMARY KEY,
    until_us     BIGINT NOT NULL,
    reason       TEXT   NOT NULL,
    lawful_basis TEXT,
    placed_by    TEXT   NOT NULL,
    placed_at_us BIGINT NOT NULL,
    lifted_at_us BIGINT
);
ALTER TABLE nodes ADD COLUMN holds_shared BIGINT NOT NULL DEFAULT 0;
