//! What `cairn import-legacy` carries over: every row is mapped or named, people and contents are as they were.

use std::collections::{BTreeMap, BTreeSet};

use cairn_core::db::Db;
use cairn_core::users::accounts::find_credentials;
use cairn_core::users::passwords::{Passwords, Verdict};
use cairn_core::users::rules::Email;
use serde_json::Value;
use sqlx::PgPool;

use super::{Ids, Legacy, PASSWORD, everything, scalar};
use crate::support::Sandbox;

/// The lines of a report: the numbers of each table, and the rows that were skipped or changed.
struct Lines {
    tables: BTreeMap<String, Value>,
    skipped: BTreeSet<(String, String)>,
    changed: BTreeSet<(String, String)>,
}

fn lines(sandbox: &Sandbox, file: &str) -> Lines {
    let text = std::fs::read_to_string(sandbox.path().join(file)).unwrap();
    let mut lines = Lines { tables: BTreeMap::new(), skipped: BTreeSet::new(), changed: BTreeSet::new() };
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let table = line["table"].as_str().unwrap().to_owned();
        let Some(outcome) = line["outcome"].as_str() else {
            lines.tables.insert(table, line);
            continue;
        };
        assert!(!line["reason"].as_str().unwrap().is_empty(), "{line}");
        let row = (table, line["id"].as_str().unwrap().to_owned());
        if outcome == "skipped" {
            lines.skipped.insert(row)
        } else {
            lines.changed.insert(row)
        };
    }
    lines
}

/// The rows whose parent is gone, that say nothing readable, or that have no place here: table and ids.
const SKIPPED: [(&str, &str); 18] = [
    ("admin_calls", "1"),
    ("glossary_terms", "2"),
    ("homework", "1"),
    ("lesson_materials", "2"),
    ("lesson_materials", "3"),
    ("lessons", "5"),
    ("platform_settings", "2"),
    ("project_likes", "4"),
    ("prompt_steps", "2"),
    ("roadmap_steps", "3"),
    ("showcase_projects", "3"),
    ("tool_chats", "2"),
    ("tool_chats", "3"),
    ("tool_messages", "3"),
    ("tool_messages", "4"),
    ("user_lesson_progress", "5"),
    ("user_lesson_progress", "6"),
    ("user_lesson_task_progress", "2"),
];

fn expected_skips(ids: Ids) -> BTreeSet<(String, String)> {
    let mut skips: BTreeSet<_> = SKIPPED.iter().map(|(table, n)| ((*table).to_owned(), ids.id(n))).collect();
    skips.insert(("user_favorite_prompts".to_owned(), format!("{}/{}", ids.id("1"), ids.id("66"))));
    skips.insert(("user_roadmap_step_progress".to_owned(), ids.id("3")));
    skips
}

/// Asserts that the report accounts for every row that the old database has.
async fn assert_complete(legacy: &Legacy, report: &Lines) {
    let pool = legacy.pool().await;
    let tables: Vec<String> = sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(report.tables.keys().cloned().collect::<BTreeSet<_>>(), tables.iter().cloned().collect());
    for table in tables {
        let rows: i64 = scalar(&pool, &format!("SELECT count(*) FROM \"{table}\"")).await;
        let line = &report.tables[&table];
        let number = |name: &str| line[name].as_i64().unwrap();
        assert_eq!(number("read"), rows, "{line}");
        let sum = number("mapped") + number("already_there") + number("derived") + number("skipped");
        assert_eq!(sum, rows, "{line}");
        let named = report.skipped.iter().filter(|(name, _)| *name == table).count();
        assert_eq!(i64::try_from(named).unwrap(), number("skipped"), "{line}");
    }
}

