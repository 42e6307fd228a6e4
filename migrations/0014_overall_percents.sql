-- As before, only that what a learner has is read learner by learner, whatever the planner expects: joined freely, facts that
-- were few when the plan was made would be read for all learners of a lesson, until they are analyzed.
CREATE OR REPLACE FUNCTION overall_percents(learners uuid[]) RETURNS TABLE (user_id uuid, percent smallint) LANGUAGE sql STABLE AS $$
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
