-- Compares the stored numbers of the learners after $2 up to $3 with numbers computed from the facts and the current content.
-- Deliberately shares nothing with the rollup. $1: ignore numbers that a pending job will bring up to date.
WITH
-- Pairs whose numbers may be behind at the moment.
in_flight AS (
    SELECT user_id, roadmap_id FROM progress_dirty WHERE $1 AND done_seq < requested_seq
),
being_recomputed AS (
    SELECT id AS roadmap_id FROM roadmaps WHERE $1 AND recomputed_version < content_version
),
-- Visible lessons in visible stages.
placements AS (
    SELECT s.roadmap_id, s.id AS stage_id, sl.lesson_id, sl.is_required
    FROM visible_stages s
    JOIN stage_lessons sl ON sl.stage_id = s.id
    JOIN visible_lessons l ON l.id = sl.lesson_id
),
facts AS (
    SELECT user_id, lesson_id, status FROM user_lesson_progress WHERE user_id > $2 AND user_id <= $3
),
stored_stages AS (
    SELECT * FROM user_stage_progress WHERE user_id > $2 AND user_id <= $3
),
stored_roadmaps AS (
    SELECT * FROM user_roadmap_progress WHERE user_id > $2 AND user_id <= $3
),
started AS (
    SELECT DISTINCT f.user_id, p.roadmap_id
    FROM facts f
    JOIN placements p ON p.lesson_id = f.lesson_id
),
-- Everyone of whom a roadmap that can be seen must have numbers, or has.
learners AS (
    SELECT user_id, roadmap_id, bool_or(is_started) AS is_started
    FROM (
        SELECT user_id, roadmap_id, true AS is_started FROM started
        UNION ALL
        SELECT rp.user_id, rp.roadmap_id, false FROM stored_roadmaps rp
        UNION ALL
        SELECT sp.user_id, s.roadmap_id, false FROM stored_stages sp JOIN stages s ON s.id = sp.stage_id
    ) a
    WHERE roadmap_id IN (SELECT id FROM visible_roadmaps)
    GROUP BY user_id, roadmap_id
),
stage_counts AS (
    SELECT a.user_id, a.roadmap_id, a.is_started, s.id AS stage_id, s.position,
        count(p.lesson_id) FILTER (WHERE p.is_required) AS total,
        count(p.lesson_id) FILTER (WHERE p.is_required AND f.status = 'completed') AS completed,
        count(f.lesson_id) AS touched
    FROM learners a
    JOIN visible_stages s ON s.roadmap_id = a.roadmap_id
    LEFT JOIN placements p ON p.stage_id = s.id
    LEFT JOIN facts f ON f.user_id = a.user_id AND f.lesson_id = p.lesson_id
    GROUP BY a.user_id, a.roadmap_id, a.is_started, s.id, s.position
),
stage_numbers AS (
    SELECT c.*,
        CASE
            WHEN c.total > 0 AND c.completed = c.total THEN 'completed'
            WHEN r.is_sequential AND count(*) FILTER (WHERE c.total > 0 AND c.completed < c.total) OVER earlier > 0
                THEN 'locked'
            WHEN c.touched > 0 THEN 'in_progress'
            ELSE 'available'
        END AS status
    FROM stage_counts c
    JOIN roadmaps r ON r.id = c.roadmap_id
    WINDOW earlier AS (
        PARTITION BY c.user_id, c.roadmap_id ORDER BY c.position, c.stage_id
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    )
),
roadmap_numbers AS (
    SELECT a.user_id, a.roadmap_id, a.is_started,
        coalesce(sum(s.total), 0)::bigint AS lessons_total,
        coalesce(sum(s.completed), 0)::bigint AS lessons_completed,
        count(s.stage_id) FILTER (WHERE s.total > 0) AS stages_total,
        count(s.stage_id) FILTER (WHERE s.status = 'completed') AS stages_completed,
        coalesce(sum(s.touched), 0) > 0 AS is_touched
    FROM learners a
    LEFT JOIN stage_numbers s ON s.user_id = a.user_id AND s.roadmap_id = a.roadmap_id
    GROUP BY a.user_id, a.roadmap_id, a.is_started
),
user_numbers AS (
    SELECT l.user_id, count(*) AS total, count(f.lesson_id) FILTER (WHERE f.status = 'completed') AS completed
    FROM (
        SELECT DISTINCT s.user_id, p.lesson_id
        FROM started s
        JOIN placements p ON p.roadmap_id = s.roadmap_id
        WHERE p.is_required
    ) l
    LEFT JOIN facts f ON f.user_id = l.user_id AND f.lesson_id = l.lesson_id
    GROUP BY l.user_id
),
stage_differences AS (
    SELECT
        jsonb_build_object('user_id', e.user_id, 'roadmap_id', e.roadmap_id, 'stage_id', e.stage_id) AS ids,
        CASE WHEN t.user_id IS NOT NULL THEN jsonb_build_object(
            'lessons_total', t.lessons_total, 'lessons_completed', t.lessons_completed, 'percent', t.percent,
            'status', t.status, 'completed_at', t.completed_at, 'achieved_at', t.achieved_at) END AS stored,
        jsonb_build_object(
            'lessons_total', e.total, 'lessons_completed', e.completed, 'percent', e.percent, 'status', e.status) AS expected
    FROM (
        SELECT *, CASE WHEN total > 0 THEN CASE WHEN completed = 0 THEN 0 ELSE greatest(1, 100 * completed / total) END END
            AS percent
        FROM stage_numbers
    ) e
    LEFT JOIN stored_stages t ON t.user_id = e.user_id AND t.stage_id = e.stage_id
    WHERE NOT EXISTS (SELECT FROM in_flight i WHERE i.user_id = e.user_id AND i.roadmap_id = e.roadmap_id)
      AND NOT EXISTS (SELECT FROM being_recomputed b WHERE b.roadmap_id = e.roadmap_id)
      AND CASE
          WHEN t.user_id IS NULL THEN e.is_started AND e.total > 0
          ELSE (t.lessons_total, t.lessons_completed, t.percent, t.status::text)
                   IS DISTINCT FROM (e.total, e.completed, e.percent, e.status)
              OR (t.completed_at IS NOT NULL) <> (e.status = 'completed')
              OR (t.completed_at IS NOT NULL AND t.achieved_at IS NULL)
      END
),
roadmap_differences AS (
    SELECT
        jsonb_build_object('user_id', e.user_id, 'roadmap_id', e.roadmap_id) AS ids,
        CASE WHEN t.user_id IS NOT NULL THEN jsonb_build_object(
            'lessons_total', t.lessons_total, 'lessons_completed', t.lessons_completed, 'stages_total', t.stages_total,
            'stages_completed', t.stages_completed, 'percent', t.percent, 'status', t.status,
            'completed_at', t.completed_at, 'achieved_at', t.achieved_at) END AS stored,
        jsonb_build_object(
            'lessons_total', e.lessons_total, 'lessons_completed', e.lessons_completed, 'stages_total', e.stages_total,
            'stages_completed', e.stages_completed, 'percent', e.percent, 'status', e.status) AS expected
    FROM (
        SELECT *,
            CASE WHEN lessons_total > 0 THEN
                CASE WHEN lessons_completed = 0 THEN 0 ELSE greatest(1, 100 * lessons_completed / lessons_total) END
            END AS percent,
            CASE
                WHEN lessons_total > 0 AND lessons_completed = lessons_total THEN 'completed'
                WHEN is_touched THEN 'in_progress'
                ELSE 'available'
            END AS status
        FROM roadmap_numbers
    ) e
    LEFT JOIN stored_roadmaps t ON t.user_id = e.user_id AND t.roadmap_id = e.roadmap_id
    WHERE NOT EXISTS (SELECT FROM in_flight i WHERE i.user_id = e.user_id AND i.roadmap_id = e.roadmap_id)
      AND NOT EXISTS (SELECT FROM being_recomputed b WHERE b.roadmap_id = e.roadmap_id)
      AND CASE
          WHEN t.user_id IS NULL THEN e.is_started
          ELSE (t.lessons_total, t.lessons_completed, t.stages_total, t.stages_completed, t.percent, t.status::text)
                   IS DISTINCT FROM
                   (e.lessons_total, e.lessons_completed, e.stages_total, e.stages_completed, e.percent, e.status)
              OR (t.completed_at IS NOT NULL) <> (e.status = 'completed')
              OR (t.completed_at IS NOT NULL AND t.achieved_at IS NULL)
      END
),
user_differences AS (
    SELECT
        jsonb_build_object('user_id', u.id) AS ids,
        jsonb_build_object('progress_percent', u.progress_percent) AS stored,
        jsonb_build_object('progress_percent', e.percent) AS expected
    FROM users u
    LEFT JOIN (
        SELECT user_id, CASE WHEN completed = 0 THEN 0 ELSE greatest(1, 100 * completed / total) END AS percent
        FROM user_numbers
    ) e ON e.user_id = u.id
    WHERE u.id > $2 AND u.id <= $3 AND u.progress_percent IS DISTINCT FROM e.percent
      AND NOT EXISTS (SELECT FROM in_flight i WHERE i.user_id = u.id)
      AND NOT EXISTS (
          SELECT FROM learners a JOIN being_recomputed b ON b.roadmap_id = a.roadmap_id WHERE a.user_id = u.id)
)
(SELECT 'stage_progress' AS "kind!: Kind", ids AS "ids!", stored, expected AS "expected", count(*) OVER () AS "total!"
 FROM stage_differences LIMIT 1000)
UNION ALL
(SELECT 'roadmap_progress', ids, stored, expected, count(*) OVER () FROM roadmap_differences LIMIT 1000)
UNION ALL
(SELECT 'user_progress', ids, stored, expected, count(*) OVER () FROM user_differences LIMIT 1000)
