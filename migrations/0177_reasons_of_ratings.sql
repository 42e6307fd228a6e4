-- Admins read what learners wrote about replies, the newest first.
SET LOCAL lock_timeout = '2s';

-- allowed: there is a rating for few replies, and a reason for few ratings.
CREATE INDEX ai_reply_ratings_reasons_idx ON ai_reply_ratings (updated_at, reply_id) WHERE reason IS NOT NULL;
