-- Streams that were refused when they asked through the API to join a call, in the form of refused_streams. Apart from
-- it, as whoever announced the call writes that column anew at its end.
ALTER TABLE sessions ADD COLUMN refused_joins TEXT NOT NULL DEFAULT '';
