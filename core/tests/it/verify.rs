//! `verify` finds every planted difference, and nothing else.

use cairn_core::admin::verify::{Kind, Mode, Report, verify};
use cairn_core::learning::course::{import, parse};
use sqlx::PgPool;

use cairn_testing::database::TestDb;

/// `start` has one required lesson (`second` is optional there), `finish` has two.
const COURSE: &str = "\
version: 1
modules:
  - slug: basics
    title: Basics
    lessons:
      - {slug: first, title: First, duration_minutes: 5}
      - {slug: second, title: Second, duration_minutes: 5}
      - {slug: third, title: Third, duration_minutes: 5}
      - {slug: elsewhere, title: Elsewhere, duration_minutes: 5}
roadmaps:
  - slug: way
    title: Way
    sequential: true
    stages:
      - {slug: start, title: Start, lessons: [{lesson: first}, {lesson: second, required: false}]}
      - {slug: empty, title: Empty, lessons: [{lesson: elsewhere, required: false}]}
      - {slug: finish, title: Finish, lessons: [{lesson: third}, {lesson: second}]}
  - slug: other
    title: Other
    stages:
      - {slug: only, title: Only, lessons: [{lesson: elsewhere}]}
";

/// Two learners, a project with a like, an answered question, and activity. All numbers were computed by hand.
const SETTLED: &str = "
INSERT INTO users (id, email, first_name, progress_percent, last_active_at) VALUES
    ('00000000-0000-0000-0000-0000000000aa', 'a@example.test', 'A', 33, now()),
    ('00000000-0000-0000-0000-0000000000bb', 'b@example.test', 'B', 0, now() - interval '30 seconds'),
    ('00000000-0000-0000-0000-0000000000cc', 'c@example.test', 'C', NULL, NULL);
INSERT INTO user_lesson_progress (user_id, lesson_id, status, completed_at)
    SELECT '00000000-0000-0000-0000-0000000000aa', id, 'completed', now() FROM lessons WHERE slug = 'first';
INSERT INTO user_lesson_progress (user_id, lesson_id)
    SELECT '00000000-0000-0000-0000-0000000000aa', id FROM lessons WHERE slug = 'third';
INSERT INTO user_lesson_progress (user_id, lesson_id)
    SELECT '00000000-0000-0000-0000-0000000000bb', id FROM lessons WHERE slug = 'second';
INSERT INTO user_stage_progress (user_id, stage_id, lessons_total, lessons_completed, status, completed_at, achieved_at)
    SELECT v.user_id::uuid, s.id, v.total, v.done, v.status::lesson_status, v.at, v.at
    FROM (VALUES
        ('00000000-0000-0000-0000-0000000000aa', 'start', 1, 1, 'completed', now()),
        ('00000000-0000-0000-0000-0000000000aa', 'empty', 0, 0, 'available', NULL),
        ('00000000-0000-0000-0000-0000000000aa', 'finish', 2, 0, 'in_progress', NULL),
        ('00000000-0000-0000-0000-0000000000bb', 'start', 1, 0, 'in_progress', NULL),
        ('00000000-0000-0000-0000-0000000000bb', 'empty', 0, 0, 'locked', NULL),
        ('00000000-0000-0000-0000-0000000000bb', 'finish', 2, 0, 'locked', NULL)
    ) v (user_id, slug, total, done, status, at)
    JOIN stages s ON s.slug = v.slug;
INSERT INTO user_roadmap_progress
    (user_id, roadmap_id, lessons_total, lessons_completed, stages_total, stages_completed, status)
    SELECT v.user_id::uuid, r.id, 3, v.done, 2, v.done, 'in_progress'
    FROM (VALUES ('00000000-0000-0000-0000-0000000000aa', 1), ('00000000-0000-0000-0000-0000000000bb', 0)) v (user_id, done)
    JOIN roadmaps r ON r.slug = 'way';
UPDATE progress_dirty SET done_seq = requested_seq;
INSERT INTO showcase_projects (id, user_id, title, status, published_at, likes_count)
    VALUES ('00000000-0000-0000-0000-00000000000f', '00000000-0000-0000-0000-0000000000aa', 'P', 'published', now(), 1);
INSERT INTO project_likes (project_id, user_id)
    VALUES ('00000000-0000-0000-0000-00000000000f', '00000000-0000-0000-0000-0000000000bb');
DELETE FROM likes_dirty;
INSERT INTO tool_chats (id, user_id, tool_type)
    VALUES ('00000000-0000-0000-0000-00000000000c', '00000000-0000-0000-0000-0000000000aa', 'assistant');
