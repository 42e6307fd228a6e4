//! The queries. They all return the same columns: the kind, the ids, the stored value, the expected value, and the total
//! number of differences of that kind.

use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use uuid::Uuid;

use super::report::Kind;
use super::row::DifferenceRow;
use super::stats::{active, lessons, quarters};
use crate::Result;

/// Configures the planner for queries that read whole tables, for which hash joins are fast whatever the size. The planner
/// underestimates the rows of subqueries and would use nested loops, which take minutes instead of seconds.
async fn plan_for_whole_tables(connection: &mut PgConnection) -> Result<()> {
    sqlx::raw_sql("SET LOCAL enable_nestloop = off; SET LOCAL work_mem = '64MB'; SET LOCAL jit = off")
        .execute(connection)
        .await?;
    Ok(())
}

/// Runs every check, each in a snapshot of its own, which ends with it: an old snapshot costs whoever writes. `running` is true if
/// pending work is to be ignored.
pub(super) async fn all(pool: &PgPool, running: bool) -> Result<Vec<Vec<DifferenceRow>>> {
    let mut found = progress(pool, running).await?;
    macro_rules! run {
        ($($check:ident($($argument:expr)?),)+) => {$({
            let mut snapshot = open(pool).await?;
            found.push($check(&mut snapshot $(, $argument)?).await?);
            snapshot.rollback().await?;
        })+};
    }
    run!(facts(), likes(running), trending(running), uses(),);
    if !running {
        run!(markers(),);
    }
    run!(jobs(running), replies(), spending(), activity(), erased(), quarters(), active(), lessons(),);
    Ok(found)
}

/// Begins a snapshot for a query that reads whole tables.
async fn open(pool: &PgPool) -> Result<Transaction<'static, Postgres>> {
    let mut snapshot = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
    plan_for_whole_tables(&mut snapshot).await?;
    Ok(snapshot)
}

/// How many learners are compared in one snapshot, which takes a second or two.
const LEARNERS: i64 = 10_000;

/// Compares the progress of all learners, some thousand at a time.
async fn progress(pool: &PgPool, running: bool) -> Result<Vec<Vec<DifferenceRow>>> {
    let (mut found, mut after) = (Vec::new(), Uuid::nil());
    loop {
        let last = sqlx::query_scalar!(
            "SELECT id FROM users WHERE id > $1 ORDER BY id OFFSET $2 LIMIT 1",
            after,
            LEARNERS - 1
        );
        let last = last.fetch_optional(pool).await?;
        let mut snapshot = open(pool).await?;
        let rows = sqlx::query_file_as!(
            DifferenceRow,
            "src/admin/verify/progress.sql",
            running,
            after,
            last.unwrap_or(Uuid::max())
        );
        found.push(rows.fetch_all(&mut *snapshot).await?);
        snapshot.rollback().await?;
        let Some(last) = last else { return Ok(found) };
        after = last;
    }
}

async fn facts(connection: &mut PgConnection) -> Result<Vec<DifferenceRow>> {
    let rows = sqlx::query_as!(
        DifferenceRow,
        r#"SELECT 'fact_shape' AS "kind!: Kind", jsonb_build_object('user_id', user_id, 'lesson_id', lesson_id) AS "ids!",
               jsonb_build_object('status', status, 'completed_at', completed_at) AS stored,
               jsonb_build_object('status', CASE WHEN completed_at IS NULL THEN 'in_progress' ELSE 'completed' END)
                   AS expected,
               count(*) OVER () AS "total!"
           FROM user_lesson_progress
           WHERE status NOT IN ('in_progress', 'completed') OR (status = 'completed') <> (completed_at IS NOT NULL)
           LIMIT 1000"#
    );
    Ok(rows.fetch_all(connection).await?)
}

