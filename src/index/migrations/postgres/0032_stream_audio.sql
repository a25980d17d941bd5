-- What each stream of a recording owed and brought, in channel order: 'caller:1200:1180 other:400:0', role and
-- milliseconds. Empty where the recording is older than that.
ALTER TABLE recordings ADD COLUMN streams TEXT NOT NULL DEFAULT '';
-- Audio streams that a call was offered and that are not recorded: 'encrypted:1 no_codec:2'.
ALTER TABLE sessions ADD COLUMN refused_streams TEXT NOT NULL DEFAULT '';