async fn carried_over(ids: Ids) {
    let legacy = Legacy::with(&ids.sql()).await;
    let before = everything(&legacy.pool().await).await;
    let sandbox = Sandbox::with_database().await;
    let pool = sandbox.pool().await;
    let empty = everything(&pool).await;

    let run = legacy.run(&sandbox, &["import-legacy", "--dry-run", "--report", "dry.jsonl"]);
    assert!(run.leaves_out(20).contains("dry run: nothing was written"), "{run:?}");
    assert_eq!(everything(&pool).await, empty);

    let run = legacy.run(&sandbox, &["import-legacy", "--report", "first.jsonl"]);
    run.leaves_out(20);
    let (dry, first) = (lines(&sandbox, "dry.jsonl"), lines(&sandbox, "first.jsonl"));
    assert_complete(&legacy, &first).await;
    assert_eq!(first.skipped, expected_skips(ids));
    assert_eq!((&dry.tables, &dry.skipped, &dry.changed), (&first.tables, &first.skipped, &first.changed));
    let changed = |table: &str, n: &str| first.changed.contains(&(table.to_owned(), ids.id(n)));
    for (table, n) in
        [("users", "2"), ("users", "5"), ("users", "6"), ("lessons", "2"), ("lessons", "3"), ("lessons", "4")]
    {
        assert!(changed(table, n), "{table} {n}: {:?}", first.changed);
    }
    assert!(!changed("users", "1") && !changed("lessons", "1"), "{:?}", first.changed);

    people(&sandbox, &pool, ids).await;
    contents(&pool).await;

    let settled = everything(&pool).await;
    let run = legacy.run(&sandbox, &["import-legacy", "--report", "second.jsonl"]);
    let second = lines(&sandbox, "second.jsonl");
    assert!(run.leaves_out(20).contains("\n0 of "), "{run:?}");
    assert!(second.tables.values().all(|line| line["mapped"] == 0), "{:?}", second.tables);
    assert_eq!(second.skipped, first.skipped);
    assert_eq!(everything(&pool).await, settled, "the second run changed something");
    assert_complete(&legacy, &second).await;

    let db = Db::connect(sandbox.database().url(), sandbox.database().url(), 8).unwrap();
    cairn_worker::testing::run_jobs(&db).await.unwrap();
    assert_eq!(sandbox.run(&["verify"]).ok(), "verify: no differences\n");
    assert_eq!(everything(&legacy.pool().await).await, before, "the old database was changed");
}

#[tokio::test]
async fn a_platform_with_uuids_and_enums_is_carried_over() {
    carried_over(Ids::Uuids).await;
}

#[tokio::test]
async fn a_platform_with_numbers_and_words_is_carried_over() {
    carried_over(Ids::Numbers).await;
}

/// Learners sign in with their old passwords, under whichever writing of their address they like.
async fn people(sandbox: &Sandbox, pool: &PgPool, ids: Ids) {
    let db = Db::connect(sandbox.database().url(), sandbox.database().url(), 2).unwrap();
    let mut connection = db.pool().acquire().await.unwrap();
    for (address, name, role) in [
        ("anna@EXAMPLE.test", "Анна Иванова", "student"),
        ("boris@example.test", "Борис", "mentor"),
        ("root@example.test", "Админ", "admin"),
    ] {
        let email = Email::parse(address).unwrap();
        let account = find_credentials(&mut connection, &email).await.unwrap().unwrap();
        assert_eq!((account.user.name().as_str(), account.is_suspended), (name, false));
        let stored: String =
            scalar(pool, &format!("SELECT role::text FROM users WHERE id = '{}'", account.user.id)).await;
        assert_eq!(stored, role);
        let verdict = Passwords::patient().verify(PASSWORD, account.password_hash.as_deref()).await;
        assert!(verdict.is_ok_and(Verdict::is_match), "{address}");
    }
    // Whoever was active last keeps an address that two accounts had; the other account is there and has none.
    let adopted: i64 = scalar(pool, "SELECT count(*) FROM users WHERE email = id || '@adopted.invalid'").await;
    assert_eq!(adopted, 2);
    let suspended: String =
        scalar(pool, "SELECT string_agg(first_name, ',') FROM users WHERE status = 'suspended'").await;
    assert_eq!(suspended, "Вера");
    let deleted: String =
        scalar(pool, "SELECT first_name || coalesce(password_hash, '') FROM users WHERE deleted_at IS NOT NULL").await;
    assert_eq!(deleted, "Learner");
    if matches!(ids, Ids::Uuids) {
        let kept: String = scalar(pool, "SELECT id::text FROM users WHERE last_name = 'Иванова'").await;
        assert_eq!(kept, ids.id("1"), "an id that is a UUID stays");
    }
}

