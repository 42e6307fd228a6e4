//! Values that the replaced platform should not have and may have: none ends an import, and none lets through what was kept back.

use super::{HASH, Legacy, scalar};
use crate::support::Sandbox;

/// Two entries of the old navigation are one setting here, and so are two rows: the first counts, in every run.
#[tokio::test]
async fn of_settings_that_are_one_here_the_first_counts() {
    let legacy = Legacy::with(
        r#"CREATE TABLE platform_settings (id integer, setting_key text, setting_value jsonb);
           INSERT INTO platform_settings VALUES
               (1, 'navigation_config', '{"community": false, "showcase": false, "assistant": false, "chat": {"visible": false}}'),
               (2, 'navigation_config', '{"projects": true}'),
               (3, 'navigation_mobile', '{"tools": true, "styles": false}')"#,
    )
    .await;
    let sandbox = Sandbox::with_database().await;
    let run = legacy.run(&sandbox, &["import-legacy"]);
    run.leaves_out(1);
    for text in [
        "platform_settings: 1 skipped: another row decides the same setting",
        "platform_settings: 2 changed: navigation: of several entries that are one setting here, the first counts",
        "2 of 3 rows mapped",
    ] {
        assert!(run.out.contains(text), "{text:?} not in {run:?}");
    }
    let pool = sandbox.pool().await;
    let settings =
        "SELECT string_agg(key || ' ' || value::text, ',' ORDER BY key) FROM platform_settings WHERE value <> 'null'";
    let expected = "navigation.projects false,navigation.styles false,navigation.tools false";
    assert_eq!(scalar::<String>(&pool, settings).await, expected);
    let again = legacy.run(&sandbox, &["import-legacy"]);
    assert!(again.leaves_out(1).contains("0 of 3 rows mapped"), "{again:?}");
    assert_eq!(scalar::<String>(&pool, settings).await, expected);
}

/// Whoever was deleted or kept out stays so, however the platform wrote that down.
#[tokio::test]
async fn nobody_comes_to_life_because_a_value_cannot_be_read() {
    let people = [
        ("Active", "'active'", "NULL"),
        ("Empty", "''", "''"),
        ("Null", "NULL", "NULL"),
        ("Stalled", "'stalled'", "NULL"),
        ("Completed", "'Completed'", "NULL"),
        ("Zone", "'active'", "'2024-02-01 10:00:00+03'"),
        ("Infinity", "'active'", "'infinity'"),
        ("Zero", "'active'", "'0001-01-01 00:00:00'"),
        ("Dots", "'active'", "'01.02.2024'"),
        ("Inactive", "'inactive'", "NULL"),
        ("Suspended", "'suspended'", "NULL"),
        ("Banned", "'banned'", "NULL"),
        ("Deleted", "'deleted'", "NULL"),
    ];
    let rows = people.iter().map(|(name, status, deleted_at)| {
        format!("('{name}@example.test', '{HASH}', '{name}', {status}, '2024-01-01', {deleted_at})")
    });
    let rows: Vec<String> = rows.collect();
    let sql = format!(
        "CREATE TABLE users (
             id serial PRIMARY KEY, email text, password_hash text, first_name text, status text, created_at timestamptz,
             deleted_at text
         );
         INSERT INTO users (email, password_hash, first_name, status, created_at, deleted_at) VALUES {};
         CREATE TABLE course_modules (id integer PRIMARY KEY, title text, deleted_at timestamptz);
         INSERT INTO course_modules VALUES (1, 'Live', NULL), (2, 'Infinity', 'infinity'), (3, 'Zero', '0001-01-01')",
        rows.join(", ")
    );
    let legacy = Legacy::with(&sql).await;
    let sandbox = Sandbox::with_database().await;
    let run = legacy.run(&sandbox, &["import-legacy"]);
    run.ok();
    for text in [
        "users: 3 changed: deleted_at: no time that can be read; the row counts as deleted now",
        "users: 2 changed: status: a word that is not known; the account is suspended until an admin restores it",
        "course_modules: 2 changed: deleted_at: no time that can be read",
    ] {
        assert!(run.out.contains(text), "{text:?} not in {run:?}");
    }
    let pool = sandbox.pool().await;
    for (query, expected) in [
        (
            "SELECT string_agg(first_name, ',' ORDER BY first_name) FROM users WHERE deleted_at IS NULL AND status = 'active'",
            "Active,Completed,Empty,Null,Stalled",
        ),
        (
            "SELECT string_agg(first_name, ',' ORDER BY first_name) FROM users WHERE deleted_at IS NULL AND status = 'suspended'",
            "Banned,Deleted,Inactive,Suspended",
        ),
        (
            "SELECT string_agg(first_name, ',' ORDER BY first_name) FROM users WHERE deleted_at > '2025-01-01'",
            "Dots,Infinity,Zero",
        ),
        ("SELECT first_name FROM users WHERE deleted_at = '2024-02-01 07:00:00Z'", "Zone"),
        ("SELECT string_agg(title, ',') FROM course_modules WHERE deleted_at IS NULL", "Live"),
        ("SELECT string_agg(title, ',') FROM stages WHERE deleted_at IS NULL", "Live"),
    ] {
        assert_eq!(scalar::<String>(&pool, query).await, expected, "{query}");
    }
}

