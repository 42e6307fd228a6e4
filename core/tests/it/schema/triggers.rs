//! What triggers keep: `updated_at`, `likes_dirty`, markers; and what cascades.

use std::collections::BTreeSet;

use cairn_core::clock::new_id;
use chrono::{DateTime, TimeZone, Utc};
use uuid::Uuid;

use cairn_testing::database::{TestDb, rows, run, scalar};
use cairn_testing::rows::{add_lesson, add_module, add_roadmap, add_stage, add_user, complete};

/// A row in every table that has `updated_at`, last updated long ago.
pub(super) async fn add_one_of_everything(test: &TestDb) {
    let [user, module, lesson, roadmap, stage, category, prompt, chat] = std::array::from_fn(|_| new_id());
    let old = "timestamptz '2020-01-01 00:00:00Z'";
    run(
        test.pool(),
        format!(
            "INSERT INTO users (id, email, first_name, updated_at) VALUES ('{user}', 'a@example.test', 'A', {old});
             INSERT INTO invite_links (code, updated_at) VALUES ('0123456789abcdef', {old});
             INSERT INTO course_modules (id, slug, title, updated_at) VALUES ('{module}', 'xx', 'X', {old});
             INSERT INTO lessons (id, module_id, slug, title, duration_minutes, updated_at)
                 VALUES ('{lesson}', '{module}', 'xx', 'X', 5, {old});
             INSERT INTO lesson_materials (lesson_id, kind, title, url, updated_at)
                 VALUES ('{lesson}', 'link', 'X', 'https://example.org', {old});
             INSERT INTO lesson_tasks (lesson_id, slug, title, updated_at) VALUES ('{lesson}', 'xx', 'X', {old});
             INSERT INTO course_imports (is_dry_run, document, objects_total, updated_at) VALUES (true, 'X', 1, {old});
             INSERT INTO user_lesson_progress (user_id, lesson_id, updated_at) VALUES ('{user}', '{lesson}', {old});
             INSERT INTO roadmaps (id, slug, title, updated_at) VALUES ('{roadmap}', 'xx', 'X', {old});
             INSERT INTO stages (id, roadmap_id, slug, title, updated_at) VALUES ('{stage}', '{roadmap}', 'xx', 'X', {old});
             INSERT INTO user_stage_progress (user_id, stage_id, lessons_total, lessons_completed, status, updated_at)
                 VALUES ('{user}', '{stage}', 2, 1, 'in_progress', {old});
             INSERT INTO user_roadmap_progress (user_id, roadmap_id, lessons_total, lessons_completed, stages_total,
                 stages_completed, status, updated_at) VALUES ('{user}', '{roadmap}', 2, 1, 1, 0, 'in_progress', {old});
             INSERT INTO style_cards (slug, title, category, updated_at) VALUES ('xx', 'X', 'retro', {old});
             INSERT INTO glossary_terms (slug, term, definition, updated_at) VALUES ('xx', 'X', 'X', {old});
             INSERT INTO prompt_categories (id, slug, name, kind, updated_at) VALUES ('{category}', 'xx', 'X', 'design', {old});
             INSERT INTO prompts (id, category_id, slug, title, body, updated_at)
                 VALUES ('{prompt}', '{category}', 'xx', 'X', 'X', {old});
             INSERT INTO prompt_steps (prompt_id, title, body, position, updated_at) VALUES ('{prompt}', 'X', 'X', 1, {old});
             INSERT INTO showcase_projects (user_id, title, updated_at) VALUES ('{user}', 'X', {old});
             INSERT INTO tool_chats (id, user_id, tool_type, updated_at) VALUES ('{chat}', '{user}', 'ideas', {old});
             DELETE FROM ai_system_instructions;
             INSERT INTO ai_system_instructions (tool_type, version, content, updated_at) VALUES ('ideas', 1, 'X', {old});
             INSERT INTO ai_replies (chat_id, user_id, question, instruction_id, updated_at)
                 SELECT '{chat}', '{user}', 'X', id, {old} FROM ai_system_instructions;
             INSERT INTO ai_tryouts (created_by, question, instruction_id, updated_at)
                 SELECT '{user}', 'X', id, {old} FROM ai_system_instructions;
             INSERT INTO ai_reply_ratings (reply_id, thumb, updated_at) SELECT id, 'up', {old} FROM ai_replies;
             INSERT INTO ai_evaluations (tool_type, name, cases, updated_at) VALUES ('ideas', 'X', '[{{}}]', {old});
             DELETE FROM platform_settings;
             INSERT INTO platform_settings (key, value, updated_at) VALUES ('a.b', '1', {old})"
        ),
    )
    .await;
}