async fn uses(connection: &mut PgConnection) -> Result<Vec<DifferenceRow>> {
    let rows = sqlx::query_as!(
        DifferenceRow,
        r#"SELECT 'use_count' AS "kind!: Kind", jsonb_build_object('item_kind', item_kind, 'item_id', item_id) AS "ids!",
               to_jsonb(stored) AS stored, to_jsonb(expected) AS expected, count(*) OVER () AS "total!"
           FROM (
               SELECT i.item_kind, i.item_id, i.stored, coalesce(d.uses, 0)::bigint AS expected
               FROM (
                   SELECT 'style_card'::library_item_kind AS item_kind, id AS item_id, usage_count::bigint AS stored
                   FROM style_cards
                   UNION ALL
                   SELECT 'prompt', id, copy_count FROM prompts
               ) i
               LEFT JOIN (SELECT item_kind, item_id, sum(uses) AS uses FROM library_daily_uses GROUP BY 1, 2) d
                   USING (item_kind, item_id)
           ) c
           WHERE stored <> expected
           LIMIT 1000"#
    );
    Ok(rows.fetch_all(connection).await?)
}

async fn likes(connection: &mut PgConnection, running: bool) -> Result<Vec<DifferenceRow>> {
    let rows = sqlx::query_as!(
        DifferenceRow,
        r#"SELECT 'likes_count' AS "kind!: Kind", jsonb_build_object('project_id', p.id) AS "ids!",
               jsonb_build_object('likes_count', p.likes_count) AS stored,
               jsonb_build_object('likes_count', coalesce(k.likes, 0)) AS expected,
               count(*) OVER () AS "total!"
           FROM showcase_projects p
           LEFT JOIN (SELECT project_id, count(*) AS likes FROM project_likes GROUP BY project_id) k ON k.project_id = p.id
           WHERE p.likes_count <> coalesce(k.likes, 0)
             AND NOT ($1 AND EXISTS (SELECT FROM likes_dirty d WHERE d.project_id = p.id))
           LIMIT 1000"#,
        running
    );
    Ok(rows.fetch_all(connection).await?)
}

async fn trending(connection: &mut PgConnection, running: bool) -> Result<Vec<DifferenceRow>> {
    let rows = sqlx::query_as!(
        DifferenceRow,
        r#"SELECT 'trending_likes' AS "kind!: Kind", jsonb_build_object('project_id', p.id) AS "ids!",
               jsonb_build_object('trending_likes', p.trending_likes, 'trending_since', p.trending_since) AS stored,
               jsonb_build_object('trending_likes', coalesce(k.likes, 0)) AS expected,
               count(*) OVER () AS "total!"
           FROM showcase_projects p
           LEFT JOIN (
               SELECT l.project_id, count(*) AS likes
               FROM project_likes l JOIN showcase_projects q ON q.id = l.project_id AND l.created_at >= q.trending_since
               GROUP BY l.project_id
           ) k ON k.project_id = p.id
           WHERE p.trending_likes <> coalesce(k.likes, 0)
             AND NOT ($1 AND EXISTS (SELECT FROM likes_dirty d WHERE d.project_id = p.id))
           LIMIT 1000"#,
        running
    );
    Ok(rows.fetch_all(connection).await?)
}

async fn markers(connection: &mut PgConnection) -> Result<Vec<DifferenceRow>> {
    let rows = sqlx::query_as!(
        DifferenceRow,
        r#"(SELECT 'progress_marker' AS "kind!: Kind",
                jsonb_build_object('user_id', user_id, 'roadmap_id', roadmap_id) AS "ids!",
                jsonb_build_object('done_seq', done_seq, 'requested_at', requested_at) AS stored,
                jsonb_build_object('done_seq', requested_seq) AS expected,
                count(*) OVER () AS "total!"
            FROM progress_dirty WHERE done_seq < requested_seq LIMIT 1000)
           UNION ALL
           (SELECT 'likes_marker', jsonb_build_object('project_id', project_id),
                jsonb_build_object('marked_at', marked_at), NULL, count(*) OVER ()
            FROM likes_dirty LIMIT 1000)
           UNION ALL
           (SELECT 'trending_window', jsonb_build_object('project_id', id),
                jsonb_build_object('trending_since', trending_since),
                jsonb_build_object('trending_since', now() - interval '7 days'), count(*) OVER ()
            FROM showcase_projects
            WHERE deleted_at IS NULL AND status = 'published' AND trending_likes > 0
              AND trending_since < now() - interval '7 days 1 hour' LIMIT 1000)
           UNION ALL
           (SELECT 'uses_waiting', jsonb_build_object('item_kind', item_kind, 'item_id', item_id),
                jsonb_build_object('waiting', count(*)), NULL, count(*) OVER ()
            FROM library_uses GROUP BY item_kind, item_id LIMIT 1000)
           UNION ALL
           (SELECT 'roadmap_recompute', jsonb_build_object('roadmap_id', id),
                jsonb_build_object('recomputed_version', recomputed_version),
                jsonb_build_object('recomputed_version', content_version), count(*) OVER ()
            FROM roadmaps WHERE recomputed_version < content_version LIMIT 1000)
           UNION ALL
           (SELECT 'tasks_marker', jsonb_build_object('lesson_id', lesson_id),
                jsonb_build_object('seq', seq, 'marked_at', marked_at), NULL, count(*) OVER ()
            FROM lesson_tasks_dirty LIMIT 1000)"#
    );
    Ok(rows.fetch_all(connection).await?)
}

