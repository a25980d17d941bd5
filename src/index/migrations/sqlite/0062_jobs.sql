-- Work that one node does for all of them. Whoever has it keeps it until then, by the database's clock.
CREATE TABLE jobs (
    name     TEXT    PRIMARY KEY NOT NULL,
    node     INTEGER NOT NULL, -- nodes.number
    until_us INTEGER NOT NULL
) STRICT;
