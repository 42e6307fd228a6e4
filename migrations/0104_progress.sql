-- Facts (what a learner did), markers of what they made stale, and the rollups that are computed from them.

-- One row per (user, lesson) from the moment the learner starts. A lesson that was never started has no row.
CREATE TABLE user_lesson_progress (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    lesson_id uuid NOT NULL REFERENCES lessons ON DELETE CASCADE,
    status lesson_status NOT NULL DEFAULT 'in_progress',
    started_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT user_lesson_progress_pkey PRIMARY KEY (user_id, lesson_id),
    -- locked and available are derived, never stored as a fact
    CONSTRAINT user_lesson_progress_status CHECK (status IN ('in_progress', 'completed')),
    CONSTRAINT user_lesson_progress_completed_at CHECK ((status = 'completed') = (completed_at IS NOT NULL))
) WITH (fillfactor = 85);
CREATE INDEX user_lesson_progress_lesson_id_idx ON user_lesson_progress (lesson_id, user_id);
CREATE TRIGGER touch_row BEFORE UPDATE ON user_lesson_progress FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)
    EXECUTE FUNCTION touch_row();

CREATE TABLE user_lesson_task_progress (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    task_id uuid NOT NULL REFERENCES lesson_tasks ON DELETE CASCADE,
    checked_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT user_lesson_task_progress_pkey PRIMARY KEY (user_id, task_id)
);
CREATE INDEX user_lesson_task_progress_task_id_idx ON user_lesson_task_progress (task_id);

-- The marker of a learner and a roadmap, which says how far the stored numbers are: which facts they have seen (done_seq)
-- and which content (done_version). They are stale while done_seq < requested_seq. A transaction that writes a fact holds
-- the marker's row lock until it commits, and the rollup takes the same lock before it reads the facts. So a rollup that
-- sets done_seq has seen every fact that was counted into requested_seq, whatever the order of jobs, retries and repeats.
-- The recompute after a content change visits the markers whose done_version is behind, so learners who are done are not
-- done again, whatever crashed.
CREATE TABLE progress_dirty (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    roadmap_id uuid NOT NULL REFERENCES roadmaps ON DELETE CASCADE,
    requested_seq bigint NOT NULL DEFAULT 0,
    done_seq bigint NOT NULL DEFAULT 0,
    done_version bigint NOT NULL DEFAULT 0,
    requested_at timestamptz NOT NULL DEFAULT now(),
    queued_at timestamptz,          -- a job has been enqueued for this marker and has not run yet
    throttled_until timestamptz,    -- limits how often one learner's roadmap is rolled up (core/src/learning/rollup.rs)
    CONSTRAINT progress_dirty_pkey PRIMARY KEY (user_id, roadmap_id),
    CONSTRAINT progress_dirty_done_not_ahead CHECK (done_seq <= requested_seq)
) WITH (fillfactor = 70);
-- Small, because it holds only stale markers. The reconciler reads it every few seconds.
CREATE INDEX progress_dirty_stale_idx ON progress_dirty (requested_at) WHERE done_seq < requested_seq;
CREATE INDEX progress_dirty_roadmap_idx ON progress_dirty (roadmap_id, user_id);

