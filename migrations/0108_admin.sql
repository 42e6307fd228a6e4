-- The record of what happened, the settings, and the views of the admin dashboard.

CREATE TABLE activity_log (
    id uuid NOT NULL,               -- chosen with the event, so that a repeated job writes no second row
    occurred_at timestamptz NOT NULL,
    actor_id uuid,                  -- no foreign key: the record outlives the person
    action text NOT NULL CHECK (action ~ '^[a-z_]+\.[a-z_]+$' AND length(action) <= 60),
    target_type text CHECK (length(target_type) <= 40),
    target_id uuid,
    target_title text CHECK (length(target_title) <= 300),
    metadata jsonb NOT NULL DEFAULT '{}',
    ip inet,
    user_agent text CHECK (length(user_agent) <= 400),
    logged_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT activity_log_pkey PRIMARY KEY (id, occurred_at)
) PARTITION BY RANGE (occurred_at);
CREATE INDEX activity_log_time_idx ON activity_log (occurred_at DESC, id DESC);
CREATE INDEX activity_log_actor_idx ON activity_log (actor_id, occurred_at DESC, id DESC);
CREATE INDEX activity_log_target_idx ON activity_log (target_id, occurred_at DESC) WHERE target_id IS NOT NULL;

-- Takes the events that no monthly partition takes, so that none is ever refused. Normally empty.
CREATE TABLE activity_log_default PARTITION OF activity_log DEFAULT;

