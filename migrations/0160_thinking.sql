-- What a model thinks can be shown while it is written, if the instruction allows it. It is kept with the chunks of the attempt, so that a
-- reader who comes back misses nothing, but it is no part of the text, of the chat or of its history, and goes with the chunks.
SET LOCAL lock_timeout = '2s';

ALTER TABLE ai_system_instructions ADD COLUMN show_thinking boolean NOT NULL DEFAULT false;
ALTER TABLE ai_reply_chunks ADD COLUMN is_thinking boolean NOT NULL DEFAULT false;