async fn contents(pool: &PgPool) {
    for (query, expected) in [
        (
            "SELECT string_agg(slug, ',' ORDER BY slug) FROM lessons WHERE title = 'Первый урок'",
            "pervyy-urok,pervyy-urok-2",
        ),
        (
            "SELECT string_agg(duration_minutes::text, ',' ORDER BY slug) FROM lessons WHERE title = 'Первый урок'",
            "15,90",
        ),
        (
            "SELECT string_agg(publication::text, ',' ORDER BY position) FROM course_modules WHERE title <> 'Лендинг' AND position > 0",
            "published,published,draft",
        ),
        ("SELECT string_agg(title, ',') FROM lessons WHERE title LIKE 'Третий%'", "Третий"),
        ("SELECT likes_count::text FROM showcase_projects WHERE title = 'Мой сайт'", "2"),
        ("SELECT string_agg(status::text, ',' ORDER BY title) FROM showcase_projects", "published,submitted"),
        ("SELECT string_agg(tags::text, '') FROM glossary_terms", "{апи,ручка}"),
        (
            "SELECT string_agg(key || value::text, ',' ORDER BY key) FROM platform_settings WHERE value <> 'null'",
            "navigation.projectsfalse,navigation.stylesfalse",
        ),
        ("SELECT count(*)::text FROM tool_messages WHERE created_at IS NULL", "0"),
        ("SELECT string_agg(tool_type, ',' ORDER BY tool_type) FROM tool_chats", "assistant,ideas"),
        (
            "SELECT string_agg(content, ',' ORDER BY created_at, content) FROM tool_messages WHERE has_copyable_content",
            "[IDEA_START]Кот[IDEA_END]",
        ),
        // Anna: two lessons and a started one, two steps, a stage with all its tasks. Boris: a lesson and a stage begun.
        (
            "SELECT string_agg(n::text, ',' ORDER BY n) FROM (SELECT count(*) n FROM user_lesson_progress GROUP BY user_id) c",
            "2,6",
        ),
        ("SELECT count(*)::text FROM user_lesson_progress WHERE status = 'completed'", "6"),
        (
            "SELECT completed_at::date::text FROM user_lesson_progress f JOIN lessons l ON l.id = f.lesson_id WHERE l.title = 'База' AND f.status = 'completed'",
            "2024-02-04",
        ),
        (
            "SELECT string_agg(r.title || p.percent, ',' ORDER BY p.percent) FROM user_roadmap_progress p JOIN roadmaps r ON r.id = p.roadmap_id JOIN users u ON u.id = p.user_id WHERE u.last_name = 'Иванова'",
            "Этапы обучения50,Курс66,Лендинг100",
        ),
        ("SELECT count(*)::text FROM progress_dirty WHERE done_seq < requested_seq", "0"),
    ] {
        assert_eq!(scalar::<String>(pool, query).await, expected, "{query}");
    }
}

/// Columns that have no place here are named by the import, too, and in its report.
#[tokio::test]
async fn an_import_names_the_columns_that_it_leaves_out() {
    let legacy = Legacy::with(&Ids::Uuids.sql()).await;
    let sandbox = Sandbox::with_database().await;
    let run = legacy.run(&sandbox, &["import-legacy", "--dry-run", "--report", "report.jsonl"]);
    for text in ["users.telegram: 6 rows have a value", "lessons.views_count: 5 rows have a value"] {
        assert!(run.out.contains(text), "{text:?} not in {}", run.out);
    }
    let report = std::fs::read_to_string(sandbox.path().join("report.jsonl")).unwrap();
    let lines = report.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let named: Vec<Value> = lines.filter(|line| line["not_carried_over"].is_string()).collect();
    assert!(named.iter().any(|line| line["table"] == "users" && line["column"] == "telegram"), "{named:?}");
}
