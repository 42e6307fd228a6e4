-- Computes the stage and roadmap progress of the pairs ($1 users, $2 roadmaps), stores what changed and marks the pairs as
-- done, all in one statement, so that the markers state exactly which facts the numbers include. Returns the stages and
-- roadmaps that were completed for the first time, and the pairs whose numbers changed, with their new numbers. The pairs are distinct and the caller has locked their markers.
-- $3: the throttle's interval in seconds, $4: its burst in seconds.
--
-- The statement serves one learner and thousands alike, whatever the planner expects. Content is read once, counts come from
-- grouping instead of joins (which a wrong estimate could make quadratic), and stored progress is looked up learner by
-- learner. OFFSET, LIMIT and comparisons that no index supports (IS NOT DISTINCT FROM) enforce this: with ordinary joins, a
-- plan made while a table was empty would read the whole table, or all learners of a stage, until the table is analyzed.
WITH pair AS MATERIALIZED (
    SELECT d.user_id, d.roadmap_id, d.requested_seq, r.content_version, r.is_sequential, v.id IS NOT NULL AS is_visible
    FROM unnest($1::uuid[], $2::uuid[]) AS p (user_id, roadmap_id)
    JOIN progress_dirty d USING (user_id, roadmap_id)
    JOIN roadmaps r ON r.id = d.roadmap_id
    LEFT JOIN visible_roadmaps v ON v.id = r.id
),
marked AS (
    UPDATE progress_dirty d
    SET done_seq = p.requested_seq, done_version = p.content_version, queued_at = NULL,
        throttled_until = least(greatest(d.throttled_until, clock_timestamp()), clock_timestamp() + make_interval(secs => $4))
            + make_interval(secs => $3)
    FROM pair p
    WHERE d.user_id = p.user_id AND d.roadmap_id = p.roadmap_id
),
-- Every visible stage with its visible lessons. A stage that has none gets one row without a lesson.
placement AS MATERIALIZED (
    SELECT s.roadmap_id, s.id AS stage_id, s.position, l.id AS lesson_id, l.id IS NOT NULL AND sl.is_required AS is_required
    FROM visible_stages s
    LEFT JOIN (stage_lessons sl JOIN visible_lessons l ON l.id = sl.lesson_id) ON sl.stage_id = s.id
    WHERE s.roadmap_id = ANY ($2)
),
fact AS MATERIALIZED (
    SELECT p.user_id, p.roadmap_id, p.is_sequential, f.lesson_id, f.status = 'completed' AS is_completed
    FROM pair p
    CROSS JOIN LATERAL (SELECT f.lesson_id, f.status FROM user_lesson_progress f WHERE f.user_id = p.user_id OFFSET 0) f
),
counted AS (
    SELECT user_id, roadmap_id, is_sequential, stage_id, position,
        sum(total)::integer AS total, sum(completed)::integer AS completed, bool_or(started) AS started
    FROM (
        SELECT p.user_id, p.roadmap_id, p.is_sequential, s.stage_id, s.position, s.total, 0 AS completed, false AS started
        FROM pair p
        JOIN (
            SELECT roadmap_id, stage_id, position, count(*) FILTER (WHERE is_required)::integer AS total
            FROM placement GROUP BY roadmap_id, stage_id, position
        ) s USING (roadmap_id)
        UNION ALL
        SELECT f.user_id, f.roadmap_id, f.is_sequential, p.stage_id, p.position,
            0, (f.is_completed AND p.is_required)::integer, true
        FROM fact f JOIN placement p USING (lesson_id)
        WHERE p.roadmap_id = f.roadmap_id
    ) c
    GROUP BY user_id, roadmap_id, is_sequential, stage_id, position
),
stage AS MATERIALIZED (
    SELECT
        c.*,
        (CASE
            WHEN total > 0 AND completed = total THEN 'completed'
            WHEN is_sequential AND NOT coalesce(bool_and(completed = total) OVER earlier, true) THEN 'locked'
            WHEN started THEN 'in_progress'
            ELSE 'available'
        END)::lesson_status AS status
    FROM counted c
    -- A stage without required lessons has completed = total = 0, so it does not lock later stages.
    WINDOW earlier AS (
        PARTITION BY user_id, roadmap_id ORDER BY position, stage_id
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    )
),
-- Unchanged stages, which are usually most of them, are not written again.
changed_stage AS MATERIALIZED (
    SELECT n.*, old.achieved_at IS NOT NULL AS was_achieved
    FROM stage n
    LEFT JOIN LATERAL (
        SELECT * FROM user_stage_progress o WHERE o.user_id = n.user_id AND o.stage_id IS NOT DISTINCT FROM n.stage_id LIMIT 1
    ) old ON true
    WHERE (old.lessons_total, old.lessons_completed, old.status) IS DISTINCT FROM (n.total, n.completed, n.status)
),
stored_stages AS (
    INSERT INTO user_stage_progress AS old
        (user_id, stage_id, lessons_total, lessons_completed, status, completed_at, achieved_at)
    SELECT
        user_id, stage_id, total, completed, status,
        CASE WHEN status = 'completed' THEN now() END,
        CASE WHEN status = 'completed' THEN now() END
    FROM changed_stage
    ON CONFLICT (user_id, stage_id) DO UPDATE SET
        lessons_total = excluded.lessons_total,
        lessons_completed = excluded.lessons_completed,
        status = excluded.status,
        completed_at = CASE WHEN excluded.status = 'completed' THEN coalesce(old.completed_at, now()) END,
        achieved_at = coalesce(old.achieved_at, excluded.achieved_at)
),
roadmap AS (
    SELECT
        user_id, roadmap_id, sum(total)::integer AS total, sum(completed)::integer AS completed,
        count(*) FILTER (WHERE total > 0)::integer AS stages_total,
        count(*) FILTER (WHERE status = 'completed')::integer AS stages_completed,
        (CASE
            WHEN sum(total) > 0 AND sum(completed) = sum(total) THEN 'completed'
            WHEN bool_or(started) THEN 'in_progress'
            ELSE 'available'
        END)::lesson_status AS status
    FROM (
        SELECT user_id, roadmap_id, total, completed, status, started FROM stage
        UNION ALL
        -- A visible roadmap without stages gets numbers as well. A hidden roadmap keeps its last ones.
        SELECT user_id, roadmap_id, 0, 0, NULL, false FROM pair WHERE is_visible
    ) s
    GROUP BY user_id, roadmap_id
),
changed_roadmap AS MATERIALIZED (
    SELECT n.*, old.achieved_at IS NOT NULL AS was_achieved
    FROM roadmap n
    LEFT JOIN LATERAL (
        SELECT * FROM user_roadmap_progress o WHERE o.user_id = n.user_id AND o.roadmap_id IS NOT DISTINCT FROM n.roadmap_id LIMIT 1
    ) old ON true
    WHERE (old.lessons_total, old.lessons_completed, old.stages_total, old.stages_completed, old.status)
        IS DISTINCT FROM (n.total, n.completed, n.stages_total, n.stages_completed, n.status)
),
stored_roadmaps AS (
    INSERT INTO user_roadmap_progress AS old
        (user_id, roadmap_id, lessons_total, lessons_completed, stages_total, stages_completed, status,
         completed_at, achieved_at)
    SELECT
        user_id, roadmap_id, total, completed, stages_total, stages_completed, status,
        CASE WHEN status = 'completed' THEN now() END,
        CASE WHEN status = 'completed' THEN now() END
    FROM changed_roadmap
    ON CONFLICT (user_id, roadmap_id) DO UPDATE SET
        lessons_total = excluded.lessons_total,
        lessons_completed = excluded.lessons_completed,
        stages_total = excluded.stages_total,
        stages_completed = excluded.stages_completed,
        status = excluded.status,
        completed_at = CASE WHEN excluded.status = 'completed' THEN coalesce(old.completed_at, now()) END,
        achieved_at = coalesce(old.achieved_at, excluded.achieved_at)
)
SELECT a.user_id AS "user_id!", 'stage' AS "kind!", a.stage_id AS "id!", s.title AS "title!", a.roadmap_id AS "roadmap_id!",
    NULL::bigint AS seq, NULL::integer AS completed, NULL::integer AS total, NULL::text AS status
FROM changed_stage a JOIN stages s ON s.id = a.stage_id
WHERE a.status = 'completed' AND NOT a.was_achieved
UNION ALL
SELECT a.user_id, 'roadmap', a.roadmap_id, r.title, a.roadmap_id, NULL, NULL, NULL, NULL
FROM changed_roadmap a JOIN roadmaps r ON r.id = a.roadmap_id
WHERE a.status = 'completed' AND NOT a.was_achieved
UNION ALL
SELECT user_id, 'progress', roadmap_id, '', roadmap_id, max(seq), max(completed), max(total), max(status)::text
FROM (
    SELECT user_id, roadmap_id, requested_seq AS seq, NULL::integer AS completed, NULL::integer AS total,
        NULL::lesson_status AS status, false AS is_changed
    FROM pair
    UNION ALL
    SELECT user_id, roadmap_id, NULL, completed, total, status, false FROM roadmap
    UNION ALL
    SELECT user_id, roadmap_id, NULL, NULL, NULL, NULL, true FROM changed_stage
    UNION ALL
    SELECT user_id, roadmap_id, NULL, NULL, NULL, NULL, true FROM changed_roadmap
) c
GROUP BY user_id, roadmap_id
HAVING bool_or(is_changed)
