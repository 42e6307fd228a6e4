-- Addresses and browsers of users are removed when they are older than `privacy.keep_origin_days`, and what happened stays. The
-- indexes find what is left to remove: without them each run would read the log, which is kept for years, and all sessions.
SET LOCAL lock_timeout = '2s';
CREATE INDEX activity_log_origin_idx ON activity_log (occurred_at) WHERE num_nonnulls(ip, user_agent) > 0;
CREATE INDEX sessions_origin_idx ON sessions (last_used_at) WHERE num_nonnulls(ip, user_agent) > 0;