INSERT INTO tool_messages (id, chat_id, role, content, created_at) VALUES
    ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-00000000000c', 'assistant', 'Before', now() - interval '1 year'),
    ('00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-00000000000c', 'user', 'Q', now()),
    ('00000000-0000-0000-0000-000000000003', '00000000-0000-0000-0000-00000000000c', 'assistant', 'A', now());
INSERT INTO ai_replies (id, chat_id, user_id, question_id, answer_id, instruction_id, question, state, finished_at)
    SELECT '00000000-0000-0000-0000-00000000000e', '00000000-0000-0000-0000-00000000000c',
        '00000000-0000-0000-0000-0000000000aa', '00000000-0000-0000-0000-000000000002',
        '00000000-0000-0000-0000-000000000003', id, 'Q', 'completed', now()
    FROM ai_system_instructions WHERE tool_type = 'assistant';
INSERT INTO activity_log (id, occurred_at, actor_id, action) VALUES
    (gen_random_uuid(), now(), '00000000-0000-0000-0000-0000000000aa', 'lesson.completed'),
    (gen_random_uuid(), now(), '00000000-0000-0000-0000-0000000000bb', 'lesson.started');
DELETE FROM apalis.jobs;
";

async fn settled() -> TestDb {
    let test = TestDb::new().await;
    let mut tx = test.db.begin().await.unwrap();
    import(&mut tx, &parse(COURSE).unwrap(), |_, _| {}).await.unwrap();
    tx.commit().await.unwrap();
    run(test.pool(), SETTLED).await;
    test
}

async fn run(pool: &PgPool, statements: &'static str) {
    sqlx::raw_sql(statements).execute(pool).await.unwrap();
}

fn kinds(report: &Report) -> Vec<Kind> {
    report.findings.iter().map(|finding| finding.kind).collect()
}

/// Plants a difference and returns what is found in strict mode and while jobs may be running.
async fn found(statements: &'static str) -> (Report, Vec<Kind>) {
    let test = settled().await;
    run(test.owner(), statements).await;
    let strict = verify(test.pool(), Mode::Strict).await.unwrap();
    (strict, kinds(&verify(test.pool(), Mode::WhileRunning).await.unwrap()))
}

/// Plants a difference of one kind that both modes must find, and returns the stored and the expected value.
async fn only(kind: Kind, statements: &'static str) -> (serde_json::Value, serde_json::Value) {
    let (report, running) = found(statements).await;
    assert_eq!((kinds(&report), running), (vec![kind], vec![kind]), "{report:#?}");
    let finding = report.of(kind).unwrap();
    assert_eq!((finding.total, finding.differences.len()), (1, 1), "{report:#?}");
    let difference = finding.differences[0].clone();
    (difference.stored, difference.expected)
}

#[tokio::test]
async fn finds_nothing_in_an_empty_database() {
    let test = TestDb::new().await;
    let report = verify(test.pool(), Mode::Strict).await.unwrap();
    assert!(report.is_clean(), "{report:#?}");
}

#[tokio::test]
async fn finds_nothing_when_everything_is_up_to_date() {
    let test = settled().await;
    for mode in [Mode::Strict, Mode::WhileRunning] {
        let report = verify(test.pool(), mode).await.unwrap();
        assert!(report.is_clean(), "{report:#?}");
    }
}

#[tokio::test]
async fn finds_a_fact_that_contradicts_itself() {
    only(
        Kind::FactShape,
        "ALTER TABLE user_lesson_progress DROP CONSTRAINT user_lesson_progress_completed_at;
         ALTER TABLE user_lesson_progress DISABLE TRIGGER USER;
         UPDATE user_lesson_progress SET completed_at = now() WHERE user_id::text LIKE '%bb'",
    )
    .await;
}

#[tokio::test]
async fn finds_wrong_stage_counts() {
    let (stored, expected) = only(
        Kind::StageProgress,
        "UPDATE user_stage_progress SET lessons_completed = 1 WHERE lessons_total = 2 AND status = 'in_progress'",
    )
    .await;
    assert_eq!((&stored["percent"], &expected["percent"]), (&50.into(), &0.into()));
    let (_, expected) = only(
        Kind::StageProgress,
        "UPDATE user_stage_progress SET lessons_total = 7 WHERE lessons_total = 2 AND status = 'locked'",
    )
    .await;
    assert_eq!(expected["lessons_total"], 2);
}

