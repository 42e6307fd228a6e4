-- Events of users: what a client that shows a learner's progress, replies and projects wants to hear about, such as
-- `progress.updated`. They are written in the transaction of their cause, and streamed by GET /v1/me/events.

-- The number of the last event of each user. Whoever writes events of a user locks this row until the end of the
-- transaction, so the numbers become visible in their order and without gaps, and a reader that has event n has
-- everything before it. A sequence could not promise that.
CREATE TABLE user_event_heads (
    user_id uuid PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    last_seq bigint NOT NULL CHECK (last_seq > 0)
) WITH (fillfactor = 70);

-- Kept for a day, so that a client that comes back can resume. There is no foreign key to the user, because its check would
-- cost as much as the row; events whose user was deleted go with their age.
CREATE TABLE user_events (
    user_id uuid NOT NULL,
    seq bigint NOT NULL,
    event jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, seq)
);
CREATE INDEX user_events_created_at_idx ON user_events (created_at);
