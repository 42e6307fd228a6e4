//! Every page of a long list is read by way of an index: it costs as much as its items, not as the list is long.

use cairn_core::actor::{Caller, Origin, Role};
use cairn_core::community::projects::{ProjectCategory, ProjectStatus};
use cairn_core::community::showcase::{self, Filter};
use cairn_core::learning::students;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use cairn_testing::database::{TestDb, rows};

const LIMIT: i64 = 21;

/// 100,000 students. All have started the first roadmap; a few, who were not active of late, the second.
const STUDENTS: &str = "
    INSERT INTO roadmaps (slug, title, publication) SELECT 'roadmap-' || n, 'R', 'published' FROM generate_series(1, 2) n;
    INSERT INTO stages (roadmap_id, slug, title, publication, position)
        SELECT id, 'stage-' || n, 'S', 'published', n FROM roadmaps, generate_series(1, 4) n;
    INSERT INTO users (id, email, email_key, first_name, last_name, last_active_at, created_at, progress_percent)
        SELECT gen_random_uuid(), n || '@example.test', n || '@example.test', (ARRAY['Anna', 'Ben', 'Cleo', 'Dora'])[1 + n % 4] || n,
            (ARRAY['Berg', 'Olsen', 'Anders'])[1 + n % 3] || n,
            CASE WHEN n % 10 > 0 THEN now() - n * interval '1 minute' END, now() - interval '100 days', n % 101
        FROM generate_series(1, 100000) n;
    INSERT INTO user_roadmap_progress
        (user_id, roadmap_id, lessons_total, lessons_completed, stages_total, stages_completed, status)
        SELECT u.id, r.id, 9, 1, 4, 0, 'in_progress' FROM users u, roadmaps r WHERE r.slug = 'roadmap-1';
    INSERT INTO user_roadmap_progress
        (user_id, roadmap_id, lessons_total, lessons_completed, stages_total, stages_completed, status)
        SELECT u.id, r.id, 9, 1, 4, 0, 'in_progress'
        FROM (SELECT id FROM users WHERE last_active_at IS NOT NULL ORDER BY last_active_at LIMIT 40) u, roadmaps r
        WHERE r.slug = 'roadmap-2';
    INSERT INTO user_stage_progress (user_id, stage_id, lessons_total, lessons_completed, status)
        SELECT p.user_id, s.id, 3, 1, 'in_progress' FROM user_roadmap_progress p JOIN stages s USING (roadmap_id)
";

/// 60,000 projects of one author, most of them published.
const PROJECTS: &str = "
    INSERT INTO users (id, email, email_key, first_name)
        VALUES ('00000000-0000-7000-8000-000000000001', 'a@example.test', 'a@example.test', 'A');
    INSERT INTO showcase_projects
        (user_id, title, description, status, category, published_at, submitted_at, likes_count, trending_likes,
         trending_since, created_at, deleted_at)
        SELECT '00000000-0000-7000-8000-000000000001', 'P' || n, repeat('x', 500),
            CASE WHEN n % 500 = 0 THEN 'submitted' WHEN n % 501 = 0 THEN 'rejected' ELSE 'published' END::project_status,
            CASE WHEN n % 100 = 1 THEN 'bot' ELSE 'website' END::project_category,
            now() - n * interval '1 minute', now() - n * interval '1 minute', n % 97, n % 13, now(),
            now() - n * interval '1 minute', CASE WHEN n % 300 = 7 THEN now() END
        FROM generate_series(1, 60000) n
";

async fn filled(statements: &str) -> TestDb {
    let test = TestDb::new().await;
    test.fill(statements).await;
    test
}

/// Rows that this transaction has read so far.
async fn rows_read(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar(
        "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint FROM pg_stat_xact_user_tables
         WHERE relname IN
             ('users', 'user_stage_progress', 'user_roadmap_progress', 'showcase_projects', 'project_likes', 'likes_dirty')",
    )
    .fetch_one(connection)
    .await
    .unwrap()
}

/// The result of `$list`, which reads at most `$most` rows.
macro_rules! cheap {
    ($tx:ident, $most:expr, $list:expr) => {{
        let before = rows_read(&mut $tx).await;
        let page = $list.await.unwrap();
        let read = rows_read(&mut $tx).await - before;
        assert!(read <= $most, "{read} rows were read, more than {}, by {}", $most, stringify!($list));
        page
    }};
}