async fn jobs(connection: &mut PgConnection, running: bool) -> Result<Vec<DifferenceRow>> {
    let rows = sqlx::query_as!(
        DifferenceRow,
        r#"SELECT kind AS "kind!: Kind", ids AS "ids!", stored, NULL::jsonb AS expected, total AS "total!"
           FROM (
               SELECT j.kind, jsonb_build_object('job_id', j.id, 'queue', j.job_type) AS ids,
                   jsonb_build_object('status', j.status, 'attempts', j.attempts, 'run_at', j.run_at,
                                      'error', left(j.last_result::text, 300)) AS stored,
                   count(*) OVER (PARTITION BY j.kind) AS total,
                   row_number() OVER (PARTITION BY j.kind ORDER BY j.run_at, j.id) AS number
               FROM (
                   SELECT *, CASE
                       WHEN job_state(found) = 'dead' THEN 'job_dead'
                       WHEN job_state(found) = 'discarded' THEN NULL
                       WHEN job_type <> 'maintenance' AND NOT $1 THEN 'job_unfinished'
                   END AS kind
                   FROM apalis.jobs found WHERE status <> 'Done'
               ) j
               WHERE j.kind IS NOT NULL
           ) numbered
           WHERE number <= 1000
           ORDER BY kind, number"#,
        running
    );
    Ok(rows.fetch_all(connection).await?)
}

/// Clearing a chat deletes the question and the answer but keeps the reply. An answer may therefore be missing, but only
/// together with its question.
async fn replies(connection: &mut PgConnection) -> Result<Vec<DifferenceRow>> {
    let rows = sqlx::query_as!(
        DifferenceRow,
        r#"(SELECT 'reply_answer' AS "kind!: Kind", ids AS "ids!", stored, expected, count(*) OVER () AS "total!"
            FROM (
                SELECT jsonb_build_object('reply_id', r.id, 'chat_id', r.chat_id) AS ids,
                    jsonb_build_object('state', r.state, 'answer_id', r.answer_id, 'answer_role', m.role,
                                       'answer_chat_id', m.chat_id) AS stored,
                    jsonb_build_object('answer_role', 'assistant', 'answer_chat_id', r.chat_id) AS expected
                FROM ai_replies r
                LEFT JOIN tool_messages m ON m.id = r.answer_id
                WHERE (r.state = 'completed' AND r.answer_id IS NULL AND r.question_id IS NOT NULL)
                   OR (r.answer_id IS NOT NULL
                       AND (m.role, m.chat_id) IS DISTINCT FROM ('assistant'::varchar, r.chat_id))
                UNION ALL
                -- Messages older than the chat's first reply were stored before replies were introduced.
                SELECT jsonb_build_object('message_id', m.id, 'chat_id', m.chat_id),
                    jsonb_build_object('role', m.role, 'created_at', m.created_at), NULL
                FROM tool_messages m
                JOIN (SELECT chat_id, min(created_at) AS since FROM ai_replies GROUP BY chat_id) r ON r.chat_id = m.chat_id
                WHERE m.role = 'assistant' AND m.created_at >= r.since
                  AND NOT EXISTS (SELECT FROM ai_replies a WHERE a.answer_id = m.id)
                  AND NOT EXISTS (SELECT FROM mentor_questions q WHERE q.message_id = m.id)
            ) answers
            LIMIT 1000)
           UNION ALL
           (SELECT 'reply_without_job', jsonb_build_object('reply_id', r.id, 'chat_id', r.chat_id),
                jsonb_build_object('state', r.state, 'created_at', r.created_at), NULL, count(*) OVER ()
            FROM ai_replies r
            WHERE r.state IN ('queued', 'streaming')
              AND NOT EXISTS (
                  SELECT FROM apalis.jobs j
                  WHERE j.job_type = 'replies'
                    AND (j.status IN ('Pending', 'Queued', 'Running')
                         OR (j.status = 'Failed' AND j.attempts < j.max_attempts))
                    -- Compared as text, because a payload that is not valid JSON must not abort the check.
                    AND strpos(encode(j.job, 'escape'), r.id::text) > 0)
            LIMIT 1000)"#
    );
    Ok(rows.fetch_all(connection).await?)
}