-- Creates the partitions from the month of `start` to `months` months later, and moves the rows of those months out of the
-- default partition. Returns how many it created. Safe to repeat and to run concurrently.
CREATE FUNCTION create_activity_partitions(start timestamptz, months integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    lower_bound timestamptz;
    upper_bound timestamptz;
    name text;
    created integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('activity_log partitions', 0));
    FOR i IN 0..months LOOP
        -- Months in UTC, whatever the session's time zone.
        lower_bound := (date_trunc('month', start AT TIME ZONE 'UTC') + make_interval(months => i)) AT TIME ZONE 'UTC';
        upper_bound := (date_trunc('month', start AT TIME ZONE 'UTC') + make_interval(months => i + 1)) AT TIME ZONE 'UTC';
        name := 'activity_log_' || to_char(lower_bound AT TIME ZONE 'UTC', 'YYYY_MM');
        CONTINUE WHEN to_regclass(name) IS NOT NULL;
        -- Waits for transactions that are writing events of that month, so that their rows are moved too.
        LOCK TABLE activity_log_default IN ACCESS EXCLUSIVE MODE;
        EXECUTE format('CREATE TABLE %I (LIKE activity_log INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
        EXECUTE format(
            'WITH moved AS (DELETE FROM activity_log_default WHERE occurred_at >= %L AND occurred_at < %L RETURNING *)
             INSERT INTO %I SELECT * FROM moved', lower_bound, upper_bound, name);
        EXECUTE format('ALTER TABLE activity_log ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, lower_bound, upper_bound);
        created := created + 1;
    END LOOP;
    RETURN created;
END;
$$;
SELECT create_activity_partitions(now() - interval '1 month', 4);

-- Drops the monthly partitions that end `keep_months` or more before `today`, and the rows of those months in the default
-- partition. Returns how many partitions it dropped. Safe to run concurrently.
CREATE FUNCTION drop_activity_partitions(today timestamptz, keep_months integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    oldest timestamp := date_trunc('month', today AT TIME ZONE 'UTC' - make_interval(months => keep_months));  -- in UTC
    partition text;
    dropped integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('activity_log partitions', 0));
    FOR partition IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'activity_log'::regclass AND c.relname ~ '^activity_log_\d{4}_\d{2}$'
          AND c.relname < 'activity_log_' || to_char(oldest, 'YYYY_MM')
    LOOP
        EXECUTE format('DROP TABLE %I', partition);
        dropped := dropped + 1;
    END LOOP;
    DELETE FROM activity_log_default WHERE occurred_at < oldest AT TIME ZONE 'UTC';
    RETURN dropped;
END;
$$;

CREATE TABLE platform_settings (
    key text PRIMARY KEY CHECK (key ~ '^[a-z_]+(\.[a-z_]+)+$'),
    value jsonb NOT NULL,
    description text NOT NULL DEFAULT '',
    updated_by uuid REFERENCES users ON DELETE SET NULL,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER touch_row BEFORE UPDATE ON platform_settings FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)
    EXECUTE FUNCTION touch_row('version');
INSERT INTO platform_settings (key, value, description) VALUES
    ('registration.mode', '"invite"', 'Who can register: "invite" (a valid invite is needed) or "open".'),
    ('ai.daily_questions', '50', 'Questions one learner may ask in 24 hours.'),
    ('ai.max_message_chars', '8000', 'Longest question, in characters.'),
    ('ai.open_replies_per_user', '2', 'Replies that may be in the making for one learner at once.'),
    ('projects.moderation', '"off"', 'Whether a learner''s project waits for a mentor before it is shown: "off" or "on".'),
    ('jobs.keep_done_hours', '24', 'How long finished jobs are kept.'),
    ('jobs.keep_dead_days', '30', 'How long dead jobs are kept.'),
    ('activity.keep_months', '24', 'How long activity is kept; older monthly partitions are dropped.');

CREATE VIEW admin_dashboard_stats AS
SELECT
    u.students, u.mentors, u.admins, u.students_active_today, u.students_active_week, u.students_new_week,
    l.lessons_published,
    f.lessons_completed, f.lessons_completed_week,
    r.roadmaps_completed,
    p.projects_published, p.projects_waiting,
    k.likes,
    a.questions_today, a.replies_open, a.replies_failed_week
FROM
    (SELECT
        count(*) FILTER (WHERE role = 'student') AS students,
        count(*) FILTER (WHERE role = 'mentor') AS mentors,
        count(*) FILTER (WHERE role = 'admin') AS admins,
        count(*) FILTER (WHERE role = 'student' AND last_active_at >= now() - interval '1 day') AS students_active_today,
        count(*) FILTER (WHERE role = 'student' AND last_active_at >= now() - interval '7 days') AS students_active_week,
        count(*) FILTER (WHERE role = 'student' AND created_at >= now() - interval '7 days') AS students_new_week
     FROM users WHERE deleted_at IS NULL) u,
    (SELECT count(*) AS lessons_published FROM visible_lessons) l,
    (SELECT
        count(*) FILTER (WHERE status = 'completed') AS lessons_completed,
        count(*) FILTER (WHERE completed_at >= now() - interval '7 days') AS lessons_completed_week
     FROM user_lesson_progress) f,
    (SELECT count(*) FILTER (WHERE status = 'completed') AS roadmaps_completed FROM user_roadmap_progress) r,
    (SELECT
        count(*) FILTER (WHERE status = 'published') AS projects_published,
        count(*) FILTER (WHERE status = 'submitted') AS projects_waiting
     FROM showcase_projects WHERE deleted_at IS NULL) p,
    (SELECT count(*) AS likes FROM project_likes) k,
    (SELECT
        count(*) FILTER (WHERE created_at >= now() - interval '1 day') AS questions_today,
        count(*) FILTER (WHERE state IN ('queued', 'streaming')) AS replies_open,
        count(*) FILTER (WHERE state = 'failed' AND created_at >= now() - interval '7 days') AS replies_failed_week
     FROM ai_replies) a;

CREATE VIEW recent_student_activity AS
SELECT a.id, a.occurred_at, a.actor_id AS user_id, u.email, u.first_name, u.last_name,
       a.action, a.target_type, a.target_id, a.target_title, a.metadata
FROM activity_log a
JOIN users u ON u.id = a.actor_id
WHERE u.role = 'student' AND u.deleted_at IS NULL
ORDER BY a.occurred_at DESC, a.id DESC;
