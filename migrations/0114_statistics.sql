-- Settings are described in code.

-- The table in core/src/settings says what each setting is and what its default is. A row whose value is null has the
-- default, so that a default that a later release changes applies to whoever has not chosen another value. The values that
-- were installed with the platform are the defaults.
ALTER TABLE platform_settings DROP COLUMN description;
ALTER TABLE platform_settings DISABLE TRIGGER touch_row;
UPDATE platform_settings SET value = 'null' WHERE version = 1;
ALTER TABLE platform_settings ENABLE TRIGGER touch_row;

-- The activity log is read by admins: everything, or by who, what, the type of the object, or the object, always newest
-- first. Each of these has an index that delivers the order, so a page is as fast among ten million rows as among ten. All
-- columns of the new ones ascend, because the comparison of rows that begins a page needs columns of one direction.
-- Requests do not write the log, so while these are built only the queue of activities waits.
CREATE INDEX activity_log_action_idx ON activity_log (action, occurred_at, id);
CREATE INDEX activity_log_target_type_idx ON activity_log (target_type, occurred_at, id) WHERE target_type IS NOT NULL;
DROP INDEX activity_log_target_idx;
CREATE INDEX activity_log_target_idx ON activity_log (target_id, occurred_at, id) WHERE target_id IS NOT NULL;
-- The history of an object is what was changed in it, not what a hundred thousand learners did with it.
CREATE INDEX activity_log_changes_idx ON activity_log (target_id, occurred_at DESC, id DESC)
    WHERE metadata ?| ARRAY['before', 'after'];

-- Without an order of its own, which would have to be made before a page could be cut off.
CREATE OR REPLACE VIEW recent_student_activity AS
SELECT a.id, a.occurred_at, a.actor_id AS user_id, u.email, u.first_name, u.last_name,
       a.action, a.target_type, a.target_id, a.target_title, a.metadata
FROM activity_log a
JOIN users u ON u.id = a.actor_id
WHERE u.role = 'student' AND u.deleted_at IS NULL;

-- Statistics. Counting users, facts and likes whenever somebody looks at the dashboard took seconds, so the worker keeps
-- the numbers of every quarter of an hour, recomputed from the rows that they count and never added to:
--
--   a change of an older quarter ──trigger──► stats_marks ──┐
--   the quarter that is not over, and the one before ───────┴─refresh_stats──► stats_quarters, stats_active
--
-- Quarters of an hour, because every time zone in use differs from UTC by a multiple of one: the days of each are sums of
-- whole quarters, those with 23 and 25 hours too. A quarter is numbered by how many have passed since 1970, in UTC.
--
-- What happens now belongs to the quarter that is not over, which is recomputed every few seconds anyway. So a completion or
-- a like writes no mark, and requests neither wait for each other nor write more than before. Only changes of an older
-- quarter leave one: reopening a lesson, an import, the deletion of an account.
CREATE FUNCTION quarter_start(quarter integer) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT timestamptz '1970-01-01 00:00+00' + quarter * interval '15 minutes'
$$;

-- Null for times that nothing happens at, which somebody wrote by hand.
CREATE FUNCTION quarter_of(t timestamptz) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN t >= '1970-01-01 00:00+00' AND t < '2200-01-01 00:00+00'
        THEN floor(extract(epoch FROM t - timestamptz '1970-01-01 00:00+00') / 900)::integer END
$$;

-- What happened in a quarter. Rows are counted that exist now: a lesson that was reopened is no completion any more, and a
-- deleted account no new user. Quarters in which nothing happened may have no row.
CREATE TABLE stats_quarters (
    quarter integer PRIMARY KEY,
    students integer NOT NULL,              -- live users who registered in it, by their role now
    mentors integer NOT NULL,
    admins integer NOT NULL,
    completions integer NOT NULL,
    roadmaps_completed integer NOT NULL,
    projects_published integer NOT NULL,
    likes integer NOT NULL,
    questions integer NOT NULL,
    replies_failed integer NOT NULL         -- of the questions of the quarter
) WITH (fillfactor = 70);

