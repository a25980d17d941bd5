-- Public keys by which the nodes sign receipts, as the migration for SQLite has them.
CREATE TABLE signing_keys (
    public_key TEXT   PRIMARY KEY,
    since_us   BIGINT NOT NULL
);
