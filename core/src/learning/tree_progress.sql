-- What is stored of the progress of a learner ($1) in a roadmap ($2) whose content was read in a snapshot ($3); no row if
-- content has changed since. One row: the roadmap's own numbers, and as arrays those of its stages and what the learner did
-- with its lessons. The ids of both are only known to lie within ranges ($4 to $5, $6 to $7), because looking each of them
-- up takes longer than reading a few too many: ids that were created together are close together.
SELECT p.status AS "status?: LessonStatus", p.lessons_total AS "lessons_total?", p.lessons_completed AS "lessons_completed?",
    p.stages_total AS "stages_total?", p.stages_completed AS "stages_completed?", p.completed_at, p.achieved_at,
    d.requested_seq AS "requested_seq?", d.done_seq AS "done_seq?", d.done_version AS "done_version?",
    s.ids AS "stage_ids!: Vec<Uuid>", s.statuses AS "stage_statuses!: Vec<LessonStatus>", s.totals AS "stage_totals!: Vec<i32>",
    s.completed AS "stage_completed!: Vec<i32>", s.completed_at AS "stage_completed_at!: Vec<Option<DateTime<Utc>>>",
    s.achieved_at AS "stage_achieved_at!: Vec<Option<DateTime<Utc>>>",
    f.ids AS "lesson_ids!: Vec<Uuid>", f.statuses AS "lesson_statuses!: Vec<LessonStatus>",
    f.started_at AS "lesson_started_at!: Vec<DateTime<Utc>>",
    f.completed_at AS "lesson_completed_at!: Vec<Option<DateTime<Utc>>>"
FROM (
    SELECT coalesce(array_agg(stage_id), '{}') AS ids, coalesce(array_agg(status), '{}') AS statuses,
        coalesce(array_agg(lessons_total), '{}') AS totals, coalesce(array_agg(lessons_completed), '{}') AS completed,
        coalesce(array_agg(completed_at), '{}') AS completed_at, coalesce(array_agg(achieved_at), '{}') AS achieved_at
    FROM user_stage_progress
    WHERE user_id = $1 AND stage_id BETWEEN $4 AND $5
) s
CROSS JOIN (
    SELECT coalesce(array_agg(lesson_id), '{}') AS ids, coalesce(array_agg(status), '{}') AS statuses,
        coalesce(array_agg(started_at), '{}') AS started_at, coalesce(array_agg(completed_at), '{}') AS completed_at
    FROM user_lesson_progress
    WHERE user_id = $1 AND lesson_id BETWEEN $6 AND $7
) f
LEFT JOIN progress_dirty d ON d.user_id = $1 AND d.roadmap_id = $2
LEFT JOIN user_roadmap_progress p ON p.user_id = $1 AND p.roadmap_id = $2
WHERE NOT EXISTS (SELECT FROM catalog_changes_since($3::text::pg_snapshot))