-- Who was active in which quarter, from the activity log, which it outlives. Added to by a trigger of the log, so by the
-- worker, and never updated.
CREATE TABLE active_quarters (
    quarter integer NOT NULL,
    user_id uuid NOT NULL,                  -- no foreign key: it would lock the user's row for each activity
    CONSTRAINT active_quarters_pkey PRIMARY KEY (quarter, user_id)
);
CREATE INDEX active_quarters_user_idx ON active_quarters (user_id, quarter);

-- How many different learners were active cannot be added up from quarters, because a learner is active in many of them.
-- But each learner who is active in a period has exactly one first quarter in it: one whose previous active quarter lies
-- before the period. Element n of first_of_day is the number of learners who were active in this quarter and not in the
-- n - 1 quarters before it. So the learners of a day are the sum of the first element of its first quarter, the second of
-- its second, and so on, for a day of up to 27 hours in any time zone. first_of_week is the same in hours, for 7 days: those
-- who were active in this quarter, and not in its hour or the n - 1 hours before that.
CREATE TABLE stats_active (
    quarter integer PRIMARY KEY,
    first_of_day integer[] NOT NULL CHECK (cardinality(first_of_day) = 108),
    first_of_week integer[] NOT NULL CHECK (cardinality(first_of_week) = 169)
) WITH (fillfactor = 70);

-- What is to be recomputed. Only ever inserted into, so that no two transactions wait for each other, and emptied by the
-- worker. One of:
--   quarter             that quarter
--   quarter, user_id    that one, and the next in which the user was active, because a late activity became its previous
--   user_id             all quarters in which the user was active
--   lesson_id           the numbers of a lesson
CREATE TABLE stats_marks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    quarter integer,
    user_id uuid,
    lesson_id uuid,
    CONSTRAINT stats_marks_target CHECK (num_nonnulls(quarter, user_id, lesson_id) > 0)
);

-- One row. A quarter is over for good when every transaction that may have changed it without a mark has ended. Those are
-- the transactions that had begun to write before the quarter ended, so all are older than any id that is assigned later
-- (fence). Quarters from open_from on are not over.
CREATE TABLE stats_state (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    open_from integer NOT NULL,
    fenced integer,                         -- the quarters before this one are over when no older transaction runs
    fence xid8,
    filled_to integer,                      -- how far what was there before these tables has been marked; null = not at all
    is_filled boolean NOT NULL DEFAULT false,
    as_of timestamptz,                      -- the numbers contain all that was committed by then
    CONSTRAINT stats_state_fence CHECK ((fenced IS NULL) = (fence IS NULL))
);
INSERT INTO stats_state (open_from) VALUES (quarter_of(now()));

-- The numbers of lessons, which are recomputed one after another. Their median needs every fact of a lesson.
CREATE TABLE lesson_stats (
    lesson_id uuid PRIMARY KEY REFERENCES lessons ON DELETE CASCADE,
    starts integer NOT NULL,
    completions integer NOT NULL,
    median_seconds integer,                 -- null = nobody has completed it after starting it
    computed_at timestamptz                 -- null = known to be stale
);
CREATE INDEX lesson_stats_computed_at_idx ON lesson_stats (computed_at NULLS FIRST);

-- What a quarter is counted from is found by time.
CREATE INDEX user_lesson_progress_completed_at_idx ON user_lesson_progress (completed_at) WHERE completed_at IS NOT NULL;
CREATE INDEX user_roadmap_progress_completed_at_idx ON user_roadmap_progress (completed_at) WHERE completed_at IS NOT NULL;
CREATE INDEX project_likes_created_at_idx ON project_likes (created_at);
CREATE INDEX showcase_projects_submitted_idx ON showcase_projects (id) WHERE deleted_at IS NULL AND status = 'submitted';

