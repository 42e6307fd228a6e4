-- Content changes: who has been recomputed, and what a learner's numbers are until then.

-- How far stored numbers are is said in one place, the marker: which facts they have seen (done_seq), and now which content
-- too. A recompute walks over the markers that are behind, so whoever is done is not done again, whatever crashed.
ALTER TABLE progress_dirty ADD COLUMN done_version bigint NOT NULL DEFAULT 0;
UPDATE progress_dirty d SET done_version = p.content_version
FROM user_roadmap_progress p WHERE p.user_id = d.user_id AND p.roadmap_id = d.roadmap_id;
ALTER TABLE user_roadmap_progress DROP COLUMN seq, DROP COLUMN content_version;

-- The first fact of a learner: no number is stored yet, so none is of older content, and only the rollup of the fact itself
-- has to come. (Markers of learners who knew a lesson before it was placed stay at 0: the walk is all that comes for them.)
CREATE OR REPLACE FUNCTION mark_lessons_dirty(user_ids uuid[], lesson_ids uuid[]) RETURNS void LANGUAGE sql AS $$
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
$$;

-- A stage that moves to another roadmap takes its rows along. A rollup that is under way has seen it where it was, and would
-- write its numbers from there last: so the move waits for those, and lets none begin that does not see it.
CREATE OR REPLACE FUNCTION mark_moved_stages() RETURNS trigger LANGUAGE plpgsql AS $$
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

-- One learner's numbers in the stages of a roadmap, counted from the facts and the content as they are now: what the rollup
-- is about to store. Readers are shown these while what is stored is of older content. completed_at, set for a completed
-- stage, is the time of the last lesson: the rollup will say when it came, which nobody can know yet.
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

-- The same for the roadmap as a whole.
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

-- Learners' progress over the distinct required lessons of all roadmaps that they started, in whole percent. A fact in a
-- roadmap means that it is started, so what is completed needs no look at what is started; and learners who started the
-- same roadmaps have the same total, so it is counted once for all of them.
CREATE FUNCTION overall_percents(learners uuid[]) RETURNS TABLE (user_id uuid, percent smallint) LANGUAGE sql STABLE AS $$
    WITH place AS MATERIALIZED (
        SELECT s.roadmap_id, sl.lesson_id, sl.is_required
        FROM visible_stages s
        JOIN stage_lessons sl ON sl.stage_id = s.id
        JOIN visible_lessons l ON l.id = sl.lesson_id
        WHERE s.roadmap_id IN (SELECT d.roadmap_id FROM progress_dirty d WHERE d.user_id = ANY (learners))
    ),
    learner AS MATERIALIZED (
        SELECT f.user_id,
            count(DISTINCT f.lesson_id) FILTER (WHERE p.is_required AND f.status = 'completed')::integer AS completed,
            array_agg(DISTINCT p.roadmap_id) AS started
        FROM user_lesson_progress f
        JOIN place p ON p.lesson_id = f.lesson_id
        WHERE f.user_id = ANY (learners)
        GROUP BY f.user_id
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
