-- Orders to erase, as the migration for SQLite has it.
CREATE TABLE deletion_orders (
    id               TEXT   PRIMARY KEY,
    cause            TEXT   NOT NULL,
    request          TEXT,
    ordered_at_us    BIGINT NOT NULL,
    node             BIGINT NOT NULL,
    spool_clear      BIGINT NOT NULL DEFAULT 0,
    done_at_us       BIGINT,
    gone             TEXT   NOT NULL DEFAULT '[]',
    accepted_missing BIGINT NOT NULL DEFAULT 0,
    changed_at_us    BIGINT NOT NULL
);
CREATE INDEX deletion_orders_open ON deletion_orders (node) WHERE done_at_us IS NULL;
CREATE INDEX deletion_orders_changed ON deletion_orders (changed_at_us) WHERE cause <> 'expiry';
CREATE INDEX deletion_orders_over ON deletion_orders (done_at_us) WHERE cause = 'expiry';
