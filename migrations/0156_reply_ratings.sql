-- What learners think of replies: a thumb, and why. The reason is theirs, and goes with the chat.
CREATE TYPE reply_thumb AS ENUM ('up', 'down');

CREATE TABLE ai_reply_ratings (
    reply_id uuid PRIMARY KEY REFERENCES ai_replies ON DELETE CASCADE,
    thumb reply_thumb NOT NULL,
    reason text CHECK (length(reason) BETWEEN 1 AND 1000),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER touch_row BEFORE UPDATE ON ai_reply_ratings FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)
    EXECUTE FUNCTION touch_row();
