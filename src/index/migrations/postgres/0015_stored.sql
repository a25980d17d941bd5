-- How the store named what was delivered, so that erasures look for exactly that.
CREATE TABLE stored (
    id TEXT PRIMARY KEY NOT NULL,
    place TEXT NOT NULL,
    objects TEXT NOT NULL
);
