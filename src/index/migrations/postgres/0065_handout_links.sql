-- Single-use hand-out links, as the migration for SQLite has it.
CREATE TABLE handout_links (
    sha256         TEXT   PRIMARY KEY,
    content        TEXT   NOT NULL,
    expires_at_us  BIGINT NOT NULL,
    used_at_us     BIGINT,
    browser_sha256 TEXT
);
CREATE INDEX handout_links_expire ON handout_links (expires_at_us);