async fn updated(test: &TestDb, table: &str) -> Vec<DateTime<Utc>> {
    rows::<(DateTime<Utc>,)>(test.pool(), format!("SELECT updated_at FROM {table}"))
        .await
        .into_iter()
        .map(|r| r.0)
        .collect()
}

#[tokio::test]
async fn updated_at_moves_with_changes_and_only_with_them() {
    let test = TestDb::new().await;
    add_one_of_everything(&test).await;
    let tables: Vec<(String,)> = rows(
        test.pool(),
        "SELECT c.table_name::text FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
         WHERE table_schema = 'public' AND column_name = 'updated_at' AND table_type = 'BASE TABLE' ORDER BY 1",
    )
    .await;
    assert!(tables.len() >= 20, "{tables:?}");
    let old = Utc.with_ymd_and_hms(2020, 1, 1, 0, 0, 0).unwrap();
    for (table,) in &tables {
        assert_eq!(updated(&test, table).await, [old], "{table} needs one row here");
        run(test.pool(), format!("UPDATE {table} SET created_at = created_at")).await;
        assert_eq!(updated(&test, table).await, [old], "{table}: nothing changed");
    }
    for (table,) in &tables {
        run(test.pool(), format!("UPDATE {table} SET created_at = created_at - interval '1 day'")).await;
        let now: DateTime<Utc> = scalar(test.pool(), "SELECT now()").await;
        let [time] = updated(&test, table).await[..] else { panic!("{table} has one row") };
        assert!(time > old && time <= now, "{table}: {time}");
        run(test.pool(), format!("UPDATE {table} SET updated_at = '1999-01-01'")).await;
        assert!(updated(&test, table).await[0] >= time, "{table}: it cannot be set by hand");
    }
}

/// Texts that a generated column follows are changes too.
#[tokio::test]
async fn updated_at_moves_with_generated_columns() {
    let test = TestDb::new().await;
    add_one_of_everything(&test).await;
    let old = Utc.with_ymd_and_hms(2020, 1, 1, 0, 0, 0).unwrap();
    for (table, change) in [
        ("lessons", "title = 'Y'"),
        ("glossary_terms", "definition = 'Y'"),
        ("prompts", "body = 'Y'"),
        ("user_stage_progress", "lessons_completed = 0"),
        ("user_roadmap_progress", "lessons_total = 3"),
    ] {
        run(test.pool(), format!("UPDATE {table} SET {change}")).await;
        assert!(updated(&test, table).await[0] > old, "{table}");
    }
}

/// A published project.
async fn add_project(test: &TestDb, user: Uuid) -> Uuid {
    let query = format!(
        "INSERT INTO showcase_projects (user_id, title, status, published_at) VALUES ('{user}', 'P', 'published', now()) RETURNING id"
    );
    scalar(test.pool(), query).await
}

async fn marked(test: &TestDb) -> BTreeSet<Uuid> {
    let found =
        rows::<(Uuid,)>(test.pool(), "SELECT project_id FROM likes_dirty").await.into_iter().map(|row| row.0).collect();
    run(test.pool(), "DELETE FROM likes_dirty").await;
    found
}