-- Marks the quarters of a row before and after a change; the argument is its column with the time. The conditions of the
-- triggers let only changes of older quarters through, and cost a request nothing otherwise.
CREATE FUNCTION mark_stats() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO stats_marks (quarter)
    SELECT DISTINCT quarter_of(t::timestamptz)
    FROM (VALUES (to_jsonb(OLD) ->> TG_ARGV[0]), (to_jsonb(NEW) ->> TG_ARGV[0])) AS times (t)
    WHERE quarter_of(t::timestamptz) < quarter_of(clock_timestamp());
    RETURN NULL;
END;
$$;

-- The beginning of the quarter that is not over. The time by the clock, not that of the transaction: a transaction that
-- goes on into the next quarter marks what it changes in the one before.
CREATE FUNCTION open_quarter() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
    SELECT date_bin('15 minutes', clock_timestamp(), timestamptz '1970-01-01 00:00+00')
$$;

CREATE TRIGGER mark_stats_insert AFTER INSERT ON user_lesson_progress FOR EACH ROW
    WHEN (NEW.completed_at < open_quarter()) EXECUTE FUNCTION mark_stats('completed_at');
CREATE TRIGGER mark_stats_update AFTER UPDATE ON user_lesson_progress FOR EACH ROW
    WHEN (OLD.completed_at IS DISTINCT FROM NEW.completed_at AND least(OLD.completed_at, NEW.completed_at) < open_quarter())
    EXECUTE FUNCTION mark_stats('completed_at');
CREATE TRIGGER mark_stats_delete AFTER DELETE ON user_lesson_progress FOR EACH ROW
    WHEN (OLD.completed_at < open_quarter()) EXECUTE FUNCTION mark_stats('completed_at');

CREATE TRIGGER mark_stats_insert AFTER INSERT ON user_roadmap_progress FOR EACH ROW
    WHEN (NEW.completed_at < open_quarter()) EXECUTE FUNCTION mark_stats('completed_at');
CREATE TRIGGER mark_stats_update AFTER UPDATE ON user_roadmap_progress FOR EACH ROW
    WHEN (OLD.completed_at IS DISTINCT FROM NEW.completed_at AND least(OLD.completed_at, NEW.completed_at) < open_quarter())
    EXECUTE FUNCTION mark_stats('completed_at');
CREATE TRIGGER mark_stats_delete AFTER DELETE ON user_roadmap_progress FOR EACH ROW
    WHEN (OLD.completed_at < open_quarter()) EXECUTE FUNCTION mark_stats('completed_at');

CREATE TRIGGER mark_stats_insert AFTER INSERT ON project_likes FOR EACH ROW
    WHEN (NEW.created_at < open_quarter()) EXECUTE FUNCTION mark_stats('created_at');
CREATE TRIGGER mark_stats_update AFTER UPDATE ON project_likes FOR EACH ROW
    WHEN (OLD.created_at <> NEW.created_at) EXECUTE FUNCTION mark_stats('created_at');
CREATE TRIGGER mark_stats_delete AFTER DELETE ON project_likes FOR EACH ROW
    WHEN (OLD.created_at < open_quarter()) EXECUTE FUNCTION mark_stats('created_at');

CREATE TRIGGER mark_stats_insert AFTER INSERT ON showcase_projects FOR EACH ROW
    WHEN (NEW.published_at < open_quarter()) EXECUTE FUNCTION mark_stats('published_at');
CREATE TRIGGER mark_stats_update AFTER UPDATE ON showcase_projects FOR EACH ROW
    WHEN ((OLD.status, OLD.published_at, OLD.deleted_at) IS DISTINCT FROM (NEW.status, NEW.published_at, NEW.deleted_at))
    EXECUTE FUNCTION mark_stats('published_at');
CREATE TRIGGER mark_stats_delete AFTER DELETE ON showcase_projects FOR EACH ROW
    WHEN (OLD.published_at < open_quarter()) EXECUTE FUNCTION mark_stats('published_at');