/// Compares what is stored as spent with the attempts, from the first day of which anything is stored, and what is stored as reserved
/// with the reservations of open replies: for each learner, and for each tool. A tool may have spent more than its learners,
/// because of try-outs and of those who deleted their accounts.
async fn spending(connection: &mut PgConnection) -> Result<Vec<DifferenceRow>> {
    let rows = sqlx::query_as!(
        DifferenceRow,
        r#"WITH expected AS (
               SELECT user_id, day, tool_type, sum(tokens)::bigint AS tokens, sum(cost_micros)::bigint AS cost_micros,
                   sum(reserved_tokens)::bigint AS reserved_tokens, sum(reserved_micros)::bigint AS reserved_micros
               FROM (
                   SELECT r.user_id, (a.started_at AT TIME ZONE 'UTC')::date AS day, c.tool_type,
                       coalesce(a.prompt_tokens, 0)::bigint + coalesce(a.completion_tokens, 0) AS tokens,
                       coalesce(a.cost_micros, 0) AS cost_micros, 0::bigint AS reserved_tokens, 0::bigint AS reserved_micros
                   FROM ai_reply_attempts a JOIN ai_replies r ON r.id = a.reply_id JOIN tool_chats c ON c.id = r.chat_id
                   WHERE a.started_at >= (SELECT min(day)::timestamp AT TIME ZONE 'UTC' FROM ai_spending)
                   UNION ALL
                   SELECT v.user_id, v.day, v.tool_type, 0, 0, v.tokens, v.cost_micros
                   FROM ai_reservations v JOIN ai_replies r ON r.id = v.reply_id WHERE r.state IN ('queued', 'streaming')
               ) parts
               GROUP BY 1, 2, 3
           )
           (SELECT 'ai_spending' AS "kind!: Kind",
               jsonb_build_object('user_id', user_id, 'day', day, 'tool_type', tool_type) AS "ids!",
               to_jsonb(s) - 'created_at' AS stored, to_jsonb(e) AS expected, count(*) OVER () AS "total!"
           FROM ai_learner_spending s FULL JOIN expected e USING (user_id, day, tool_type)
           JOIN users u ON u.id = user_id AND u.erased_at IS NULL
           WHERE (coalesce(s.tokens, 0), coalesce(s.cost_micros, 0), coalesce(s.reserved_tokens, 0), coalesce(s.reserved_micros, 0))
               <> (coalesce(e.tokens, 0), coalesce(e.cost_micros, 0), coalesce(e.reserved_tokens, 0), coalesce(e.reserved_micros, 0))
           LIMIT 1000)
           UNION ALL
           (SELECT 'ai_spending', jsonb_build_object('day', day, 'tool_type', tool_type), to_jsonb(s) - 'created_at',
               jsonb_build_object('tokens', l.tokens, 'cost_micros', l.cost_micros, 'reserved_tokens', coalesce(v.tokens, 0),
                   'reserved_micros', coalesce(v.cost_micros, 0)), count(*) OVER ()
            FROM ai_spending s
            FULL JOIN (SELECT day, tool_type, sum(tokens)::bigint AS tokens, sum(cost_micros)::bigint AS cost_micros
                       FROM ai_reservations GROUP BY 1, 2) v USING (day, tool_type)
            LEFT JOIN (SELECT day, tool_type, sum(tokens)::bigint AS tokens, sum(cost_micros)::bigint AS cost_micros
                       FROM ai_learner_spending GROUP BY 1, 2) l USING (day, tool_type)
            WHERE (coalesce(s.reserved_tokens, 0), coalesce(s.reserved_micros, 0)) <> (coalesce(v.tokens, 0), coalesce(v.cost_micros, 0))
               OR coalesce(s.tokens, 0) < l.tokens OR coalesce(s.cost_micros, 0) < l.cost_micros
            LIMIT 1000)"#
    );
    Ok(rows.fetch_all(connection).await?)
}

