-- The progress of a learner ($1) in a roadmap ($2) whose content was read in a snapshot ($3) and has these stages ($4) and
-- lessons ($5); no row if content has changed since. One row: the numbers of the roadmap, and as arrays those of its stages
-- and what the learner did with its lessons.
SELECT n.status AS "status!: LessonStatus", n.percent, n.lessons_total AS "lessons_total!",
    n.lessons_completed AS "lessons_completed!", n.stages_total AS "stages_total!", n.stages_completed AS "stages_completed!",
    n.completed_at, n.achieved_at, n.seq AS "seq!", n.is_current AS "is_current!", n.is_recalculating AS "is_recalculating!",
    s.ids AS "stage_ids!: Vec<Uuid>", s.statuses AS "stage_statuses!: Vec<LessonStatus>",
    s.percents AS "stage_percents!: Vec<Option<i16>>", s.totals AS "stage_totals!: Vec<i32>",
    s.completed AS "stage_completed!: Vec<i32>", s.completed_at AS "stage_completed_at!: Vec<Option<DateTime<Utc>>>",
    s.achieved_at AS "stage_achieved_at!: Vec<Option<DateTime<Utc>>>",
    f.ids AS "lesson_ids!: Vec<Uuid>", f.statuses AS "lesson_statuses!: Vec<LessonStatus>",
    f.started_at AS "lesson_started_at!: Vec<DateTime<Utc>>",
    f.completed_at AS "lesson_completed_at!: Vec<Option<DateTime<Utc>>>"
FROM roadmap_numbers($1, $2) n
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(t.stage_id), '{}') AS ids, coalesce(array_agg(t.status), '{}') AS statuses,
        coalesce(array_agg(progress_percent(t.completed, t.total)), '{}') AS percents,
        coalesce(array_agg(t.total), '{}') AS totals, coalesce(array_agg(t.completed), '{}') AS completed,
        coalesce(array_agg(CASE WHEN t.status = 'completed' THEN t.completed_at END), '{}') AS completed_at,
        coalesce(array_agg(t.achieved_at), '{}') AS achieved_at
    FROM (
        SELECT i.stage_id, coalesce(c.status, p.status, 'available') AS status, coalesce(c.lessons_total, p.lessons_total, 0) AS total,
            coalesce(c.lessons_completed, p.lessons_completed, 0) AS completed,
            coalesce(p.completed_at, c.completed_at) AS completed_at, coalesce(p.achieved_at, c.completed_at) AS achieved_at
        FROM unnest($4::uuid[]) AS i (stage_id)
        LEFT JOIN user_stage_progress p ON p.user_id = $1 AND p.stage_id = i.stage_id
        LEFT JOIN (SELECT * FROM count_stages($1, $2) WHERE NOT n.is_stored) c ON c.stage_id = i.stage_id
    ) t
) s
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(p.lesson_id), '{}') AS ids, coalesce(array_agg(p.status), '{}') AS statuses,
        coalesce(array_agg(p.started_at), '{}') AS started_at, coalesce(array_agg(p.completed_at), '{}') AS completed_at
    FROM user_lesson_progress p
    WHERE p.user_id = $1 AND p.lesson_id = ANY ($5::uuid[])
) f
WHERE is_catalog_unchanged($3::text::pg_snapshot)