CREATE TRIGGER mark_stats_insert AFTER INSERT ON ai_replies FOR EACH ROW
    WHEN (NEW.created_at < open_quarter()) EXECUTE FUNCTION mark_stats('created_at');
CREATE TRIGGER mark_stats_update AFTER UPDATE ON ai_replies FOR EACH ROW
    WHEN ((OLD.state = 'failed') <> (NEW.state = 'failed') OR OLD.created_at <> NEW.created_at)
    EXECUTE FUNCTION mark_stats('created_at');
CREATE TRIGGER mark_stats_delete AFTER DELETE ON ai_replies FOR EACH ROW
    WHEN (OLD.created_at < open_quarter()) EXECUTE FUNCTION mark_stats('created_at');

CREATE TRIGGER mark_stats_insert AFTER INSERT ON users FOR EACH ROW
    WHEN (NEW.created_at < open_quarter()) EXECUTE FUNCTION mark_stats('created_at');
CREATE TRIGGER mark_stats_update AFTER UPDATE ON users FOR EACH ROW
    WHEN ((OLD.role, OLD.deleted_at, OLD.created_at) IS DISTINCT FROM (NEW.role, NEW.deleted_at, NEW.created_at))
    EXECUTE FUNCTION mark_stats('created_at');
CREATE TRIGGER mark_stats_delete AFTER DELETE ON users FOR EACH ROW
    WHEN (OLD.created_at < open_quarter()) EXECUTE FUNCTION mark_stats('created_at');

-- Somebody who becomes a learner, or is none any more, counts in other quarters than that of the registration.
CREATE FUNCTION mark_active_user() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO stats_marks (user_id) VALUES (OLD.id);
    RETURN NULL;
END;
$$;
CREATE TRIGGER mark_active_update AFTER UPDATE ON users FOR EACH ROW
    WHEN ((OLD.role = 'student' AND OLD.deleted_at IS NULL) <> (NEW.role = 'student' AND NEW.deleted_at IS NULL))
    EXECUTE FUNCTION mark_active_user();

-- A person goes with everything. The quarter before this one is marked in any case: a batch of activities that is not
-- committed yet may contain one of theirs, in a quarter that has just ended.
CREATE FUNCTION remove_active_user() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    WITH gone AS (DELETE FROM active_quarters WHERE user_id = OLD.id RETURNING quarter)
    INSERT INTO stats_marks (quarter)
    SELECT quarter FROM gone UNION SELECT quarter_of(clock_timestamp()) - 1;
    RETURN NULL;
END;
$$;
CREATE TRIGGER remove_active_delete AFTER DELETE ON users FOR EACH ROW EXECUTE FUNCTION remove_active_user();

CREATE FUNCTION mark_lesson_stats() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO stats_marks (lesson_id) SELECT DISTINCT lesson_id FROM changed_rows;
    RETURN NULL;
END;
$$;
CREATE TRIGGER mark_lesson_stats_delete AFTER DELETE ON user_lesson_progress REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION mark_lesson_stats();

-- Runs in the worker, once for each batch of activities. An activity that was logged after its quarter, because the queue was
-- behind, marks it.
CREATE FUNCTION log_active_quarters() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    WITH added AS (
        INSERT INTO active_quarters (quarter, user_id)
        SELECT DISTINCT quarter_of(occurred_at), actor_id FROM new_rows
        WHERE actor_id IS NOT NULL AND quarter_of(occurred_at) IS NOT NULL
        ORDER BY 1, 2                       -- the same order in every transaction, so that two cannot deadlock
        ON CONFLICT DO NOTHING
        RETURNING quarter, user_id
    )
    INSERT INTO stats_marks (quarter, user_id)
    SELECT quarter, user_id FROM added WHERE quarter < quarter_of(clock_timestamp());
    RETURN NULL;
END;
$$;
CREATE TRIGGER log_active_quarters AFTER INSERT ON activity_log REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION log_active_quarters();

