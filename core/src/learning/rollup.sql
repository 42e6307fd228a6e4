-- Computes stage and roadmap progress of the pairs ($1 users, $2 roadmaps) and stores what changed, in one statement.
-- Returns what was achieved for the first time. The markers of the pairs are locked by the caller.
WITH pair AS (
    SELECT DISTINCT p.user_id, r.id AS roadmap_id, r.title, r.is_sequential, r.content_version
    FROM unnest($1::uuid[], $2::uuid[]) AS p (user_id, roadmap_id)
    JOIN visible_roadmaps r ON r.id = p.roadmap_id
    JOIN users u ON u.id = p.user_id
),
counted AS (
    SELECT
        p.user_id, p.roadmap_id, p.is_sequential, s.id AS stage_id, s.title, s.position,
        count(l.id) FILTER (WHERE sl.is_required)::integer AS total,
        count(l.id) FILTER (WHERE sl.is_required AND f.status = 'completed')::integer AS completed,
        count(l.id) FILTER (WHERE f.status IS NOT NULL) > 0 AS started
    FROM pair p
    JOIN visible_stages s ON s.roadmap_id = p.roadmap_id
    LEFT JOIN stage_lessons sl ON sl.stage_id = s.id
    LEFT JOIN visible_lessons l ON l.id = sl.lesson_id
    LEFT JOIN user_lesson_progress f ON f.user_id = p.user_id AND f.lesson_id = l.id
    GROUP BY p.user_id, p.roadmap_id, p.is_sequential, s.id, s.title, s.position
),
stage AS (
    SELECT
        c.*,
        (CASE
            WHEN total > 0 AND completed = total THEN 'completed'
            WHEN is_sequential AND NOT coalesce(bool_and(completed = total) OVER earlier, true) THEN 'locked'
            WHEN started THEN 'in_progress'
            ELSE 'available'
        END)::lesson_status AS status
    FROM counted c
    -- A stage without required lessons has completed = total = 0, and so holds nobody up.
    WINDOW earlier AS (
        PARTITION BY user_id, roadmap_id ORDER BY position, stage_id
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    )
),
stored_stages AS (
    INSERT INTO user_stage_progress AS old
        (user_id, stage_id, lessons_total, lessons_completed, status, completed_at, achieved_at)
    SELECT
        user_id, stage_id, total, completed, status,
        CASE WHEN status = 'completed' THEN now() END,
        CASE WHEN status = 'completed' THEN now() END
    FROM stage
    ON CONFLICT (user_id, stage_id) DO UPDATE SET
        lessons_total = excluded.lessons_total,
        lessons_completed = excluded.lessons_completed,
        status = excluded.status,
        completed_at = CASE WHEN excluded.status = 'completed' THEN coalesce(old.completed_at, now()) END,
        achieved_at = coalesce(old.achieved_at, excluded.achieved_at)
    WHERE (old.lessons_total, old.lessons_completed, old.status)
        IS DISTINCT FROM (excluded.lessons_total, excluded.lessons_completed, excluded.status)
    RETURNING user_id, stage_id, achieved_at
),
roadmap AS (
    SELECT
        p.user_id, p.roadmap_id, p.content_version,
        coalesce(sum(s.total), 0)::integer AS total,
        coalesce(sum(s.completed), 0)::integer AS completed,
        count(*) FILTER (WHERE s.total > 0)::integer AS stages_total,
        count(*) FILTER (WHERE s.status = 'completed')::integer AS stages_completed,
        coalesce(bool_or(s.started), false) AS started
    FROM pair p
    LEFT JOIN stage s USING (user_id, roadmap_id)
    GROUP BY p.user_id, p.roadmap_id, p.content_version
),
stored_roadmaps AS (
    INSERT INTO user_roadmap_progress AS old
        (user_id, roadmap_id, lessons_total, lessons_completed, stages_total, stages_completed, status,
         seq, content_version, completed_at, achieved_at)
    SELECT
        r.user_id, r.roadmap_id, r.total, r.completed, r.stages_total, r.stages_completed,
        (CASE
            WHEN r.total > 0 AND r.completed = r.total THEN 'completed'
            WHEN r.started THEN 'in_progress'
            ELSE 'available'
        END)::lesson_status,
        d.requested_seq, r.content_version,
        CASE WHEN r.total > 0 AND r.completed = r.total THEN now() END,
        CASE WHEN r.total > 0 AND r.completed = r.total THEN now() END
    FROM roadmap r
    JOIN progress_dirty d USING (user_id, roadmap_id)
    ON CONFLICT (user_id, roadmap_id) DO UPDATE SET
        lessons_total = excluded.lessons_total,
        lessons_completed = excluded.lessons_completed,
        stages_total = excluded.stages_total,
        stages_completed = excluded.stages_completed,
        status = excluded.status,
        seq = excluded.seq,
        content_version = excluded.content_version,
        completed_at = CASE WHEN excluded.status = 'completed' THEN coalesce(old.completed_at, now()) END,
        achieved_at = coalesce(old.achieved_at, excluded.achieved_at)
    RETURNING user_id, roadmap_id, achieved_at
)
-- The statement still sees the rows as they were before it: what was achieved already then is not news.
SELECT a.user_id AS "user_id!", 'stage' AS "kind!", a.stage_id AS "id!", s.title AS "title!"
FROM stored_stages a
JOIN stages s ON s.id = a.stage_id
LEFT JOIN user_stage_progress old USING (user_id, stage_id)
WHERE a.achieved_at IS NOT NULL AND old.achieved_at IS NULL
UNION ALL
SELECT a.user_id, 'roadmap', a.roadmap_id, r.title
FROM stored_roadmaps a
JOIN roadmaps r ON r.id = a.roadmap_id
LEFT JOIN user_roadmap_progress old USING (user_id, roadmap_id)
WHERE a.achieved_at IS NOT NULL AND old.achieved_at IS NULL
