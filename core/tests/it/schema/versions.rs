//! The version of a row, by which an editor's save is refused when another editor has changed the row.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::triggers::add_one_of_everything;
use cairn_testing::database::{TestDb, rows, run, scalar};

/// Tables that admins edit, with the columns that the platform keeps by itself: they change without an edit.
const VERSIONED: &[(&str, &[&str])] = &[
    ("ai_evaluations", &[]),
    ("course_modules", &[]),
    ("glossary_terms", &[]),
    ("invite_links", &["uses"]),
    ("lessons", &[]),
    ("platform_settings", &[]),
    ("prompt_categories", &[]),
    ("prompts", &["copy_count"]),
    ("roadmaps", &["content_version", "recomputed_version"]),
    ("showcase_projects", &["likes_count", "likes_counted_at", "trending_likes", "trending_since"]),
    ("stages", &[]),
    ("style_cards", &["usage_count"]),
    ("users", &["email_key", "email_verified_at", "last_active_at", "progress_percent"]),
];

#[tokio::test]
async fn every_table_that_admins_edit_has_a_version() {
    let test = TestDb::new().await;
    let versioned: Vec<(String,)> = rows(
        test.pool(),
        "SELECT tgrelid::regclass::text FROM pg_trigger
         WHERE tgfoid = 'touch_row'::regproc AND pg_get_triggerdef(oid) LIKE '%touch_row(''version'')' ORDER BY 1",
    )
    .await;
    let expected: Vec<&str> = VERSIONED.iter().map(|(table, _)| *table).collect();
    assert_eq!(versioned.iter().map(|row| row.0.as_str()).collect::<Vec<_>>(), expected);
}

/// A column that is added must be added to its trigger, unless it is one that the platform keeps.
#[tokio::test]
async fn every_column_counts_as_an_edit_unless_the_platform_keeps_it() {
    let test = TestDb::new().await;
    let triggers: Vec<(String, String)> = rows(
        test.pool(),
        "SELECT tgrelid::regclass::text, replace(pg_get_triggerdef(oid), '\"', '') FROM pg_trigger
         WHERE tgfoid = 'touch_row'::regproc",
    )
    .await;
    assert!(triggers.len() >= 20, "{triggers:?}");
    for (table, definition) in triggers {
        let kept = VERSIONED.iter().find(|(name, _)| *name == table).map_or(&[][..], |(_, kept)| kept);
        if definition.contains("old.* IS DISTINCT FROM new.*") {
            assert!(kept.is_empty(), "{table}: {definition}");
            continue;
        }
        let query = format!(
            "SELECT attname::text, attgenerated <> '' FROM pg_attribute
             WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped"
        );
        let columns: Vec<(String, bool)> = rows(test.pool(), query).await;
        let words: BTreeSet<&str> =
            definition.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.').collect();
        for (column, is_generated) in columns {
            let is_edit = !is_generated && !kept.contains(&column.as_str());
            for row in ["old", "new"] {
                assert_eq!(
                    words.contains(format!("{row}.{column}").as_str()),
                    is_edit,
                    "{table}.{column}: {definition}"
                );
            }
        }
    }
}

/// The version and the time of the last edit of the one row of a table.
async fn state(test: &TestDb, table: &str) -> (i64, DateTime<Utc>) {
    let [state] = rows(test.pool(), format!("SELECT version, updated_at FROM {table}")).await[..] else {
        panic!("{table} has one row")
    };
    state
}

#[tokio::test]
async fn the_version_moves_with_edits_and_only_with_them() {
    let test = TestDb::new().await;
    add_one_of_everything(&test).await;
    for (table, _) in VERSIONED {
        let update = async |change: &str| run(test.pool(), format!("UPDATE {table} SET {change}")).await;
        let (first, long_ago) = state(&test, table).await;
        assert_eq!(first, 1, "{table}");
        update("created_at = created_at, version = version").await;
        assert_eq!(state(&test, table).await, (1, long_ago), "{table}: nothing changed");
        update("created_at = created_at - interval '1 day'").await;
        let (version, edited) = state(&test, table).await;
        assert!(version == 2 && edited > long_ago, "{table}: {version}, {edited}");
        update("version = version + 1").await;
        assert_eq!(state(&test, table).await.0, 3, "{table}: as an edit of its children does");
        for by_hand in [1, 100] {
            let before = state(&test, table).await.0;
            update(&format!("version = {by_hand}")).await;
            assert_eq!(state(&test, table).await.0, before + 1, "{table}: it cannot be set");
        }
    }
}

/// Otherwise what editors have read would be out of date as soon as anybody likes or uses it.
#[tokio::test]
async fn the_version_does_not_move_with_what_the_platform_keeps() {
    let test = TestDb::new().await;
    add_one_of_everything(&test).await;
    for (table, change, and_edited) in [
        ("invite_links", "uses = 1", "note = 'N'"),
        ("prompts", "copy_count = 7", "body = 'Y'"),
        ("roadmaps", "content_version = content_version + 1", "title = 'Y'"),
        ("roadmaps", "recomputed_version = content_version", "title = 'Z'"),
        ("showcase_projects", "likes_count = 7", "title = 'Y'"),
        ("showcase_projects", "likes_counted_at = now()", "title = 'Z'"),
        ("showcase_projects", "trending_likes = 7, trending_since = now()", "category = 'bot'"),
        ("style_cards", "usage_count = 7", "prompt = 'Y'"),
        ("users", "last_active_at = now()", "role = 'mentor'"),
        ("users", "progress_percent = 7", "first_name = 'Y'"),
        ("users", "email_verified_at = now()", "first_name = 'Z'"),
    ] {
        let before = state(&test, table).await;
        run(test.pool(), format!("UPDATE {table} SET {change}")).await;
        assert_eq!(state(&test, table).await, before, "{table}: {change}");
        run(test.pool(), format!("UPDATE {table} SET {change}, {and_edited}")).await;
        assert_eq!(state(&test, table).await.0, before.0 + 1, "{table}: {change}, {and_edited}");
    }
    let before = state(&test, "roadmaps").await;
    run(test.pool(), "UPDATE stages SET publication = 'published'").await;
    assert_eq!(state(&test, "roadmaps").await, before, "a change to a stage makes numbers stale");
    assert_eq!(state(&test, "stages").await.0, 2);
}

/// Generated columns change with what they are made from, which counts once.
#[tokio::test]
async fn the_version_moves_once_with_searched_texts() {
    let test = TestDb::new().await;
    add_one_of_everything(&test).await;
    for (table, change) in [("lessons", "body = 'Y'"), ("glossary_terms", "term = 'Y'"), ("prompts", "title = 'Y'")] {
        run(test.pool(), format!("UPDATE {table} SET {change}")).await;
        assert_eq!(state(&test, table).await.0, 2, "{table}");
        let found: i64 =
            scalar(test.pool(), format!("SELECT count(*) FROM {table} WHERE search @@ to_tsquery('russian', 'y')"))
                .await;
        assert_eq!(found, 1, "{table}");
        run(test.pool(), format!("UPDATE {table} SET {change}")).await;
        assert_eq!(state(&test, table).await.0, 2, "{table}: nothing changed");
    }
}