-- How many of `gaps` are at least 1, 2, …, `most`.
CREATE FUNCTION at_least(gaps integer[], most integer) RETURNS integer[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT array_agg(number ORDER BY n)
    FROM (
        SELECT n, (sum(count(g.gap)) OVER (ORDER BY n DESC))::integer AS number
        FROM generate_series(1, most) AS n LEFT JOIN unnest(gaps) AS g (gap) ON least(g.gap, most) = n
        GROUP BY n
    ) counts
$$;

-- Recomputes these quarters. Whatever the planner expects, each is read from the indexes alone.
CREATE FUNCTION recompute_stats(quarters integer[]) RETURNS void LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    INSERT INTO stats_quarters AS s (quarter, students, mentors, admins, completions, roadmaps_completed,
        projects_published, likes, questions, replies_failed)
    SELECT q.quarter, u.students, u.mentors, u.admins, f.completions, r.completed, p.published, k.likes, a.questions, a.failed
    FROM (SELECT DISTINCT t.quarter, quarter_start(t.quarter) AS since, quarter_start(t.quarter + 1) AS until
          FROM unnest(quarters) AS t (quarter)) q
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE role = 'student') AS students, count(*) FILTER (WHERE role = 'mentor') AS mentors,
            count(*) FILTER (WHERE role = 'admin') AS admins
        FROM users
        WHERE role = ANY (ARRAY['student', 'mentor', 'admin']::user_role[]) AND deleted_at IS NULL
          AND created_at >= q.since AND created_at < q.until) u
    CROSS JOIN LATERAL (SELECT count(*) AS completions FROM user_lesson_progress
        WHERE completed_at >= q.since AND completed_at < q.until) f
    CROSS JOIN LATERAL (SELECT count(*) AS completed FROM user_roadmap_progress
        WHERE completed_at >= q.since AND completed_at < q.until) r
    CROSS JOIN LATERAL (SELECT count(*) AS published FROM showcase_projects
        WHERE deleted_at IS NULL AND status = 'published' AND published_at >= q.since AND published_at < q.until) p
    CROSS JOIN LATERAL (SELECT count(*) AS likes FROM project_likes
        WHERE created_at >= q.since AND created_at < q.until) k
    CROSS JOIN LATERAL (SELECT count(*) AS questions, count(*) FILTER (WHERE state = 'failed') AS failed FROM ai_replies
        WHERE created_at >= q.since AND created_at < q.until) a
    WHERE u.students + u.mentors + u.admins + f.completions + r.completed + p.published + k.likes + a.questions > 0
       OR EXISTS (SELECT FROM stats_quarters e WHERE e.quarter = q.quarter)
    ORDER BY q.quarter
    ON CONFLICT (quarter) DO UPDATE SET students = excluded.students, mentors = excluded.mentors, admins = excluded.admins,
        completions = excluded.completions, roadmaps_completed = excluded.roadmaps_completed,
        projects_published = excluded.projects_published, likes = excluded.likes, questions = excluded.questions,
        replies_failed = excluded.replies_failed
        WHERE s.* IS DISTINCT FROM excluded.*;

    INSERT INTO stats_active AS s (quarter, first_of_day, first_of_week)
    SELECT q.quarter, at_least(v.quarters, 108), at_least(v.hours, 169)
    FROM (SELECT DISTINCT t.quarter FROM unnest(quarters) AS t (quarter)) q
    CROSS JOIN LATERAL (
        SELECT coalesce(array_agg(q.quarter - coalesce(e.previous, -1000)), '{}') AS quarters,
            coalesce(array_agg(q.quarter / 4 - coalesce(e.previous, -1000) / 4), '{}') AS hours
        FROM active_quarters a
        JOIN users u ON u.id = a.user_id AND u.role = 'student' AND u.deleted_at IS NULL
        CROSS JOIN LATERAL (
            SELECT max(p.quarter) AS previous FROM active_quarters p WHERE p.user_id = a.user_id AND p.quarter < q.quarter) e
        WHERE a.quarter = q.quarter) v
    WHERE v.quarters <> '{}' OR EXISTS (SELECT FROM stats_active e WHERE e.quarter = q.quarter)
    ORDER BY q.quarter
    ON CONFLICT (quarter) DO UPDATE SET first_of_day = excluded.first_of_day, first_of_week = excluded.first_of_week
        WHERE s.* IS DISTINCT FROM excluded.*;
