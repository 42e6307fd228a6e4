//! `cairn adopt --check`, and what an import refuses before it reads anything.

use super::{HASH, Ids, Legacy, everything};
use crate::support::{Sandbox, finish};

#[tokio::test]
async fn a_database_without_any_table_of_the_platform_is_refused() {
    let legacy = Legacy::with("CREATE TABLE something (id integer)").await;
    let sandbox = Sandbox::with_database().await;
    for args in [&["adopt", "--check"][..], &["import-legacy"], &["import-legacy", "--dry-run"]] {
        legacy.run(&sandbox, args).fails(2, &["has no table of the platform", "search_path"]);
    }
}

#[tokio::test]
async fn the_check_names_what_would_be_lost_and_changes_nothing() {
    let legacy = Legacy::with(&Ids::Uuids.sql()).await;
    let before = everything(&legacy.pool().await).await;
    let sandbox = Sandbox::new();
    let run = legacy.run(&sandbox, &["adopt", "--check"]);
    assert_eq!(run.code, 1, "{run:?}");
    for text in [
        "unknown: telegram",
        "homework",
        "this table is not known",
        "Cairn has no calls",
        "users.telegram: 6 rows have a value: the column is not known",
        "lessons.views_count: 5 rows have a value: the column has no place here",
        "user_lesson_progress: 1 skipped: lesson_id names no row of lessons that was carried over",
        "would not carry over",
    ] {
        assert!(run.out.contains(text), "{text:?} not in {}", run.out);
    }
    assert_eq!(everything(&legacy.pool().await).await, before);
    sandbox.run(&["adopt", "--check"]).fails(2, &["CAIRN_LEGACY_URL is not set"]);
    sandbox.run(&["adopt", "--check", "--from", "mysql://x"]).fails(2, &["CAIRN_LEGACY_URL", "postgres://"]);
}

/// A database that has nothing odd loses nothing, and types that cannot be read are named.
#[tokio::test]
async fn the_check_passes_what_can_be_carried_over_whole() {
    let sql = format!(
        "CREATE TABLE users (id serial PRIMARY KEY, email text, password_hash text, first_name text, created_at timestamptz, niche text);
         INSERT INTO users (email, password_hash, first_name, created_at) VALUES ('a@example.test', '{HASH}', 'A', now())"
    );
    let legacy = Legacy::with(&sql).await;
    let sandbox = Sandbox::new();
    let run = legacy.run(&sandbox, &["adopt", "--check"]);
    assert!(run.ok().contains("would lose nothing"), "{run:?}");
    let from = sandbox.run(&["adopt", "--check", "--from", legacy.0.admin_url()]);
    assert!(from.ok().contains("would lose nothing") && from.err.contains("prefer CAIRN_LEGACY_URL"), "{from:?}");
    let odd = "ALTER TABLE users ALTER created_at TYPE boolean USING true";
    sqlx::query(odd).execute(&legacy.pool().await).await.unwrap();
    let run = legacy.run(&sandbox, &["adopt", "--check"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.out.contains("users.created_at: 1 rows have a value: the type boolean is not expected"), "{run:?}");
}

/// Rows that nobody looks at must not be missed: those of other schemas, and those behind a view that has the name of a table.
#[tokio::test]
async fn what_looks_like_a_table_and_is_not_read_is_named() {
    let legacy = Legacy::with(
        "CREATE TABLE course_modules (id integer PRIMARY KEY, title text);
         CREATE VIEW lessons AS SELECT 1 AS id, 1 AS module_id, 'Урок' AS title;
         CREATE MATERIALIZED VIEW roadmaps AS SELECT 1 AS id, 'Дорога' AS title;
         CREATE VIEW report AS SELECT 1 AS id;
         CREATE SCHEMA \"Old\";
         CREATE TABLE \"Old\".users (id integer);
         INSERT INTO \"Old\".users VALUES (1);
         CREATE TABLE \"Old\".parted (id integer) PARTITION BY RANGE (id);
         CREATE TABLE \"Old\".part PARTITION OF \"Old\".parted FOR VALUES FROM (0) TO (9);
         INSERT INTO \"Old\".parted VALUES (1);
         CREATE TABLE \"Old\".empty (id integer)",
    )
    .await;
    let sandbox = Sandbox::with_database().await;
    let check = legacy.run(&sandbox, &["adopt", "--check"]);
    assert_eq!(check.code, 1, "{check:?}");
    let run = legacy.run(&sandbox, &["import-legacy", "--report", "report.jsonl"]);
    let report = std::fs::read_to_string(sandbox.path().join("report.jsonl")).unwrap();
    for (name, why) in [
        ("Old.users", "this table is not read: only those of the schema public are"),
        ("Old.parted", "this table is not read: only those of the schema public are"),
        ("public.lessons", "this view is not read: only tables of the schema public are"),
        ("public.roadmaps", "this materialized view is not read: only tables of the schema public are"),
    ] {
        for out in [&check.out, run.ok()] {
            assert!(out.contains(&format!("{name}: {why}")), "{name} not in {out}");
        }
        assert!(
            report.contains(&format!(r#"{{"table":"{name}","column":null,"not_carried_over":"{why}"}}"#)),
            "{report}"
        );
    }
    for name in ["Old.empty", "Old.part:", "public.report", "public.course_modules"] {
        assert!(!check.out.contains(name), "{name} in {check:?}");
    }
}

#[tokio::test]
async fn cairn_does_not_import_itself_nor_without_a_url() {
    let sandbox = Sandbox::with_database().await;
    sandbox.run(&["import-legacy"]).fails(2, &["CAIRN_LEGACY_URL is not set"]);
    let url = sandbox.database().url().to_owned();
    sandbox.run(&["import-legacy", "--from", &url]).fails(2, &["is one of Cairn"]);
    let mut command = sandbox.command(&["import-legacy"]);
    command.env("CAIRN_LEGACY_URL", "postgres://u:hunter2@127.0.0.1:1/x");
    let run = finish(command);
    run.fails(1, &["CAIRN_LEGACY_URL"]);
    assert!(!run.err.contains("hunter2"), "{run:?}");
    // Unlike a database that does not answer, a wrong password is not worth another try.
    let mut command = sandbox.command(&["import-legacy"]);
    command.env("CAIRN_LEGACY_URL", url.replacen('@', "hunter2@", 1));
    let run = finish(command);
    run.fails(2, &["CAIRN_LEGACY_URL", "password"]);
    assert!(!run.err.contains("hunter2"), "{run:?}");
}

#[test]
fn the_document_says_what_becomes_of_every_table() {
    let document = include_str!("../../../../docs/ADOPTION.md");
    let rows: Vec<&str> = document.lines().filter(|line| line.starts_with("| `")).collect();
    let expected = cairn_core::legacy::tables().map(|table| format!("| `{}` | {} |", table.name, table.becomes));
    assert_eq!(rows, expected.collect::<Vec<_>>());
}
