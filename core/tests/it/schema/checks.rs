//! Rows that cannot be.

use super::tables::violated;
use cairn_testing::database::{TestDb, run};
use cairn_testing::rows::{add_lesson, add_module, add_roadmap, add_stage, add_user};

#[tokio::test]
async fn impossible_rows_are_refused() {
    let test = TestDb::new().await;
    let pool = test.pool();
    let (user, module, roadmap) = (add_user(pool).await, add_module(pool).await, add_roadmap(pool).await);
    let lesson = add_lesson(pool, module).await;
    let stage = add_stage(pool, roadmap, &[lesson]).await;
    run(pool, format!("INSERT INTO tool_chats (id, user_id, tool_type) VALUES ('{user}', '{user}', 'ideas')")).await;
    let project = format!("INSERT INTO showcase_projects (user_id, title, status) VALUES ('{user}', 'P'");
    let fact = format!(
        "INSERT INTO user_lesson_progress (user_id, lesson_id, status, completed_at) VALUES ('{user}', '{lesson}'"
    );
    let in_stage = |values: &str| {
        format!(
            "INSERT INTO user_stage_progress (user_id, stage_id, lessons_total, lessons_completed, status, completed_at,
                 achieved_at) VALUES ('{user}', '{stage}', {values})"
        )
    };
    let in_roadmap = |values: &str| {
        format!(
            "INSERT INTO user_roadmap_progress (user_id, roadmap_id, lessons_total,
                 lessons_completed, stages_total, stages_completed, status, completed_at, achieved_at)
             VALUES ('{user}', '{roadmap}', {values})"
        )
    };
    let reply = |columns: &str, values: &str| {
        format!(
            "INSERT INTO ai_replies (chat_id, user_id, question, instruction_id{columns})
             SELECT '{user}', '{user}', 'Q', id{values} FROM ai_system_instructions LIMIT 1"
        )
    };
    let lessons = "INSERT INTO lessons (module_id, title, duration_minutes, slug";
    let instruction = "INSERT INTO ai_system_instructions (tool_type, version, content, is_active)";
    let session =
        format!("INSERT INTO sessions (user_id, expires_at, revoked_at, revoke_reason) VALUES ('{user}', now()");
    let cases = [
        // Facts: locked and available are no facts; a completion has its time, and nothing else has.
        (format!("{fact}, 'locked', NULL)"), "user_lesson_progress_status"),
        (format!("{fact}, 'available', NULL)"), "user_lesson_progress_status"),
        (format!("{fact}, 'completed', NULL)"), "user_lesson_progress_completed_at"),
        (format!("{fact}, 'in_progress', now())"), "user_lesson_progress_completed_at"),
        // Rollups.
        (in_stage("2, 3, 'in_progress', NULL, NULL"), "user_stage_progress_counts"),
        (in_stage("2, -1, 'in_progress', NULL, NULL"), "user_stage_progress_counts"),
        (in_stage("2, 2, 'in_progress', NULL, NULL"), "user_stage_progress_completed"),
        (in_stage("2, 1, 'completed', now(), now()"), "user_stage_progress_completed"),
        (in_stage("0, 0, 'completed', now(), now()"), "user_stage_progress_completed"),
        (in_stage("2, 2, 'completed', NULL, now()"), "user_stage_progress_completed_at"),
        (in_stage("2, 1, 'in_progress', now(), now()"), "user_stage_progress_completed_at"),
        (in_stage("2, 2, 'completed', now(), NULL"), "user_stage_progress_achieved_at"),
        (in_roadmap("2, 3, 1, 0, 'in_progress', NULL, NULL"), "user_roadmap_progress_lessons"),
        (in_roadmap("2, 1, 1, 2, 'in_progress', NULL, NULL"), "user_roadmap_progress_stages"),
        (in_roadmap("2, 0, 1, 0, 'locked', NULL, NULL"), "user_roadmap_progress_status"),
        (in_roadmap("2, 2, 1, 1, 'in_progress', NULL, NULL"), "user_roadmap_progress_completed"),
        (in_roadmap("2, 2, 1, 1, 'completed', NULL, NULL"), "user_roadmap_progress_completed_at"),
        (in_roadmap("2, 2, 1, 1, 'completed', now(), NULL"), "user_roadmap_progress_achieved_at"),
        (
            format!(
                "INSERT INTO progress_dirty (user_id, roadmap_id, requested_seq, done_seq) VALUES ('{user}', '{roadmap}', 1, 2)"
            ),
            "progress_dirty_done_not_ahead",
        ),
        (
            format!("UPDATE roadmaps SET recomputed_version = content_version + 1 WHERE id = '{roadmap}'"),
            "roadmaps_recomputed_not_ahead",
        ),
        (
            format!("INSERT INTO stage_lessons (stage_id, lesson_id) VALUES ('{stage}', '{lesson}')"),
            "stage_lessons_pkey",
        ),
        // Content.
        (format!("{lessons}) VALUES ('{module}', 'L', 0, 'ok')"), "lessons_duration_minutes_check"),
        (format!("{lessons}) VALUES ('{module}', 'L', 30001, 'ok')"), "lessons_duration_minutes_check"),
        (format!("{lessons}) VALUES ('{module}', '', 5, 'ok')"), "lessons_title_check"),
        (format!("{lessons}) VALUES ('{module}', 'L', 5, 'Not OK')"), "slug_check"),
        (format!("{lessons}) VALUES ('{module}', 'L', 5, 'trailing-')"), "slug_check"),
        (format!("{lessons}) VALUES ('{module}', 'L', 5, 'x')"), "slug_check"),
        (format!("{lessons}) VALUES ('{module}', 'L', 5, E'two\\nlines')"), "slug_check"),
        (format!("{lessons}, video_url) VALUES ('{module}', 'L', 5, 'ok', 'javascript:alert(1)')"), "https_url_check"),
        (
            format!("{lessons}, video_url) VALUES ('{module}', 'L', 5, 'ok', E'https://example.org/a\\nb')"),
            "https_url_check",
        ),
        (format!("{lessons}) VALUES ('{user}', 'L', 5, 'ok')"), "lessons_module_id_fkey"),
        (format!("DELETE FROM course_modules WHERE id = '{module}'"), "lessons_module_id_fkey"),
        // People.
        (format!("UPDATE users SET progress_percent = 101 WHERE id = '{user}'"), "users_progress_percent_range"),
        ("INSERT INTO users (email, first_name) VALUES ('a@b', '')".into(), "users_first_name_length"),
        (
            "INSERT INTO invite_links (code, uses, max_uses) VALUES ('0123456789abcdef', 2, 1)".into(),
            "invite_links_uses_range",
        ),
        ("INSERT INTO invite_links (code) VALUES ('too-short')".into(), "invite_links_code_check"),
        (
            format!(
                "INSERT INTO sessions (id, user_id, expires_at) VALUES ('{user}', '{user}', now());
                 INSERT INTO refresh_tokens (token_hash, session_id, predecessor, nonce)
                 SELECT sha256(n::text::bytea), '{user}', sha256('before'), sha256('nonce') FROM generate_series(1, 2) n"
            ),
            "refresh_tokens_predecessor_key",
        ),
        (
            format!(
                "INSERT INTO sessions (id, user_id, expires_at) VALUES ('{user}', '{user}', now());
                 INSERT INTO refresh_tokens (token_hash, session_id, predecessor)
                 VALUES (sha256('x'), '{user}', sha256('before'))"
            ),
            "refresh_tokens_derivation",
        ),
        (format!("{session}, now(), NULL)"), "sessions_revoked_with_reason"),
        (format!("{session}, NULL, 'logout')"), "sessions_revoked_with_reason"),
        // Community.
        (format!("{project}, 'published')"), "showcase_projects_published_at"),
        (
            format!("INSERT INTO showcase_projects (user_id, title, likes_count) VALUES ('{user}', 'P', -1)"),
            "showcase_projects_likes_count_check",
        ),
        (
            format!("INSERT INTO showcase_projects (user_id, title, trending_likes) VALUES ('{user}', 'P', -1)"),
            "showcase_projects_trending_likes_range",
        ),
        // Tools.
        (
            format!("INSERT INTO tool_chats (user_id, tool_type) VALUES ('{user}', 'ideas')"),
            "tool_chats_user_id_tool_type_key",
        ),
        (
            format!("INSERT INTO tool_chats (user_id, tool_type) VALUES ('{user}', 'other')"),
            "tool_chats_tool_type_check",
        ),
        (
            format!("INSERT INTO tool_messages (chat_id, role, content) VALUES ('{user}', 'system', 'x')"),
            "tool_messages_role_check",
        ),
        (format!("{instruction} VALUES ('ideas', 2, 'x', true)"), "ai_system_instructions_active_key"),
        (format!("{instruction} VALUES ('ideas', 1, 'x', false)"), "ai_system_instructions_version_key"),
        (reply(", state", ", 'completed'"), "ai_replies_finished_at"),
        (reply(", state, finished_at", ", 'streaming', now()"), "ai_replies_finished_at"),
        (reply(", state, finished_at", ", 'failed', now()"), "ai_replies_reason"),
        (reply(", reason", ", 'why'"), "ai_replies_reason"),
        (format!("{0}; {0}", reply("", "")), "ai_replies_open_key"),
        // Activity and settings.
        (
            "INSERT INTO activity_log (id, occurred_at, action) VALUES (gen_random_uuid(), now(), 'Not an action')"
                .into(),
            "activity_log_action_check",
        ),
        ("INSERT INTO platform_settings (key, value) VALUES ('nodot', '1')".into(), "platform_settings_key_check"),
    ];
    for (statement, constraint) in cases {
        assert_eq!(violated(&test, statement.clone()).await, constraint, "{statement}");
    }
    // The base rows are what they were: nothing of the refused statements stayed.
    let left: i64 = cairn_testing::database::scalar(
        pool,
        "SELECT (SELECT count(*) FROM lessons) + (SELECT count(*) FROM ai_replies)",
    )
    .await;
    assert_eq!(left, 1);
}