END;
$$;

-- Marks a week of what was there before these tables, or was restored without triggers. Returns whether there is more.
CREATE FUNCTION fill_stats(filled_to integer, before integer) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    first integer := coalesce(filled_to, quarter_of(least(
        (SELECT min(created_at) FROM users), (SELECT min(completed_at) FROM user_lesson_progress),
        (SELECT min(completed_at) FROM user_roadmap_progress), (SELECT min(published_at) FROM showcase_projects),
        (SELECT min(created_at) FROM project_likes), (SELECT min(created_at) FROM ai_replies),
        (SELECT min(occurred_at) FROM activity_log))), before);
    last integer := least(first + 671, before - 1);
BEGIN
    INSERT INTO active_quarters (quarter, user_id)
    SELECT DISTINCT quarter_of(occurred_at), actor_id FROM activity_log
    WHERE occurred_at >= quarter_start(first) AND occurred_at < quarter_start(last + 1) AND actor_id IS NOT NULL
    ORDER BY 1, 2
    ON CONFLICT DO NOTHING;
    INSERT INTO stats_marks (quarter) SELECT generate_series(first, last);
    UPDATE stats_state s SET filled_to = greatest(first, last + 1), is_filled = last + 1 >= before;
    RETURN last + 1 < before;
END;
$$;

-- Recomputes the quarters that are not over, and some that are marked, in one transaction. Returns whether more are waiting;
-- call it again then. Does nothing while another transaction does it. The steps must be separate statements, each of which
-- sees what was committed before it: a mark is removed before what it marks is counted.
CREATE FUNCTION refresh_stats() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    state stats_state;
    present integer;
    last_mark bigint;
    is_over boolean;
    stale integer[];
    learners uuid[];
    has_more boolean := false;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('stats', 0)) THEN
        RETURN false;
    END IF;
    SELECT * INTO state FROM stats_state;
    present := quarter_of(clock_timestamp());
    is_over := state.fence IS NOT NULL AND pg_snapshot_xmin(pg_current_snapshot()) >= state.fence;
    IF NOT state.is_filled THEN
        has_more := fill_stats(state.filled_to, state.open_from);
    END IF;

    WITH taken AS (
        DELETE FROM stats_marks WHERE id IN (SELECT id FROM stats_marks WHERE user_id IS NOT NULL ORDER BY id LIMIT 1000)
        RETURNING quarter, user_id
    )
    SELECT coalesce(array_agg(quarter), '{}'), coalesce(array_agg(user_id), '{}') INTO stale, learners FROM taken;
    INSERT INTO stats_marks (quarter)
    SELECT m.quarter FROM unnest(stale) AS m (quarter) WHERE m.quarter IS NOT NULL
    UNION
    SELECT (SELECT min(a.quarter) FROM active_quarters a WHERE a.user_id = m.user_id AND a.quarter > m.quarter)
    FROM unnest(stale, learners) AS m (quarter, user_id)
    WHERE EXISTS (SELECT FROM active_quarters a WHERE a.user_id = m.user_id AND a.quarter > m.quarter)
    UNION
    SELECT a.quarter FROM unnest(stale, learners) AS m (quarter, user_id) JOIN active_quarters a ON a.user_id = m.user_id
    WHERE m.quarter IS NULL;

    SELECT max(id) INTO last_mark FROM stats_marks;

    WITH taken AS (DELETE FROM stats_marks WHERE lesson_id IS NOT NULL RETURNING lesson_id)
    UPDATE lesson_stats s SET computed_at = NULL FROM taken t WHERE s.lesson_id = t.lesson_id;

    SELECT coalesce(array_agg(t.quarter), '{}') INTO stale FROM (
        SELECT DISTINCT quarter FROM stats_marks WHERE user_id IS NULL AND lesson_id IS NULL ORDER BY 1 DESC LIMIT 200) t;
    DELETE FROM stats_marks WHERE user_id IS NULL AND lesson_id IS NULL AND quarter = ANY (stale);
    has_more := has_more OR EXISTS (SELECT FROM stats_marks WHERE id <= last_mark);

    stale := stale || ARRAY[present - 1, present];
    IF is_over THEN
        stale := stale || ARRAY(SELECT generate_series(state.open_from, state.fenced - 1));
    END IF;
    PERFORM recompute_stats(stale);
    UPDATE stats_state SET
        open_from = CASE WHEN is_over THEN state.fenced ELSE state.open_from END,
        fenced = CASE WHEN is_over THEN NULL WHEN state.fence IS NULL AND state.open_from < present THEN present ELSE state.fenced END,
        fence = CASE WHEN is_over THEN NULL
                     WHEN state.fence IS NULL AND state.open_from < present THEN pg_current_xact_id()
                     ELSE state.fence END,
        as_of = CASE WHEN has_more THEN as_of ELSE now() END;
    RETURN has_more;
