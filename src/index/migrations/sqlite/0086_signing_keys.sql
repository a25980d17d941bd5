-- Public keys by which the nodes sign receipts, so that each of them can verify the others'. None is ever removed: receipts
-- are kept for years.
CREATE TABLE signing_keys (
    public_key TEXT    PRIMARY KEY NOT NULL, -- Ed25519, in hexadecimal
    since_us   INTEGER NOT NULL
) STRICT;
