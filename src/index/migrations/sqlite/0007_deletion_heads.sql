-- How far the deletion log of each installation had come when it was last seen. A log that is
-- shorter, or has another hash there, has forgotten erasures: nothing is served until it is mended.
CREATE TABLE deletion_heads (
    node    TEXT    PRIMARY KEY NOT NULL, -- the installation: first digits of its public key
    entries INTEGER NOT NULL,
    hash    TEXT    NOT NULL              -- over all entries
) STRICT;
