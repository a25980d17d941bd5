-- People who sign in by an OpenID Connect provider.
ALTER TABLE users ADD COLUMN subject TEXT;               -- SHA-256 of issuer and subject; null: signs in with a password
ALTER TABLE users ADD COLUMN confirmed_roles TEXT;       -- what a second administrator confirmed beside administering
ALTER TABLE users ADD COLUMN confirmed_departments TEXT;
CREATE UNIQUE INDEX users_of_subject ON users (subject);
ALTER TABLE sign_ins ADD COLUMN provider_sid TEXT;       -- SHA-256 of the provider's session; null where it names none
ALTER TABLE sign_ins ADD COLUMN id_token TEXT;           -- sealed, to sign out at the provider
CREATE INDEX sign_ins_of_provider ON sign_ins (provider_sid);

-- Answers of the provider, by their state, which may be used once.
CREATE TABLE provider_used (
    sha256        TEXT    PRIMARY KEY NOT NULL,
    expires_at_us INTEGER NOT NULL
) STRICT;

-- Who signed out at the provider, so that no sign-in that was under way outlives it.
CREATE TABLE provider_logouts (
    id            TEXT    PRIMARY KEY NOT NULL, -- SHA-256 of the notice's own id, which counts once
    sid           TEXT,                        -- SHA-256, as in sign_ins; null: all sessions of the subject
    subject       TEXT,                        -- as in users; null: whoever has the session
    at_us         INTEGER NOT NULL,            -- when the provider gave notice, by its clock
    expires_at_us INTEGER NOT NULL,
    done          INTEGER NOT NULL             -- 0 or 1: whether the sign-ins have ended
) STRICT;
CREATE INDEX provider_logouts_of_sid ON provider_logouts (sid);
CREATE INDEX provider_logouts_of_subject ON provider_logouts (subject);
