-- People who are signed in to the pages, on any node.
CREATE TABLE sign_ins (
    sha256        TEXT    PRIMARY KEY NOT NULL, -- of the secret in the browser's cookie, which is kept nowhere
    id            TEXT    NOT NULL UNIQUE,      -- by which its owner names it
    token_sha256  TEXT    NOT NULL,             -- access_tokens.sha256: whose it is; without that token it admits nobody
    created_at_us INTEGER NOT NULL,
    used_at_us    INTEGER NOT NULL,             -- the last request, to within a minute
    expires_at_us INTEGER NOT NULL              -- however much it is used
) STRICT;
CREATE INDEX sign_ins_of_token ON sign_ins (token_sha256);
CREATE INDEX sign_ins_expire ON sign_ins (expires_at_us);