#[tokio::test]
async fn finds_a_wrong_stage_status() {
    let (stored, expected) = only(
        Kind::StageProgress,
        "UPDATE user_stage_progress SET status = 'available' WHERE status = 'locked' AND lessons_total = 2",
    )
    .await;
    assert_eq!((&stored["status"], &expected["status"]), (&"available".into(), &"locked".into()));
}

#[tokio::test]
async fn finds_a_completion_that_is_no_longer_one() {
    let (_, expected) = only(
        Kind::StageProgress,
        "ALTER TABLE user_stage_progress DROP CONSTRAINT user_stage_progress_completed_at;
         UPDATE user_stage_progress SET completed_at = NULL WHERE status = 'completed'",
    )
    .await;
    assert_eq!(expected["status"], "completed");
    only(
        Kind::RoadmapProgress,
        "ALTER TABLE user_roadmap_progress DROP CONSTRAINT user_roadmap_progress_completed_at;
         UPDATE user_roadmap_progress SET completed_at = now(), achieved_at = now() WHERE lessons_completed = 1",
    )
    .await;
    only(
        Kind::StageProgress,
        "ALTER TABLE user_stage_progress DROP CONSTRAINT user_stage_progress_achieved_at;
         UPDATE user_stage_progress SET achieved_at = NULL WHERE status = 'completed'",
    )
    .await;
}

#[tokio::test]
async fn finds_missing_rows() {
    let (stored, _) = only(Kind::StageProgress, "DELETE FROM user_stage_progress WHERE status = 'completed'").await;
    assert!(stored.is_null());
    let (stored, expected) =
        only(Kind::RoadmapProgress, "DELETE FROM user_roadmap_progress WHERE lessons_completed = 1").await;
    assert!(stored.is_null());
    assert_eq!(expected["percent"], 33);
}

#[tokio::test]
async fn finds_wrong_roadmap_numbers() {
    for statement in [
        "UPDATE user_roadmap_progress SET lessons_total = 4 WHERE lessons_completed = 1",
        "UPDATE user_roadmap_progress SET stages_total = 3 WHERE lessons_completed = 1",
        "UPDATE user_roadmap_progress SET stages_completed = 0 WHERE lessons_completed = 1",
        "UPDATE user_roadmap_progress SET status = 'available' WHERE lessons_completed = 1",
    ] {
        only(Kind::RoadmapProgress, statement).await;
    }
}

#[tokio::test]
async fn finds_a_wrong_percent_of_a_user() {
    let (stored, expected) =
        only(Kind::UserProgress, "UPDATE users SET progress_percent = 34 WHERE progress_percent = 33").await;
    assert_eq!((&stored["progress_percent"], &expected["progress_percent"]), (&34.into(), &33.into()));
    only(Kind::UserProgress, "UPDATE users SET progress_percent = NULL WHERE progress_percent = 0").await;
    only(Kind::UserProgress, "UPDATE users SET progress_percent = 0 WHERE email LIKE 'c@%'").await;
}

#[tokio::test]
async fn finds_a_fact_without_a_marker() {
    // Starts another roadmap without the trigger that would have set the marker.
    let (report, _) = found(
        "ALTER TABLE user_lesson_progress DISABLE TRIGGER USER;
         INSERT INTO user_lesson_progress (user_id, lesson_id)
             SELECT u.id, l.id FROM users u, lessons l WHERE u.email LIKE 'b@%' AND l.slug = 'elsewhere'",
    )
    .await;
    assert_eq!(kinds(&report), [Kind::StageProgress, Kind::RoadmapProgress], "{report:#?}");
    assert_eq!(report.of(Kind::RoadmapProgress).unwrap().differences[0].stored, serde_json::Value::Null);
}

#[tokio::test]
async fn follows_the_current_content() {
    // The stored progress of hidden content is ignored.
    let (report, _) = found(
        "ALTER TABLE roadmaps DISABLE TRIGGER content_changed;
         UPDATE user_roadmap_progress SET lessons_total = 50;
         UPDATE users SET progress_percent = NULL;
         UPDATE roadmaps SET publication = 'archived'",
    )
    .await;
    assert!(report.is_clean(), "{report:#?}");
    let (report, _) = found(
        "ALTER TABLE lessons DISABLE TRIGGER content_changed;
         UPDATE lessons SET publication = 'draft' WHERE slug = 'second'",
    )
    .await;
    assert_eq!(kinds(&report), [Kind::StageProgress, Kind::RoadmapProgress, Kind::UserProgress], "{report:#?}");
}

#[tokio::test]
async fn finds_a_wrong_number_of_likes() {
    let (stored, expected) = only(Kind::LikesCount, "UPDATE showcase_projects SET likes_count = 5").await;
    assert_eq!((&stored["likes_count"], &expected["likes_count"]), (&5.into(), &1.into()));
    only(Kind::LikesCount, "ALTER TABLE project_likes DISABLE TRIGGER USER; DELETE FROM project_likes").await;
}

