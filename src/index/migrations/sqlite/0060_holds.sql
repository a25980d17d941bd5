-- Legal holds, of all nodes. A lifted hold stays until its end is long over: a node's own copy must not bring it back.
CREATE TABLE holds (
    id           TEXT    PRIMARY KEY NOT NULL, -- the recording
    until_us     INTEGER NOT NULL,
    reason       TEXT    NOT NULL,
    lawful_basis TEXT,
    placed_by    TEXT    NOT NULL,
    placed_at_us INTEGER NOT NULL,
    lifted_at_us INTEGER                       -- null: not lifted
) STRICT;
-- 1: the holds and open orders of the node's own files are in these tables. 0 in an earlier version, which knows no others.
ALTER TABLE nodes ADD COLUMN holds_shared INTEGER NOT NULL DEFAULT 0;
