-- Accesses to recordings, as the audit logs of all nodes have them: for cover sheets.
CREATE TABLE accesses (
    entry     TEXT    PRIMARY KEY NOT NULL, -- hash of the line in its log
    node      TEXT    NOT NULL,             -- whose log
    sequence  INTEGER NOT NULL,             -- number of the line
    recording TEXT    NOT NULL,
    at_us     INTEGER NOT NULL,
    content   TEXT    NOT NULL              -- the line's entry without its detail, JSON
) STRICT;
CREATE INDEX accesses_of_recording ON accesses (recording, node, sequence);
CREATE INDEX accesses_by_time ON accesses (at_us);

-- The last line of each node's log up to which all accesses are in the table.
CREATE TABLE accesses_copied (
    node     TEXT    PRIMARY KEY NOT NULL,
    sequence INTEGER NOT NULL,
    entry    TEXT    NOT NULL
) STRICT;