#[tokio::test]
async fn finds_a_wrong_trending_rank() {
    let (stored, expected) = only(
        Kind::TrendingLikes,
        "UPDATE showcase_projects SET trending_likes = 2, trending_since = now() - interval '7 days'",
    )
    .await;
    assert_eq!((&stored["trending_likes"], &expected["trending_likes"]), (&2.into(), &1.into()));
    only(Kind::TrendingLikes, "UPDATE showcase_projects SET trending_since = now() - interval '7 days'").await;
    let (report, _) = found(
        "UPDATE showcase_projects SET trending_likes = 0, trending_since = now();
         UPDATE project_likes SET created_at = now() - interval '1 hour';
         DELETE FROM likes_dirty",
    )
    .await;
    assert!(report.is_clean(), "a like before the seven days does not count: {report:#?}");
}

#[tokio::test]
async fn finds_markers_only_in_strict_mode() {
    for (kind, statement) in [
        (
            Kind::ProgressMarker,
            "UPDATE progress_dirty SET requested_seq = requested_seq + 1 WHERE user_id::text LIKE '%aa'",
        ),
        (Kind::LikesMarker, "INSERT INTO likes_dirty (project_id) SELECT id FROM showcase_projects"),
        (Kind::TasksMarker, "INSERT INTO lesson_tasks_dirty (lesson_id) SELECT id FROM lessons WHERE slug = 'first'"),
        (
            Kind::TrendingWindow,
            "UPDATE showcase_projects SET trending_likes = 1, trending_since = now() - interval '8 days'",
        ),
        (Kind::RoadmapRecompute, "UPDATE roadmaps SET content_version = content_version + 1 WHERE slug = 'way'"),
    ] {
        let (report, running) = found(statement).await;
        assert_eq!((kinds(&report), running), (vec![kind], vec![]), "{report:#?}");
    }
}

#[tokio::test]
async fn ignores_numbers_with_a_pending_job_while_running() {
    for statement in [
        // A learner changes a fact.
        "UPDATE user_lesson_progress SET status = 'completed', completed_at = now() WHERE status = 'in_progress'",
        // Content changes.
        "UPDATE stage_lessons SET is_required = true",
        // Likes come in.
        "INSERT INTO project_likes (project_id, user_id) SELECT p.id, u.id FROM showcase_projects p, users u WHERE u.email LIKE 'c@%'",
    ] {
        let (report, running) = found(statement).await;
        assert!(!report.is_clean());
        assert_eq!(running, [], "{statement}");
    }
}

#[tokio::test]
async fn finds_unfinished_and_dead_jobs() {
    let job = "INSERT INTO apalis.jobs (id, job_type, job) VALUES ('1', 'activity', '')";
    let (report, running) = found(job).await;
    assert_eq!((kinds(&report), running), (vec![Kind::JobUnfinished], vec![]));
    let (report, _) = found("INSERT INTO apalis.jobs (id, job_type, job) VALUES ('1', 'maintenance', '')").await;
    assert!(report.is_clean(), "{report:#?}");
    only(
        Kind::JobDead,
        "INSERT INTO apalis.jobs (id, job_type, job, status) VALUES ('1', 'maintenance', '', 'Killed')",
    )
    .await;
    only(
        Kind::JobDead,
        "INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts) VALUES ('1', 'likes', '', 'Failed', 3, 3)",
    )
    .await;
}

#[tokio::test]
async fn finds_completed_replies_without_their_answer() {
    let (stored, _) = only(Kind::ReplyAnswer, "DELETE FROM tool_messages WHERE content = 'A'").await;
    assert!(stored["answer_id"].is_null());
    only(Kind::ReplyAnswer, "UPDATE tool_messages SET role = 'user' WHERE content = 'A'").await;
    let (_, expected) = only(
        Kind::ReplyAnswer,
        "INSERT INTO tool_messages (chat_id, role, content) SELECT chat_id, 'assistant', 'A again' FROM ai_replies",
    )
    .await;
    assert!(expected.is_null());
    let (report, _) = found("DELETE FROM tool_messages").await;
    assert!(report.is_clean(), "a chat may be cleared: {report:#?}");
}

