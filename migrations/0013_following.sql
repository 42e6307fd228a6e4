-- What learners do with replies beside reading them, and what admins look at.

ALTER TABLE ai_replies
    -- When it was asked for again, beside created_at: each time counts as a question of its learner. Bounded, so that a
    -- reply that never works out does not grow.
    ADD COLUMN retried_at timestamptz[] NOT NULL DEFAULT '{}',
    ADD CONSTRAINT ai_replies_retried_at CHECK (cardinality(retried_at) <= 20);

-- The quota looks at what was asked, or asked again, lately: queued_at is the latest of those times.
DROP INDEX ai_replies_user_idx;
CREATE INDEX ai_replies_user_idx ON ai_replies (user_id, queued_at DESC);
-- Figures of a period.
CREATE INDEX ai_replies_created_at_idx ON ai_replies (created_at);

-- Admins list chats by when they were last used, and adopted rows may lack that.
UPDATE tool_chats SET updated_at = coalesce(created_at, now()) WHERE updated_at IS NULL;
CREATE INDEX tool_chats_updated_at_idx ON tool_chats (updated_at DESC, id DESC);
CREATE INDEX tool_chats_tool_type_idx ON tool_chats (tool_type, updated_at DESC, id DESC);

-- What is left in pieces and no longer needs to be: of cancelled replies too, whose text is a message as well, and in the
-- end of failed ones, whose text is nowhere else.
DROP INDEX ai_replies_chunks_idx;
CREATE INDEX ai_replies_chunks_idx ON ai_replies (finished_at)
    WHERE state IN ('completed', 'failed', 'cancelled') AND NOT chunks_removed;