#[tokio::test]
async fn likes_changed_by_hand_mark_their_projects() {
    let test = TestDb::new().await;
    let pool = test.pool();
    let (author, one, two) = (add_user(pool).await, add_user(pool).await, add_user(pool).await);
    let (a, b, c) =
        (add_project(&test, author).await, add_project(&test, author).await, add_project(&test, author).await);
    run(pool, format!("INSERT INTO project_likes (project_id, user_id) VALUES ('{a}', '{one}'), ('{a}', '{two}'), ('{b}', '{one}')")).await;
    assert_eq!(marked(&test).await, BTreeSet::from([a, b]));
    run(pool, format!("UPDATE project_likes SET project_id = '{c}' WHERE project_id = '{b}'")).await;
    assert_eq!(marked(&test).await, BTreeSet::from([b, c]), "two counts change");
    run(pool, "DELETE FROM project_likes WHERE false; UPDATE project_likes SET created_at = now() WHERE false").await;
    run(
        pool,
        format!("INSERT INTO project_likes (project_id, user_id) VALUES ('{a}', '{one}') ON CONFLICT DO NOTHING"),
    )
    .await;
    assert_eq!(marked(&test).await, BTreeSet::new(), "nothing changed");
    run(pool, format!("DELETE FROM project_likes WHERE user_id = '{two}'")).await;
    assert_eq!(marked(&test).await, BTreeSet::from([a]));
    run(pool, format!("DELETE FROM users WHERE id = '{one}'")).await;
    assert_eq!(marked(&test).await, BTreeSet::from([a, c]), "likes go with the person");
    run(pool, format!("INSERT INTO project_likes (project_id, user_id) VALUES ('{a}', '{two}')")).await;
    run(pool, format!("DELETE FROM showcase_projects WHERE id = '{a}'")).await;
    assert_eq!(marked(&test).await, BTreeSet::new(), "nothing is left to count");
}

/// Rows, in any table, that name a user or a roadmap.
async fn left_of(test: &TestDb, column: &str, id: Uuid) -> Vec<String> {
    let query = format!(
        "SELECT c.table_name::text FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
         WHERE table_schema = 'public' AND column_name = '{column}' AND table_type = 'BASE TABLE'"
    );
    let mut left = Vec::new();
    for (table,) in rows::<(String,)>(test.pool(), query).await {
        let n: i64 = scalar(test.pool(), format!("SELECT count(*) FROM {table} WHERE {column} = '{id}'")).await;
        if n > 0 {
            left.push(table);
        }
    }
    left
}

/// A learner with a row everywhere.
async fn add_busy_learner(test: &TestDb) -> (Uuid, Uuid) {
    let pool = test.pool();
    let (user, other) = (add_user(pool).await, add_user(pool).await);
    let module = add_module(pool).await;
    let lesson = add_lesson(pool, module).await;
    let (roadmap, other_roadmap) = (add_roadmap(pool).await, add_roadmap(pool).await);
    add_stage(pool, roadmap, &[lesson]).await;
    add_stage(pool, other_roadmap, &[lesson]).await;
    complete(pool, user, lesson).await;
    let (mine, theirs) = (add_project(test, user).await, add_project(test, other).await);
    let [chat, question, answer, session, invite, task] = std::array::from_fn(|_| new_id());
    let statements = format!(
        "INSERT INTO user_stage_progress (user_id, stage_id, lessons_total, lessons_completed, status, completed_at, achieved_at)
             SELECT '{user}', id, 1, 1, 'completed', now(), now() FROM stages;
         INSERT INTO user_roadmap_progress (user_id, roadmap_id, lessons_total, lessons_completed, stages_total,
                 stages_completed, status, completed_at, achieved_at)
             SELECT '{user}', id, 1, 1, 1, 1, 'completed', now(), now() FROM roadmaps;
         INSERT INTO lesson_tasks (id, lesson_id, slug, title) VALUES ('{task}', '{lesson}', 'xx', 'X');
         INSERT INTO user_lesson_task_progress (user_id, task_id) VALUES ('{user}', '{task}');
         INSERT INTO project_likes (project_id, user_id) VALUES ('{mine}', '{other}'), ('{theirs}', '{user}');
         INSERT INTO prompt_categories (slug, name, kind) VALUES ('xx', 'X', 'design');
         INSERT INTO prompts (category_id, slug, title, body) SELECT id, 'xx', 'X', 'X' FROM prompt_categories;
         INSERT INTO user_prompt_favorites (user_id, prompt_id) SELECT '{user}', id FROM prompts;
         INSERT INTO tool_chats (id, user_id, tool_type) VALUES ('{chat}', '{user}', 'ideas');
         INSERT INTO tool_messages (id, chat_id, role, content)
             VALUES ('{question}', '{chat}', 'user', 'Q'), ('{answer}', '{chat}', 'assistant', 'A');
         INSERT INTO ai_replies (id, chat_id, user_id, question_id, answer_id, instruction_id, question, state, finished_at)
             SELECT '{chat}', '{chat}', '{user}', '{question}', '{answer}', id, 'Q', 'completed', now()
             FROM ai_system_instructions WHERE tool_type = 'ideas';
         INSERT INTO ai_reply_attempts (reply_id, attempt) VALUES ('{chat}', 1);
         INSERT INTO ai_reply_chunks (reply_id, attempt, seq, content) VALUES ('{chat}', 1, 1, 'A');
         UPDATE ai_system_instructions SET created_by = '{user}';
         UPDATE platform_settings SET updated_by = '{user}';
         INSERT INTO invite_links (id, code, created_by) VALUES ('{invite}', '0123456789abcdef', '{user}');
         UPDATE users SET invite_id = '{invite}';
         INSERT INTO sessions (id, user_id, expires_at) VALUES ('{session}', '{user}', now());
         INSERT INTO refresh_tokens (token_hash, session_id) VALUES (sha256('x'), '{session}');
         INSERT INTO idempotency_keys (user_id, key, operation, request_hash) VALUES ('{user}', 'k', 'o', sha256('x'));
         INSERT INTO activity_log (id, occurred_at, actor_id, action) VALUES ('{session}', now(), '{user}', 'user.registered')"
    );
    run(pool, statements).await;
    (user, roadmap)
}