#[tokio::test]
async fn finds_open_replies_without_a_job() {
    only(
        Kind::ReplyWithoutJob,
        "UPDATE ai_replies SET state = 'streaming', finished_at = NULL, answer_id = NULL;
         DELETE FROM tool_messages WHERE content = 'A';
         INSERT INTO apalis.jobs (id, job_type, job, status) VALUES ('1', 'replies', '\\xff00', 'Done')",
    )
    .await;
    let (report, running) = found(
        "UPDATE ai_replies SET state = 'queued', finished_at = NULL, answer_id = NULL;
         DELETE FROM tool_messages WHERE content = 'A';
         INSERT INTO apalis.jobs (id, job_type, job)
             SELECT '1', 'replies', convert_to(format('{\"data\": {\"reply_id\": \"%s\"}}', id), 'UTF8') FROM ai_replies",
    )
    .await;
    assert_eq!((kinds(&report), running), (vec![Kind::JobUnfinished], vec![]), "{report:#?}");
}

#[tokio::test]
async fn finds_users_whose_last_activity_is_behind() {
    only(Kind::LastActiveAt, "UPDATE users SET last_active_at = now() - interval '61 seconds' WHERE email LIKE 'a@%'")
        .await;
    only(Kind::LastActiveAt, "UPDATE users SET last_active_at = NULL WHERE email LIKE 'b@%'").await;
}

#[tokio::test]
async fn finds_addresses_with_a_foreign_key() {
    let (stored, expected) = only(Kind::EmailKey, "UPDATE users SET email = 'C@Example.test' WHERE email LIKE 'c@%'; UPDATE users SET email_key = 'c@Example.test' WHERE email LIKE 'C@%'").await;
    assert_eq!((&stored["email_key"], &expected["email_key"]), (&"c@Example.test".into(), &"c@example.test".into()));
    let (_, expected) = only(Kind::EmailKey, "UPDATE users SET email = 'no address' WHERE email LIKE 'c@%'").await;
    assert!(expected.is_null());
}

#[tokio::test]
async fn finds_activity_outside_the_monthly_partitions() {
    only(
        Kind::ActivityPartition,
        "INSERT INTO activity_log (id, occurred_at, action) VALUES (gen_random_uuid(), '2001-01-01Z', 'user.registered')",
    )
    .await;
}

#[tokio::test]
async fn lists_a_thousand_and_counts_all() {
    let (report, _) = found(
        "INSERT INTO users (email, first_name, progress_percent)
             SELECT n || '@example.test', 'Learner', 50 FROM generate_series(1, 1500) n",
    )
    .await;
    let finding = report.of(Kind::UserProgress).unwrap();
    assert_eq!((finding.total, finding.differences.len(), report.total()), (1500, 1000, 1500));
}

#[tokio::test]
async fn finds_what_is_left_of_a_user_who_deleted_their_account() {
    const ERASED: &str = "UPDATE users SET deleted_at = now(), erased_at = now(), email = id || '@deleted.invalid',
        email_key = id || '@deleted.invalid', first_name = 'Deleted', last_active_at = NULL WHERE email LIKE 'c@%';";
    let report = found(ERASED).await;
    assert!(report.0.is_clean() && report.1.is_empty(), "{report:#?}");
    for (statement, table) in [
        ("UPDATE users SET last_name = 'C' WHERE erased_at IS NOT NULL", "users"),
        (
            "INSERT INTO user_prompt_favorites (user_id, prompt_id) SELECT u.id, p.id FROM users u,
                 (SELECT id FROM prompts LIMIT 1) p WHERE erased_at IS NOT NULL",
            "user_prompt_favorites",
        ),
        (
            "INSERT INTO sessions (user_id, expires_at) SELECT id, now() FROM users WHERE erased_at IS NOT NULL",
            "sessions",
        ),
    ] {
        let test = settled().await;
        run(
            test.pool(),
            "INSERT INTO prompt_categories (slug, name, kind) VALUES ('cc', 'C', 'design');
             INSERT INTO prompts (category_id, slug, title, body) SELECT id, 'pp', 'P', 'B' FROM prompt_categories",
        )
        .await;
        run(test.pool(), ERASED).await;
        run(test.pool(), statement).await;
        let report = verify(test.pool(), Mode::Strict).await.unwrap();
        assert_eq!(kinds(&report), [Kind::ErasedUser], "{report:#?}");
        assert_eq!(report.of(Kind::ErasedUser).unwrap().differences[0].stored["left"][0], table);
        run(test.pool(), "INSERT INTO erasures (user_id) SELECT id FROM users WHERE erased_at IS NOT NULL").await;
        let report = verify(test.pool(), Mode::Strict).await.unwrap();
        assert!(report.is_clean(), "its last part is still to come: {report:#?}");
    }
}
