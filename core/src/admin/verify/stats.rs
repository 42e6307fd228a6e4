//! The statistics, compared with numbers counted from all rows, in other ways than the refresh counts them.
//!
//! Only quarters that are over and not marked are compared: the others will be recomputed, also while nothing else happens.

use sqlx::PgConnection;

use super::report::Kind;
use super::row::DifferenceRow;
use crate::Result;

pub(super) async fn quarters(connection: &mut PgConnection) -> Result<Vec<DifferenceRow>> {
    let rows = sqlx::query_as!(
        DifferenceRow,
        r#"WITH expected AS (
               SELECT quarter_of(created_at) AS quarter, role::text || 's' AS metric, count(*) AS n
               FROM users WHERE deleted_at IS NULL GROUP BY 1, 2
               UNION ALL
               SELECT quarter_of(completed_at), 'completions', count(*) FROM user_lesson_progress GROUP BY 1
               UNION ALL
               SELECT quarter_of(completed_at), 'roadmaps_completed', count(*) FROM user_roadmap_progress GROUP BY 1
               UNION ALL
               SELECT quarter_of(published_at), 'projects_published', count(*) FROM showcase_projects
               WHERE deleted_at IS NULL AND status = 'published' GROUP BY 1
               UNION ALL
               SELECT quarter_of(created_at), 'likes', count(*) FROM project_likes GROUP BY 1
               UNION ALL
               SELECT quarter_of(created_at), 'questions', count(*) FROM ai_replies GROUP BY 1
               UNION ALL
               SELECT quarter_of(created_at), 'replies_failed', count(*) FROM ai_replies WHERE state = 'failed' GROUP BY 1
           ),
           stored AS (
               SELECT q.quarter, m.key AS metric, m.value::text::bigint AS n
               FROM stats_quarters q CROSS JOIN LATERAL jsonb_each(to_jsonb(q) - 'quarter') AS m
               WHERE m.value <> '0'
           )
           SELECT 'stats_quarter' AS "kind!: Kind",
               jsonb_build_object('quarter', quarter, 'starts_at', quarter_start(quarter), 'metric', metric) AS "ids!",
               to_jsonb(coalesce(s.n, 0)) AS stored, to_jsonb(coalesce(e.n, 0)) AS expected, count(*) OVER () AS "total!"
           FROM expected e FULL JOIN stored s USING (quarter, metric)
           WHERE s.n IS DISTINCT FROM e.n
             AND quarter < (SELECT open_from FROM stats_state WHERE is_filled)
             AND quarter NOT IN (SELECT m.quarter FROM stats_marks m WHERE m.quarter IS NOT NULL)
           LIMIT 1000"#
    );
    Ok(rows.fetch_all(connection).await?)
}

pub(super) async fn active(connection: &mut PgConnection) -> Result<Vec<DifferenceRow>> {
    let rows = sqlx::query_as!(
        DifferenceRow,
        r#"WITH visits AS (
               SELECT quarter, user_id, lag(quarter) OVER (PARTITION BY user_id ORDER BY quarter) AS previous
               FROM active_quarters
           ),
           gaps AS (
               SELECT v.quarter, coalesce(v.quarter - v.previous, 1000) AS quarters,
                   coalesce(v.quarter / 4 - v.previous / 4, 1000) AS hours
               FROM visits v JOIN users u ON u.id = v.user_id WHERE u.role = 'student' AND u.deleted_at IS NULL
           ),
           expected AS (
               SELECT quarter, 'day' AS period, least(quarters, 108)::bigint AS gap, count(*) AS n FROM gaps GROUP BY 1, 2, 3
               UNION ALL
               SELECT quarter, 'week', least(hours, 169), count(*) FROM gaps WHERE hours > 0 GROUP BY 1, 2, 3
           ),
           stored AS (
               SELECT quarter, period, gap, n - lead(n, 1, 0) OVER (PARTITION BY quarter, period ORDER BY gap) AS n
               FROM (
                   SELECT quarter, 'day' AS period, gap, n
                   FROM stats_active CROSS JOIN LATERAL unnest(first_of_day) WITH ORDINALITY AS e (n, gap)
                   UNION ALL
                   SELECT quarter, 'week', gap, n
                   FROM stats_active CROSS JOIN LATERAL unnest(first_of_week) WITH ORDINALITY AS e (n, gap)
               ) elements
           )
           SELECT 'active_learners' AS "kind!: Kind",
               jsonb_build_object('quarter', quarter, 'starts_at', quarter_start(quarter), 'period', period, 'gap', gap)
                   AS "ids!",
               to_jsonb(coalesce(s.n, 0)) AS stored, to_jsonb(coalesce(e.n, 0)) AS expected, count(*) OVER () AS "total!"
           FROM expected e FULL JOIN (SELECT * FROM stored WHERE n <> 0) s USING (quarter, period, gap)
           WHERE s.n IS DISTINCT FROM e.n
             AND quarter < (SELECT open_from FROM stats_state WHERE is_filled)
             AND quarter NOT IN (SELECT m.quarter FROM stats_marks m WHERE m.quarter IS NOT NULL)
             AND NOT EXISTS (SELECT FROM stats_marks m WHERE m.user_id IS NOT NULL)
           LIMIT 1000"#
    );
    Ok(rows.fetch_all(connection).await?)
}

/// Compares the lessons whose facts were last changed before their numbers were computed. A fact that says so may have been
/// committed a little later, so there must be a minute in between.
pub(super) async fn lessons(connection: &mut PgConnection) -> Result<Vec<DifferenceRow>> {
    let rows = sqlx::query_as!(
        DifferenceRow,
        r#"SELECT 'lesson_stats' AS "kind!: Kind", jsonb_build_object('lesson_id', s.lesson_id) AS "ids!",
               jsonb_build_object('starts', s.starts, 'completions', s.completions) AS stored,
               jsonb_build_object('starts', coalesce(f.starts, 0), 'completions', coalesce(f.completions, 0)) AS expected,
               count(*) OVER () AS "total!"
           FROM lesson_stats s
           LEFT JOIN (
               SELECT lesson_id, count(*) AS starts, count(*) FILTER (WHERE status = 'completed') AS completions,
                   max(updated_at) AS updated_at
               FROM user_lesson_progress GROUP BY lesson_id
           ) f ON f.lesson_id = s.lesson_id
           WHERE (s.starts, s.completions) IS DISTINCT FROM (coalesce(f.starts, 0), coalesce(f.completions, 0))
             AND s.computed_at IS NOT NULL
             AND (f.updated_at IS NULL OR f.updated_at < s.computed_at - interval '1 minute')
             AND s.lesson_id NOT IN (SELECT m.lesson_id FROM stats_marks m WHERE m.lesson_id IS NOT NULL)
           LIMIT 1000"#
    );
    Ok(rows.fetch_all(connection).await?)
}