/// Only words that are known to show something publish it.
#[tokio::test]
async fn what_has_a_state_that_is_not_known_is_a_draft() {
    let legacy = Legacy::with(
        "CREATE TABLE course_modules (id integer PRIMARY KEY, title text, status text, sort_order integer);
         INSERT INTO course_modules VALUES
             (1, 'a', 'available', 1), (2, 'b', NULL, 2), (3, 'c', 'locked', 3), (4, 'd', 'Archived', 4), (5, 'e', 'private', 5),
             (6, 'f', 'draft', 6);
         CREATE TABLE lessons (id integer PRIMARY KEY, module_id integer, title text, status text, sort_order integer);
         INSERT INTO lessons VALUES
             (1, 1, 'a', 'available', 1), (2, 1, 'b', '', 2), (3, 1, 'c', 'hidden', 3), (4, 1, 'd', 'archived', 4),
             (5, 1, 'e', 'deleted', 5)",
    )
    .await;
    let sandbox = Sandbox::with_database().await;
    let run = legacy.run(&sandbox, &["import-legacy"]);
    run.ok();
    for table in ["course_modules", "lessons"] {
        let text =
            format!("{table}: 2 changed: status: a word that is not known; it is a draft until an author publishes it");
        assert!(run.out.contains(&text), "{text:?} not in {run:?}");
    }
    let pool = sandbox.pool().await;
    for (table, expected) in [
        ("course_modules", "a published,b published,c draft,d draft,e draft,f draft"),
        ("lessons", "a published,b published,c draft,d draft,e draft"),
    ] {
        let query = format!("SELECT string_agg(title || ' ' || publication, ',' ORDER BY position) FROM {table}");
        assert_eq!(scalar::<String>(&pool, &query).await, expected, "{table}");
    }
}

/// An id that comes again is left out, in every run, however many rows stand in between.
#[tokio::test]
async fn an_id_that_comes_again_is_left_out_by_every_run() {
    let legacy = Legacy::with(
        "CREATE TABLE course_modules (id integer, title text, created_at timestamptz);
         INSERT INTO course_modules
         SELECT n, 'Модуль ' || n, timestamptz '2024-01-01' + n * interval '1 minute' FROM generate_series(1, 501) n;
         INSERT INTO course_modules VALUES (1, 'Опять первый', '2025-01-01'), (501, 'Опять последний', '2025-01-02')",
    )
    .await;
    let sandbox = Sandbox::with_database().await;
    for mapped in [501, 0] {
        let run = legacy.run(&sandbox, &["import-legacy"]);
        run.leaves_out(2);
        assert!(run.out.contains("course_modules: 2 skipped: another row has the same id"), "{run:?}");
        assert!(run.out.contains(&format!("{mapped} of 503 rows mapped")), "{run:?}");
    }
    let again = "SELECT count(*) FROM course_modules WHERE title LIKE 'Опять%'";
    assert_eq!(scalar::<i64>(&sandbox.pool().await, again).await, 0);
}

/// Postgres stores JSON that cannot be read here. Such a row is left out and named, and the others are carried over. Of a table that
/// is not carried over, nothing but ids is read.
#[tokio::test]
async fn a_row_that_cannot_be_read_is_left_out_and_named() {
    let legacy = Legacy::with(
        r#"CREATE TABLE platform_settings (id integer, setting_key text, setting_value json);
           INSERT INTO platform_settings VALUES
               (1, 'navigation_config', '{"styles": false}'), (2, 'half', '"\ud800"'), (3, 'large', '1e999');
           CREATE TABLE homework (id integer, answer json);
           INSERT INTO homework VALUES (5, '"\ud800"');
           CREATE TABLE nameless (answer json);
           INSERT INTO nameless VALUES ('"hunter2"')"#,
    )
    .await;
    let sandbox = Sandbox::with_database().await;
    let run = legacy.run(&sandbox, &["import-legacy", "--report", "report.jsonl"]);
    run.leaves_out(4);
    assert!(run.out.contains("platform_settings: 1 skipped: the row cannot be read: number out of range"), "{run:?}");
    assert!(run.out.contains("1 of 5 rows mapped"), "{run:?}");
    let report = std::fs::read_to_string(sandbox.path().join("report.jsonl")).unwrap();
    let entries = report.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let mut named: Vec<String> = entries
        .filter(|line| line["outcome"] == "skipped")
        .map(|line| format!("{} {}", line["table"].as_str().unwrap(), line["id"].as_str().unwrap()))
        .collect();
    named.sort();
    assert_eq!(named, ["homework 5", "nameless row 1", "platform_settings 2", "platform_settings 3"]);
    assert!(!report.contains("hunter2"), "{report}");
}

/// What fails in the old database names it, and the table: tables here have the same names.
#[tokio::test]
async fn a_table_that_cannot_be_read_is_named_with_its_database() {
    let legacy = Legacy::with(
        "CREATE TABLE users (id integer, email text);
         CREATE TABLE lessons (id integer, title text);
         ALTER TABLE lessons ENABLE ROW LEVEL SECURITY;
         CREATE POLICY nothing ON lessons USING (false);
         INSERT INTO lessons VALUES (1, 'hidden')",
    )
    .await;
    let sandbox = Sandbox::with_database().await;
    // The administrator of the tests is above policies: a role that they apply to would miss rows without a word.
    let url = legacy.0.admin_url();
    let reader = format!("reader_{}", std::process::id());
    let grants = format!(
        "CREATE ROLE {reader} LOGIN PASSWORD 'reader'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {reader};"
    );
    let pool = legacy.pool().await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(grants)).execute(&pool).await.unwrap();
    let (scheme, rest) = url.split_once("://").unwrap();
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    let mut command = sandbox.command(&["import-legacy"]);
    command.env("CAIRN_LEGACY_URL", format!("{scheme}://{reader}:reader@{place}"));
    let run = crate::support::finish(command);
    let drop = format!("DROP OWNED BY {reader}; DROP ROLE {reader}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(drop)).execute(&pool).await.unwrap();
    run.fails(1, &["lessons", "CAIRN_LEGACY_URL", "row-level security"]);
}