/// While an erasure waits for its last part, what is left is no difference.
async fn erased(connection: &mut PgConnection) -> Result<Vec<DifferenceRow>> {
    let rows = sqlx::query_as!(
        DifferenceRow,
        r#"SELECT 'erased_user' AS "kind!: Kind", jsonb_build_object('user_id', user_id) AS "ids!",
               jsonb_build_object('left', array_agg(DISTINCT what)) AS stored, NULL::jsonb AS expected,
               count(*) OVER () AS "total!"
           FROM (
               SELECT id AS user_id, 'users' AS what FROM users
               WHERE erased_at IS NOT NULL AND (email <> id || '@deleted.invalid' OR email_key <> email OR first_name <> 'Deleted'
                   OR num_nonnulls(last_name, avatar_url, password_hash) > 0)
               UNION ALL SELECT user_id, 'sessions' FROM sessions
               UNION ALL SELECT user_id, 'sign_in_devices' FROM sign_in_devices
               UNION ALL SELECT user_id, 'idempotency_keys' FROM idempotency_keys
               UNION ALL SELECT user_id, 'user_lesson_progress' FROM user_lesson_progress
               UNION ALL SELECT user_id, 'user_lesson_task_progress' FROM user_lesson_task_progress
               UNION ALL SELECT user_id, 'progress_dirty' FROM progress_dirty
               UNION ALL SELECT user_id, 'user_stage_progress' FROM user_stage_progress
               UNION ALL SELECT user_id, 'user_roadmap_progress' FROM user_roadmap_progress
               UNION ALL SELECT user_id, 'user_prompt_favorites' FROM user_prompt_favorites
               UNION ALL SELECT user_id, 'user_events' FROM user_events
               UNION ALL SELECT user_id, 'project_likes' FROM project_likes
               UNION ALL SELECT user_id, 'tool_chats' FROM tool_chats
               UNION ALL SELECT user_id, 'mentor_questions' FROM mentor_questions
               UNION ALL SELECT user_id, 'ai_learner_spending' FROM ai_learner_spending
               UNION ALL SELECT user_id, 'showcase_projects' FROM showcase_projects WHERE deleted_at IS NULL
               UNION ALL SELECT actor_id, 'activity_log' FROM activity_log WHERE num_nonnulls(ip, user_agent) > 0
           ) d
           JOIN users u ON u.id = d.user_id
           WHERE u.erased_at IS NOT NULL AND NOT EXISTS (SELECT FROM erasures e WHERE e.user_id = u.id)
           GROUP BY user_id
           LIMIT 1000"#
    );
    Ok(rows.fetch_all(connection).await?)
}

async fn activity(connection: &mut PgConnection) -> Result<Vec<DifferenceRow>> {
    let rows = sqlx::query_as!(
        DifferenceRow,
        r#"(SELECT 'last_active_at' AS "kind!: Kind", jsonb_build_object('user_id', u.id) AS "ids!",
                jsonb_build_object('last_active_at', u.last_active_at) AS stored,
                jsonb_build_object('last_active_at', a.latest) AS expected,
                count(*) OVER () AS "total!"
            FROM users u
            JOIN (SELECT actor_id, max(occurred_at) AS latest FROM activity_log GROUP BY actor_id) a ON a.actor_id = u.id
            WHERE u.last_active_at IS NULL OR u.last_active_at < a.latest - interval '1 minute'
            LIMIT 1000)
           UNION ALL
           (SELECT 'activity_partition', jsonb_build_object('activity_id', id),
                jsonb_build_object('occurred_at', occurred_at), NULL, count(*) OVER ()
            FROM activity_log_default LIMIT 1000)"#
    );
    Ok(rows.fetch_all(connection).await?)
}