END;
$$;

INSERT INTO schedules (name) VALUES ('refresh_stats');

-- Students who were active since the beginning of the hour 24 hours ago, or 7 days ago. Numbers of a day and of a week are
-- those of 96 and 672 quarters and the one that is not over. What is left to count at once is little and has an index. The time
-- is converted once, by subqueries, and not for each row.
CREATE OR REPLACE VIEW admin_dashboard_stats AS
SELECT
    t.students, t.mentors, t.admins, w.students_active_today, w.students_active_week, t.students_new_week,
    l.lessons_published,
    t.lessons_completed, t.lessons_completed_week,
    t.roadmaps_completed,
    t.projects_published, p.projects_waiting,
    t.likes,
    t.questions_today, a.replies_open, t.replies_failed_week,
    s.as_of
FROM
    (SELECT
        coalesce(sum(students), 0) AS students,
        coalesce(sum(mentors), 0) AS mentors,
        coalesce(sum(admins), 0) AS admins,
        coalesce(sum(students) FILTER (WHERE quarter >= (SELECT quarter_of(now()) - 672)), 0) AS students_new_week,
        coalesce(sum(completions), 0) AS lessons_completed,
        coalesce(sum(completions) FILTER (WHERE quarter >= (SELECT quarter_of(now()) - 672)), 0) AS lessons_completed_week,
        coalesce(sum(roadmaps_completed), 0) AS roadmaps_completed,
        coalesce(sum(projects_published), 0) AS projects_published,
        coalesce(sum(likes), 0) AS likes,
        coalesce(sum(questions) FILTER (WHERE quarter >= (SELECT quarter_of(now()) - 96)), 0) AS questions_today,
        coalesce(sum(replies_failed) FILTER (WHERE quarter >= (SELECT quarter_of(now()) - 672)), 0) AS replies_failed_week
     FROM stats_quarters) t,
    (SELECT
        coalesce(sum(a.first_of_week[a.quarter / 4 - h.hour + 25]) FILTER (WHERE a.quarter / 4 >= h.hour - 24), 0)
            AS students_active_today,
        coalesce(sum(a.first_of_week[a.quarter / 4 - h.hour + 169]), 0) AS students_active_week
     FROM (SELECT quarter_of(now()) / 4 AS hour OFFSET 0) h, stats_active a
     WHERE a.quarter >= (h.hour - 168) * 4 AND a.quarter < (h.hour + 1) * 4) w,
    (SELECT count(*) AS lessons_published FROM visible_lessons) l,
    (SELECT count(*) AS projects_waiting FROM showcase_projects WHERE deleted_at IS NULL AND status = 'submitted') p,
    (SELECT count(*) AS replies_open FROM ai_replies WHERE state IN ('queued', 'streaming')) a,
    stats_state s;
