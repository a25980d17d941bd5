-- The latest migration that a program must know, as the migration for SQLite has it.
CREATE TABLE schema_floor (
    floor BIGINT NOT NULL
);
INSERT INTO schema_floor (floor) VALUES (52);
