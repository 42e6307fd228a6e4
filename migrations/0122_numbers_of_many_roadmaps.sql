-- A learner's numbers in many roadmaps are counted together, because one function call per roadmap took half a millisecond.
DROP FUNCTION roadmap_numbers, count_roadmap, count_stages;

-- A learner's numbers in roadmaps, counted from the facts and the content as they are now: what the rollup is about to store.
-- Readers are shown these while the stored numbers are of older content. completed_at is the time of the last required lesson
-- of a completed roadmap; only the rollup will know when the roadmap itself was completed. No row for a roadmap without
-- visible stages.
CREATE FUNCTION count_roadmaps(learner uuid, roadmaps uuid[]) RETURNS TABLE (
    roadmap_id uuid, lessons_total integer, lessons_completed integer, stages_total integer, stages_completed integer,
    is_started boolean, completed_at timestamptz
) LANGUAGE sql STABLE AS $$
    SELECT s.roadmap_id, sum(s.total)::integer, sum(s.completed)::integer,
        count(*) FILTER (WHERE s.total > 0)::integer,
        count(*) FILTER (WHERE s.total > 0 AND s.completed = s.total)::integer,
        bool_or(s.is_started),
        CASE WHEN sum(s.completed) = sum(s.total) THEN max(s.last_completed_at) END
    FROM (
        SELECT s.roadmap_id, s.id,
            count(l.id) FILTER (WHERE sl.is_required) AS total,
            count(f.lesson_id) FILTER (WHERE sl.is_required AND f.status = 'completed') AS completed,
            count(f.lesson_id) > 0 AS is_started,
            max(f.completed_at) FILTER (WHERE sl.is_required) AS last_completed_at
        FROM unnest(roadmaps) r (id)
        JOIN visible_stages s ON s.roadmap_id = r.id
        LEFT JOIN stage_lessons sl ON sl.stage_id = s.id
        LEFT JOIN visible_lessons l ON l.id = sl.lesson_id
        LEFT JOIN user_lesson_progress f ON f.user_id = learner AND f.lesson_id = l.id
        GROUP BY s.roadmap_id, s.id
    ) s
    GROUP BY s.roadmap_id
$$;

-- A learner's numbers in roadmaps: the stored ones if they belong to the current content, else counted from the facts.
CREATE FUNCTION roadmap_numbers(learner uuid, roadmaps uuid[]) RETURNS TABLE (
    roadmap_id uuid, status lesson_status, percent smallint, lessons_total integer, lessons_completed integer,
    stages_total integer, stages_completed integer, completed_at timestamptz, achieved_at timestamptz, seq bigint,
    is_current boolean, is_recalculating boolean, is_started boolean
) LANGUAGE sql STABLE AS $$
    WITH stored AS MATERIALIZED (
        SELECT r.id, d.requested_seq, d.done_seq, p.status, p.lessons_total, p.lessons_completed, p.stages_total,
            p.stages_completed, p.completed_at, p.achieved_at,
            d.user_id IS NOT NULL AS has_marker,
            coalesce(d.done_version < r.content_version, false) AS is_recalculating,
            coalesce(p.user_id IS NOT NULL AND d.done_version = r.content_version, false) AS is_stored
        FROM roadmaps r
        LEFT JOIN user_roadmap_progress p ON p.user_id = learner AND p.roadmap_id = r.id
        LEFT JOIN progress_dirty d ON d.user_id = learner AND d.roadmap_id = r.id
        WHERE r.id = ANY (roadmap_numbers.roadmaps)
    ),
    numbers AS (
        SELECT s.id, s.status, s.lessons_total, s.lessons_completed, s.stages_total, s.stages_completed, s.completed_at
        FROM stored s
        WHERE s.is_stored
        UNION ALL
        SELECT s.id,
            (CASE
                WHEN c.lessons_total > 0 AND c.lessons_completed = c.lessons_total THEN 'completed'
                WHEN c.is_started THEN 'in_progress'
                ELSE 'available'
            END)::lesson_status,
            coalesce(c.lessons_total, 0), coalesce(c.lessons_completed, 0), coalesce(c.stages_total, 0),
            coalesce(c.stages_completed, 0), c.completed_at
        FROM stored s
        LEFT JOIN count_roadmaps(learner, array(SELECT id FROM stored WHERE NOT is_stored)) c ON c.roadmap_id = s.id
        WHERE NOT s.is_stored
    )
    SELECT s.id, n.status, progress_percent(n.lessons_completed, n.lessons_total), n.lessons_total, n.lessons_completed,
        n.stages_total, n.stages_completed,
        CASE WHEN n.status = 'completed' THEN coalesce(s.completed_at, n.completed_at) END,
        coalesce(s.achieved_at, n.completed_at),
        coalesce(CASE WHEN s.is_stored THEN s.done_seq ELSE s.requested_seq END, 0),
        NOT s.is_stored OR s.done_seq = s.requested_seq,
        s.is_recalculating,
        s.has_marker AND n.status IN ('in_progress', 'completed')
    FROM stored s
    JOIN numbers n ON n.id = s.id
$$;
