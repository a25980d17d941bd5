-- Single-use hand-out links, of all nodes. A used one stays until it expires, so that no older copy revives it.
CREATE TABLE handout_links (
    sha256         TEXT    PRIMARY KEY NOT NULL, -- of its token, in hexadecimal
    content        TEXT    NOT NULL,             -- what it hands out, JSON
    expires_at_us  INTEGER NOT NULL,
    used_at_us     INTEGER,                      -- first use
    browser_sha256 TEXT                          -- of the secret of the browser that used it, in hexadecimal
) STRICT;
CREATE INDEX handout_links_expire ON handout_links (expires_at_us);