#[tokio::test]
async fn pages_of_students_read_what_they_show() {
    let test = filled(STUDENTS).await;
    let roadmaps: Vec<(Uuid,)> = rows(test.pool(), "SELECT id FROM roadmaps ORDER BY slug").await;
    let stages: Vec<(Uuid,)> =
        rows(test.pool(), "SELECT s.id FROM stages s JOIN roadmaps r ON r.id = roadmap_id ORDER BY r.slug, s.slug")
            .await;
    let all = students::Filter::default();
    let many = students::Filter { roadmap_id: Some(roadmaps[0].0), ..all };
    let few = students::Filter { roadmap_id: Some(roadmaps[1].0), ..all };
    let many_at = students::Filter { stage_id: Some(stages[0].0), ..all };
    let few_at = students::Filter { stage_id: Some(stages[4].0), ..all };
    let stalled = students::Filter { stalled_days: Some(30), ..all };
    let deep = Some((test.db.clock().now() - chrono::TimeDelta::days(60), Uuid::max()));
    let mut tx = test.db.begin().await.unwrap();
    // Besides the students of the page, what they have started; with a filter, up to two thousand rows to see how many match.
    let (plain, filtered) = (LIMIT * 20, 2001 + LIMIT * 40);
    for (filter, most) in
        [(all, plain), (stalled, plain), (many, filtered), (few, filtered), (many_at, filtered), (few_at, filtered)]
    {
        let page = cheap!(tx, most, students::list_by_activity(&mut tx, filter, None, LIMIT));
        assert_eq!(page.len(), 21, "{filter:?}");
        let next = page[9].activity_key();
        assert_eq!(cheap!(tx, most, students::list_by_activity(&mut tx, filter, Some(next), LIMIT))[0].id, page[10].id);
        let page = cheap!(tx, most, students::list_by_name(&mut tx, filter, "", None, LIMIT));
        assert_eq!(page.len(), 21, "{filter:?}");
        let next = page[9].name_key.clone();
        assert_eq!(cheap!(tx, most, students::list_by_name(&mut tx, filter, "", next, LIMIT))[0].id, page[10].id);
    }
    assert_eq!(cheap!(tx, plain, students::list_by_activity(&mut tx, all, deep, LIMIT)).len(), 21);
    let deep = Some(((1, "dora5".to_owned()), Uuid::nil()));
    assert_eq!(cheap!(tx, plain, students::list_by_name(&mut tx, all, "", deep, LIMIT)).len(), 21);
    for (text, found) in
        [("an", 21), ("anders", 21), ("olsen99", 21), ("cleo2", 21), ("anna4 olsen4", 1), ("x", 0), ("%", 0)]
    {
        let page = cheap!(tx, plain * 2, students::list_by_name(&mut tx, all, text, None, LIMIT));
        assert_eq!(page.len(), found, "{text}");
    }
    let deep = Some(((2, "berg5".to_owned()), Uuid::nil()));
    assert_eq!(cheap!(tx, plain * 2, students::list_by_name(&mut tx, all, "berg", deep, LIMIT)).len(), 21);
    tx.rollback().await.unwrap();
}

#[tokio::test]
async fn pages_of_projects_read_what_they_show() {
    let test = filled(PROJECTS).await;
    let author = Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0001);
    let caller = Caller { user_id: author, session_id: Uuid::nil(), role: Role::Admin, origin: Origin::default() };
    let mut tx = test.db.begin().await.unwrap();
    let most = LIMIT * 8;
    let old: DateTime<Utc> = test.db.clock().now() - chrono::TimeDelta::days(30);
    for category in [None, Some(ProjectCategory::Website), Some(ProjectCategory::Bot)] {
        for after in [None, Some((old, Uuid::max()))] {
            let page = cheap!(tx, most, showcase::list_newest(&mut tx, &caller, category, after, LIMIT));
            assert_eq!(page.len(), 21);
        }
        for after in [None, Some((50, Uuid::max()))] {
            let page = cheap!(tx, most, showcase::list_popular(&mut tx, &caller, category, after, LIMIT));
            assert_eq!(page.len(), 21);
        }
        for after in [None, Some((6, Uuid::max()))] {
            let page = cheap!(tx, most, showcase::list_trending(&mut tx, &caller, category, after, LIMIT));
            assert_eq!(page.len(), 21);
        }
    }
    for after in [None, Some((old, Uuid::max()))] {
        assert_eq!(cheap!(tx, most, showcase::list_own(&mut tx, &caller, None, after, LIMIT)).len(), 21);
        assert_eq!(cheap!(tx, most, showcase::list_submitted(&mut tx, &caller, after, LIMIT)).len(), 21);
        for (deleted, status) in [
            (false, None),
            (true, None),
            (false, Some(ProjectStatus::Rejected)),
            (true, Some(ProjectStatus::Published)),
        ] {
            let filter = Filter { deleted, status, author_id: None };
            assert_eq!(cheap!(tx, most, showcase::list_all(&mut tx, &caller, filter, after, LIMIT)).len(), 21);
        }
        let filter = Filter { author_id: Some(author), ..Filter::default() };
        assert_eq!(cheap!(tx, most * 2, showcase::list_all(&mut tx, &caller, filter, after, LIMIT)).len(), 21);
    }
    tx.rollback().await.unwrap();
}
