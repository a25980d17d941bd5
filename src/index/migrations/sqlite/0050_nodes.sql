-- Nodes that share the index. A row stays when its node is gone, so that no number is given twice.
CREATE TABLE nodes (
    id             TEXT    PRIMARY KEY NOT NULL, -- drawn at the node's first start
    number         INTEGER NOT NULL UNIQUE,      -- 1 to 65535; the last two bytes of the ids of its calls
    address        TEXT    NOT NULL,             -- host:port where other nodes reach it; empty: nowhere
    state          TEXT    NOT NULL,             -- starting, ready, draining, gone
    version        TEXT    NOT NULL,             -- of the program
    capacity_calls INTEGER NOT NULL,             -- calls of two streams that its ports suffice for
    calls          INTEGER NOT NULL,             -- in progress at the last heartbeat
    names_key      TEXT    NOT NULL,             -- tells the key of its names' hashes from other keys
    heartbeat_us   INTEGER NOT NULL              -- by the database's clock
) STRICT;