-- A lesson can be put into a roadmap while a learner acts on it. Neither transaction sees the other's row, so both lock the
-- lesson before they look and until they commit: learners share the lock, placing the lesson takes it exclusively. The
-- locks are taken in one order, so that there is no deadlock, and by slots, so that an import of any size fits into the
-- server's lock table.
CREATE FUNCTION lock_lessons(lesson_ids uuid[], shared boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF shared THEN
        PERFORM pg_advisory_xact_lock_shared(hashtext('lesson'), slot)
        FROM (SELECT DISTINCT hashtext(id::text) & 1023 AS slot FROM unnest(lesson_ids) AS l (id) ORDER BY slot) s;
    ELSE
        PERFORM pg_advisory_xact_lock(hashtext('lesson'), slot)
        FROM (SELECT DISTINCT hashtext(id::text) & 1023 AS slot FROM unnest(lesson_ids) AS l (id) ORDER BY slot) s;
    END IF;
END;
$$;

-- Every write path marks what it made stale: the API, an import, and SQL typed by hand.
--
-- A learner's first fact in a roadmap makes a marker with the current version: no number is stored yet, so none is of older
-- content, and only the rollup of the fact itself is due.
--
-- In PL/pgSQL, because Postgres plans an SQL function of this kind again for each call, which took longer than everything
-- else that a completion does in the database. This plan is kept by the connection, so it must not depend on how few rows
-- there were when it was made: hence enable_seqscan.
CREATE FUNCTION mark_lessons_dirty(user_ids uuid[], lesson_ids uuid[]) RETURNS void
LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    INSERT INTO progress_dirty AS d (user_id, roadmap_id, requested_seq, done_version)
    SELECT DISTINCT c.user_id, s.roadmap_id, 1, r.content_version
    FROM unnest(user_ids, lesson_ids) AS c (user_id, lesson_id)
    JOIN stage_lessons sl ON sl.lesson_id = c.lesson_id
    JOIN stages s ON s.id = sl.stage_id
    JOIN roadmaps r ON r.id = s.roadmap_id
    WHERE EXISTS (SELECT FROM users u WHERE u.id = c.user_id)  -- a deleted user's facts cascade away: nothing to mark
    ORDER BY 1, 2                                               -- one lock order for all writers
    ON CONFLICT (user_id, roadmap_id) DO UPDATE
        SET requested_seq = d.requested_seq + 1,
            requested_at = CASE WHEN d.done_seq = d.requested_seq THEN now() ELSE d.requested_at END;
END;
$$;

CREATE FUNCTION mark_progress_dirty() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    user_ids uuid[];
    lesson_ids uuid[];
BEGIN
    IF TG_OP = 'UPDATE' THEN
        SELECT array_agg(user_id), array_agg(lesson_id) INTO user_ids, lesson_ids
        FROM (SELECT user_id, lesson_id FROM new_rows UNION SELECT user_id, lesson_id FROM old_rows) c;
    ELSE
        SELECT array_agg(user_id), array_agg(lesson_id) INTO user_ids, lesson_ids FROM changed_rows;
    END IF;
    -- An upsert fires both the insert and the update trigger, one of them with no row.
    IF user_ids IS NOT NULL THEN
        PERFORM lock_lessons(lesson_ids, true);
        PERFORM mark_lessons_dirty(user_ids, lesson_ids);
    END IF;
    RETURN NULL;
END;
$$;
CREATE TRIGGER mark_dirty_insert AFTER INSERT ON user_lesson_progress REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION mark_progress_dirty();
CREATE TRIGGER mark_dirty_update AFTER UPDATE ON user_lesson_progress REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION mark_progress_dirty();
CREATE TRIGGER mark_dirty_delete AFTER DELETE ON user_lesson_progress REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION mark_progress_dirty();

-- When a lesson is put into a roadmap, everybody who has started the lesson has started the roadmap, or is further in it
-- than before. They get a marker with version 0, which the recompute of the roadmap will find.
CREATE FUNCTION mark_placed_lessons(stage_ids uuid[], lesson_ids uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM lock_lessons(lesson_ids, false);
    INSERT INTO progress_dirty (user_id, roadmap_id, requested_seq)
    SELECT DISTINCT f.user_id, s.roadmap_id, 1
    FROM unnest(stage_ids, lesson_ids) AS p (stage_id, lesson_id)
    JOIN stages s ON s.id = p.stage_id
    JOIN user_lesson_progress f ON f.lesson_id = p.lesson_id
    ORDER BY 1, 2
    ON CONFLICT DO NOTHING;
END;
$$;
CREATE FUNCTION mark_placed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    stage_ids uuid[];
    lesson_ids uuid[];
BEGIN
    IF TG_OP = 'UPDATE' THEN
        SELECT array_agg(stage_id), array_agg(lesson_id) INTO stage_ids, lesson_ids
        FROM (SELECT stage_id, lesson_id FROM new_rows EXCEPT SELECT stage_id, lesson_id FROM old_rows) placed;
    ELSE
        SELECT array_agg(stage_id), array_agg(lesson_id) INTO stage_ids, lesson_ids FROM new_rows;
    END IF;
    PERFORM mark_placed_lessons(stage_ids, lesson_ids);
    RETURN NULL;
END;
$$;
CREATE TRIGGER mark_placed_insert AFTER INSERT ON stage_lessons REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION mark_placed();
CREATE TRIGGER mark_placed_update AFTER UPDATE ON stage_lessons REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION mark_placed();

-- A stage that moves to another roadmap takes its lessons along, and the rows that its learners have for it. A rollup that
-- is running has read the stage where it was and would store its numbers from there after the move. So the move waits for
-- running rollups and keeps new ones from starting before they can see it.
CREATE FUNCTION mark_moved_stages() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moved uuid[] := array(SELECT n.id FROM new_rows n JOIN old_rows o USING (id) WHERE n.roadmap_id <> o.roadmap_id);
BEGIN
    IF cardinality(moved) > 0 THEN
        PERFORM mark_placed_lessons(array_agg(stage_id), array_agg(lesson_id)) FROM stage_lessons WHERE stage_id = ANY (moved);
        PERFORM FROM progress_dirty
        WHERE roadmap_id IN (SELECT roadmap_id FROM old_rows WHERE id = ANY (moved)
                             UNION SELECT roadmap_id FROM new_rows WHERE id = ANY (moved))
        ORDER BY user_id, roadmap_id FOR UPDATE;
        INSERT INTO progress_dirty (user_id, roadmap_id, requested_seq)
        SELECT DISTINCT p.user_id, s.roadmap_id, 1
        FROM stages s JOIN user_stage_progress p ON p.stage_id = s.id
        WHERE s.id = ANY (moved)
        ORDER BY 1, 2
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END;
$$;
CREATE TRIGGER mark_moved AFTER UPDATE ON stages REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION mark_moved_stages();

-- A roadmap that is deleted takes its markers along. It counted towards its learners' overall percentage, which the rollup
-- of any of their other roadmaps computes again; without another roadmap there is nothing to do.
CREATE FUNCTION mark_remaining_roadmaps() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE progress_dirty d
    SET requested_seq = d.requested_seq + 1,
        requested_at = CASE WHEN d.done_seq = d.requested_seq THEN now() ELSE d.requested_at END
    FROM (
        SELECT user_id, roadmap_id FROM progress_dirty WHERE user_id IN (SELECT user_id FROM old_rows)
        ORDER BY 1, 2 FOR UPDATE
    ) r
    WHERE d.user_id = r.user_id AND d.roadmap_id = r.roadmap_id;
    UPDATE users u SET progress_percent = NULL
    WHERE u.id IN (SELECT user_id FROM old_rows) AND u.progress_percent IS NOT NULL
      AND NOT EXISTS (SELECT FROM progress_dirty d WHERE d.user_id = u.id);
    RETURN NULL;
END;
$$;
CREATE TRIGGER mark_remaining AFTER DELETE ON progress_dirty REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION mark_remaining_roadmaps();

-- Rollups, written by the rollup only. percent is generated, so it cannot contradict the counts.
CREATE TABLE user_stage_progress (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    stage_id uuid NOT NULL REFERENCES stages ON DELETE CASCADE,
    lessons_total integer NOT NULL,
    lessons_completed integer NOT NULL,
    percent smallint GENERATED ALWAYS AS (progress_percent(lessons_completed, lessons_total)) STORED,
    status lesson_status NOT NULL,
    completed_at timestamptz,       -- set while completed
    achieved_at timestamptz,        -- the first time it ever was completed; never cleared
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT user_stage_progress_pkey PRIMARY KEY (user_id, stage_id),
    CONSTRAINT user_stage_progress_counts CHECK (0 <= lessons_completed AND lessons_completed <= lessons_total),
    CONSTRAINT user_stage_progress_completed CHECK ((status = 'completed') = (lessons_total > 0 AND lessons_completed = lessons_total)),
    CONSTRAINT user_stage_progress_completed_at CHECK ((completed_at IS NOT NULL) = (status = 'completed')),
    CONSTRAINT user_stage_progress_achieved_at CHECK (completed_at IS NULL OR achieved_at IS NOT NULL)
) WITH (fillfactor = 85);
CREATE INDEX user_stage_progress_stage_id_idx ON user_stage_progress (stage_id);
CREATE TRIGGER touch_row BEFORE UPDATE ON user_stage_progress FOR EACH ROW WHEN (
    (OLD.user_id, OLD.stage_id, OLD.lessons_total, OLD.lessons_completed, OLD.status,
     OLD.completed_at, OLD.achieved_at, OLD.created_at, OLD.updated_at)
    IS DISTINCT FROM
    (NEW.user_id, NEW.stage_id, NEW.lessons_total, NEW.lessons_completed, NEW.status,
     NEW.completed_at, NEW.achieved_at, NEW.created_at, NEW.updated_at)
) EXECUTE FUNCTION touch_row();

CREATE TABLE user_roadmap_progress (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    roadmap_id uuid NOT NULL REFERENCES roadmaps ON DELETE CASCADE,
    lessons_total integer NOT NULL,
    lessons_completed integer NOT NULL,
    stages_total integer NOT NULL,
    stages_completed integer NOT NULL,
    percent smallint GENERATED ALWAYS AS (progress_percent(lessons_completed, lessons_total)) STORED,
    status lesson_status NOT NULL,
    completed_at timestamptz,
    achieved_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT user_roadmap_progress_pkey PRIMARY KEY (user_id, roadmap_id),
    CONSTRAINT user_roadmap_progress_lessons CHECK (0 <= lessons_completed AND lessons_completed <= lessons_total),
    CONSTRAINT user_roadmap_progress_stages CHECK (0 <= stages_completed AND stages_completed <= stages_total),
    CONSTRAINT user_roadmap_progress_status CHECK (status <> 'locked'),
    CONSTRAINT user_roadmap_progress_completed CHECK ((status = 'completed') = (lessons_total > 0 AND lessons_completed = lessons_total)),
    CONSTRAINT user_roadmap_progress_completed_at CHECK ((completed_at IS NOT NULL) = (status = 'completed')),
    CONSTRAINT user_roadmap_progress_achieved_at CHECK (completed_at IS NULL OR achieved_at IS NOT NULL)
) WITH (fillfactor = 70);
CREATE INDEX user_roadmap_progress_roadmap_id_idx ON user_roadmap_progress (roadmap_id);
CREATE TRIGGER touch_row BEFORE UPDATE ON user_roadmap_progress FOR EACH ROW WHEN (
    (OLD.user_id, OLD.roadmap_id, OLD.lessons_total, OLD.lessons_completed, OLD.stages_total, OLD.stages_completed,
     OLD.status, OLD.completed_at, OLD.achieved_at, OLD.created_at, OLD.updated_at)
    IS DISTINCT FROM
    (NEW.user_id, NEW.roadmap_id, NEW.lessons_total, NEW.lessons_completed, NEW.stages_total, NEW.stages_completed,
     NEW.status, NEW.completed_at, NEW.achieved_at, NEW.created_at, NEW.updated_at)
) EXECUTE FUNCTION touch_row();

-- One learner's numbers in the stages of a roadmap, counted from the facts and the content as they are now: what the rollup
-- is about to store. Readers are shown these while the stored numbers are of older content. completed_at, set for a
-- completed stage, is the time of its last lesson; only the rollup will know when the stage itself was completed.
CREATE FUNCTION count_stages(learner uuid, roadmap uuid) RETURNS TABLE (
    stage_id uuid, lessons_total integer, lessons_completed integer, is_started boolean, status lesson_status,
    completed_at timestamptz
) LANGUAGE sql STABLE AS $$
    SELECT c.id, c.total, c.completed, c.is_started,
        (CASE
            WHEN c.total > 0 AND c.completed = c.total THEN 'completed'
            WHEN c.is_sequential AND NOT coalesce(bool_and(c.completed = c.total) OVER earlier, true) THEN 'locked'
            WHEN c.is_started THEN 'in_progress'
            ELSE 'available'
        END)::lesson_status,
        CASE WHEN c.completed = c.total THEN c.last_completed_at END
    FROM (
        SELECT s.id, s.position, r.is_sequential,
            count(l.id) FILTER (WHERE sl.is_required)::integer AS total,
            count(f.lesson_id) FILTER (WHERE sl.is_required AND f.status = 'completed')::integer AS completed,
            count(f.lesson_id) > 0 AS is_started,
            max(f.completed_at) FILTER (WHERE sl.is_required) AS last_completed_at
        FROM visible_stages s
        JOIN roadmaps r ON r.id = s.roadmap_id
        LEFT JOIN stage_lessons sl ON sl.stage_id = s.id
        LEFT JOIN visible_lessons l ON l.id = sl.lesson_id
        LEFT JOIN user_lesson_progress f ON f.user_id = learner AND f.lesson_id = l.id
        WHERE s.roadmap_id = roadmap
        GROUP BY s.id, s.position, r.is_sequential
    ) c
    WINDOW earlier AS (ORDER BY c.position, c.id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
$$;

-- The same for the whole roadmap.
CREATE FUNCTION count_roadmap(learner uuid, roadmap uuid) RETURNS TABLE (
    lessons_total integer, lessons_completed integer, stages_total integer, stages_completed integer, status lesson_status,
    completed_at timestamptz
) LANGUAGE sql STABLE AS $$
    SELECT
        coalesce(sum(s.lessons_total), 0)::integer,
        coalesce(sum(s.lessons_completed), 0)::integer,
        count(*) FILTER (WHERE s.lessons_total > 0)::integer,
        count(*) FILTER (WHERE s.status = 'completed')::integer,
        (CASE
            WHEN sum(s.lessons_total) > 0 AND sum(s.lessons_completed) = sum(s.lessons_total) THEN 'completed'
            WHEN bool_or(s.is_started) THEN 'in_progress'
            ELSE 'available'
        END)::lesson_status,
        CASE WHEN sum(s.lessons_completed) = sum(s.lessons_total) THEN max(s.completed_at) END
    FROM count_stages(learner, roadmap) s
$$;

-- Learners' progress over the distinct required lessons of all roadmaps that they have started, as a whole percentage. A
-- fact in a roadmap means that the roadmap is started, so completed lessons are counted without looking at what is started.
-- Learners who started the same roadmaps have the same total, which is counted once for all of them.
--
-- The facts are read learner by learner, whatever the planner expects: joined freely, facts that were few when the plan was
-- made would be read for all learners of a lesson until the table is analyzed. OFFSET 0 keeps the subquery apart.
CREATE FUNCTION overall_percents(learners uuid[]) RETURNS TABLE (user_id uuid, percent smallint) LANGUAGE sql STABLE AS $$
    WITH place AS MATERIALIZED (
        SELECT s.roadmap_id, sl.lesson_id, sl.is_required
        FROM visible_stages s
        JOIN stage_lessons sl ON sl.stage_id = s.id
        JOIN visible_lessons l ON l.id = sl.lesson_id
        WHERE s.roadmap_id IN (SELECT d.roadmap_id FROM progress_dirty d WHERE d.user_id = ANY (learners))
    ),
    learner AS MATERIALIZED (
        SELECT u.id AS user_id,
            count(DISTINCT f.lesson_id) FILTER (WHERE p.is_required AND f.status = 'completed')::integer AS completed,
            array_agg(DISTINCT p.roadmap_id) AS started
        FROM (SELECT DISTINCT id FROM unnest(learners) AS t (id)) u
        CROSS JOIN LATERAL (
            SELECT f.lesson_id, f.status FROM user_lesson_progress f WHERE f.user_id = u.id OFFSET 0
        ) f
        JOIN place p ON p.lesson_id = f.lesson_id
        GROUP BY u.id
    ),
    total AS (
        SELECT started, (
            SELECT count(DISTINCT p.lesson_id)::integer FROM place p WHERE p.is_required AND p.roadmap_id = ANY (started)
        ) AS total
        FROM (SELECT DISTINCT started FROM learner) s
    )
    SELECT u.id, progress_percent(coalesce(l.completed, 0), coalesce(t.total, 0))
    FROM (SELECT DISTINCT id FROM unnest(learners) AS t (id)) u
    LEFT JOIN learner l ON l.user_id = u.id
    LEFT JOIN total t ON t.started = l.started
$$;
