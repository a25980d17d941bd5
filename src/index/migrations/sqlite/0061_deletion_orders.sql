-- Orders to erase, of all nodes, and their completion. A node's deletion log is its own durable copy of what it must know.
CREATE TABLE deletion_orders (
    id               TEXT    PRIMARY KEY NOT NULL,       -- the recording
    cause            TEXT    NOT NULL,                   -- request, withdrawal, expiry
    request          TEXT,                               -- number of the erasure request
    ordered_at_us    INTEGER NOT NULL,
    node             INTEGER NOT NULL,                   -- nodes.number of who completes it; 0: the only one
    spool_clear      INTEGER NOT NULL DEFAULT 0,         -- 1: the node that recorded the call has nothing of it in its spool
    done_at_us       INTEGER,                            -- null: open
    gone             TEXT    NOT NULL DEFAULT '[]',      -- what was deleted, JSON
    accepted_missing INTEGER NOT NULL DEFAULT 0,
    changed_at_us    INTEGER NOT NULL                    -- by the database's clock
) STRICT;
CREATE INDEX deletion_orders_open ON deletion_orders (node) WHERE done_at_us IS NULL;
CREATE INDEX deletion_orders_changed ON deletion_orders (changed_at_us) WHERE cause <> 'expiry';
CREATE INDEX deletion_orders_over ON deletion_orders (done_at_us) WHERE cause = 'expiry';