#[tokio::test]
async fn a_person_goes_with_everything_but_the_record() {
    let test = TestDb::new().await;
    let (user, _) = add_busy_learner(&test).await;
    assert_eq!(left_of(&test, "user_id", user).await.len(), 13);
    run(test.pool(), format!("DELETE FROM users WHERE id = '{user}'")).await;
    assert_eq!(left_of(&test, "user_id", user).await, [""; 0]);
    assert_eq!(left_of(&test, "created_by", user).await, [""; 0]);
    assert_eq!(left_of(&test, "updated_by", user).await, [""; 0]);
    assert_eq!(left_of(&test, "actor_id", user).await.len(), 2, "the log and its partition");
    assert_eq!(scalar::<i64>(test.pool(), "SELECT count(*) FROM progress_dirty").await, 0);
}

#[tokio::test]
async fn a_roadmap_goes_with_its_stages_and_numbers() {
    let test = TestDb::new().await;
    let (user, roadmap) = add_busy_learner(&test).await;
    run(test.pool(), format!("DELETE FROM roadmaps WHERE id = '{roadmap}'")).await;
    assert_eq!(left_of(&test, "roadmap_id", roadmap).await, [""; 0]);
    assert_eq!(left_of(&test, "user_id", user).await.len(), 13, "the other roadmap is there");
    run(test.pool(), "DELETE FROM roadmaps").await;
    for table in ["stages", "stage_lessons", "user_stage_progress", "user_roadmap_progress", "progress_dirty"] {
        assert_eq!(scalar::<i64>(test.pool(), format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
    }
    assert_eq!(scalar::<i64>(test.pool(), "SELECT count(*) FROM user_lesson_progress").await, 1, "facts stay");
}

#[tokio::test]
async fn one_statement_marks_each_pair_once() {
    let test = TestDb::new().await;
    let pool = test.pool();
    let (user, other, module) = (add_user(pool).await, add_user(pool).await, add_module(pool).await);
    let lessons = [add_lesson(pool, module).await, add_lesson(pool, module).await, add_lesson(pool, module).await];
    let (one, two) = (add_roadmap(pool).await, add_roadmap(pool).await);
    add_stage(pool, one, &lessons[..2]).await;
    add_stage(pool, one, &lessons[1..]).await;
    // Hidden or not: it may be shown before anybody looks again.
    run(pool, format!("UPDATE roadmaps SET publication = 'draft' WHERE id = '{two}'")).await;
    add_stage(pool, two, &lessons[..1]).await;
    let marks = async || {
        let query = "SELECT user_id, roadmap_id, requested_seq FROM progress_dirty ORDER BY 1, 2";
        rows::<(Uuid, Uuid, i64)>(pool, query).await
    };
    run(pool, format!("INSERT INTO user_lesson_progress (user_id, lesson_id) SELECT '{user}', id FROM lessons")).await;
    assert_eq!(marks().await, [(user, one, 1), (user, two, 1)]);
    run(
        pool,
        format!(
            "UPDATE user_lesson_progress SET status = 'completed', completed_at = now() WHERE lesson_id = '{}'",
            lessons[2]
        ),
    )
    .await;
    assert_eq!(marks().await, [(user, one, 2), (user, two, 1)]);
    run(pool, format!("UPDATE user_lesson_progress SET user_id = '{other}' WHERE lesson_id = '{}'", lessons[2])).await;
    assert_eq!(marks().await, [(user, one, 3), (user, two, 1), (other, one, 1)], "both the old and the new learner");
    run(pool, "DELETE FROM user_lesson_progress").await;
    assert_eq!(marks().await, [(user, one, 4), (user, two, 2), (other, one, 2)]);
    run(pool, "DELETE FROM user_lesson_progress; UPDATE user_lesson_progress SET started_at = now()").await;
    assert_eq!(marks().await, [(user, one, 4), (user, two, 2), (other, one, 2)]);
}

/// Who knows a lesson gets the marker of every roadmap that it is put into, however it gets there.
#[tokio::test]
async fn placing_a_lesson_marks_who_knows_it() {
    let test = TestDb::new().await;
    let pool = test.pool();
    let (user, module) = (add_user(pool).await, add_module(pool).await);
    let (known, unknown) = (add_lesson(pool, module).await, add_lesson(pool, module).await);
    run(pool, format!("INSERT INTO user_lesson_progress (user_id, lesson_id) VALUES ('{user}', '{known}')")).await;
    let mut stages = Vec::new();
    for _ in 0..4 {
        stages.push(add_stage(pool, add_roadmap(pool).await, &[]).await);
    }
    let [a, b, c, d] = stages[..] else { panic!("four stages") };
    let marked = async || {
        let query = "SELECT s.id FROM progress_dirty JOIN stages s USING (roadmap_id) ORDER BY 1";
        rows::<(Uuid,)>(pool, query).await.into_iter().map(|row| row.0).collect::<BTreeSet<_>>()
    };
    let place = "INSERT INTO stage_lessons (stage_id, lesson_id) VALUES";
    run(pool, format!("{place} ('{a}', '{unknown}'), ('{b}', '{unknown}'), ('{c}', '{known}')")).await;
    assert_eq!(marked().await, BTreeSet::from([c]), "inserted");
    run(pool, format!("UPDATE stage_lessons SET stage_id = '{d}' WHERE stage_id = '{c}'")).await;
    assert_eq!(marked().await, BTreeSet::from([c, d]), "moved to another stage");
    run(pool, format!("UPDATE stage_lessons SET lesson_id = '{known}' WHERE stage_id = '{a}'")).await;
    assert_eq!(marked().await, BTreeSet::from([a, c, d]), "put in the place of another");
    run(pool, "DELETE FROM progress_dirty; UPDATE stage_lessons SET position = 7, is_required = false").await;
    assert_eq!(marked().await, BTreeSet::new(), "nothing was placed");
    run(
        pool,
        format!("UPDATE stages SET roadmap_id = (SELECT roadmap_id FROM stages WHERE id = '{b}') WHERE id = '{d}'"),
    )
    .await;
    assert_eq!(marked().await, BTreeSet::from([b, d]), "moved with its stage");
}

/// A trigger that notifies takes a lock on the whole cluster at every commit; one of any kind costs every request.
#[tokio::test]
async fn the_jobs_table_has_no_triggers() {
    let test = TestDb::new().await;
    let triggers: Vec<(String,)> = rows(
        test.pool(),
        "SELECT tgname::text FROM pg_trigger WHERE tgrelid = 'apalis.jobs'::regclass AND NOT tgisinternal",
    )
    .await;
    assert!(triggers.is_empty(), "{triggers:?}");
}
