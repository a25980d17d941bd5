-- The latest migration that a program must know to work with these tables. Migrations that only add leave it as it is;
-- one that takes something away raises it.
CREATE TABLE schema_floor (
    floor INTEGER NOT NULL
) STRICT;
INSERT INTO schema_floor (floor) VALUES (52);
