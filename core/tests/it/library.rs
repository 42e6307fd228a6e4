//! The libraries: what their lists read, and what holds for whoever writes their tables.

use cairn_core::actor::{Caller, Origin, Role};
use cairn_core::clock::new_id;
use cairn_core::library::{favorites, glossary, prompt_categories, prompts, visible_prompts};
use sqlx::PgConnection;
use uuid::Uuid;

use cairn_testing::database::{TestDb, rows, run, scalar};
use cairn_testing::rows::add_user;

/// 20,000 terms, a third of them with Cyrillic letters, and 20,000 prompts with a step each in 50 categories.
const FILL: &str = "
    INSERT INTO glossary_terms (slug, term, category, definition, publication)
    SELECT 'term-' || n, CASE WHEN n % 3 = 0 THEN 'Ящик ' ELSE 'Term ' END || lpad(n::text, 5, '0'), 'category-' || n % 100,
        repeat('d', 1000), 'published'
    FROM generate_series(1, 20000) n;
    INSERT INTO prompt_categories (slug, name, kind, position)
    SELECT 'category-' || n, 'Category ' || n, 'design', n FROM generate_series(1, 50) n;
    INSERT INTO prompts (category_id, slug, title, body, position, publication)
    SELECT c.id, 'prompt-' || n, 'Prompt ' || n, repeat('b', 1000), n, 'published'
    FROM generate_series(1, 20000) n JOIN prompt_categories c ON c.position = 1 + n % 50;
    INSERT INTO prompt_steps (prompt_id, title, body, position) SELECT id, 'Step', 'Text.', 0 FROM prompts";

/// How many rows of the libraries this transaction has read so far.
async fn rows_read(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar(
        "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint FROM pg_stat_xact_user_tables
         WHERE relname IN ('glossary_terms', 'prompt_categories', 'prompts', 'prompt_steps', 'user_prompt_favorites')",
    )
    .fetch_one(connection)
    .await
    .unwrap()
}

#[tokio::test]
async fn pages_of_the_lists_read_little_at_any_depth() {
    let test = TestDb::new().await;
    let pool = test.pool();
    let user_id = add_user(pool).await;
    let favorites = format!(
        "INSERT INTO user_prompt_favorites (user_id, prompt_id, created_at)
         SELECT '{user_id}', id, '2026-01-01'::timestamptz + position * interval '1 minute' FROM prompts"
    );
    test.fill(&format!("{FILL}; {favorites}")).await;
    let caller = Caller { user_id, session_id: new_id(), role: Role::Student, origin: Origin::default() };
    let category_id: Uuid = scalar(pool, "SELECT id FROM prompt_categories WHERE position = 7").await;
    let mut tx = test.db.begin().await.unwrap();
    macro_rules! page {
        ($most:literal, $list:expr) => {{
            let before = rows_read(&mut tx).await;
            let page = $list.await.unwrap();
            let read = rows_read(&mut tx).await - before;
            assert!(read <= $most, "{read} rows were read by {}", stringify!($list));
            assert_eq!(page.len(), 21, "{}", stringify!($list));
            page
        }};
    }
    let (all, max) = (glossary::Filter::default(), Uuid::max());
    page!(60, glossary::list(&mut tx, &all, None, 21));
    page!(60, glossary::list(&mut tx, &all, Some(("ящик 15000".to_owned(), max)), 21));
    page!(60, glossary::list_all(&mut tx, None, false, Some(("term 15000".to_owned(), max)), 21));
    let letter = glossary::Filter { initial: Some("Я".to_owned()), ..glossary::Filter::default() };
    assert_eq!(page!(60, glossary::list(&mut tx, &letter, None, 21))[0].term, "Ящик 00003");
    let category = glossary::Filter { category: Some("category-7".to_owned()), ..glossary::Filter::default() };
    page!(60, glossary::list(&mut tx, &category, Some(("term 10000".to_owned(), max)), 21));

    let all = visible_prompts::Filter::default();
    page!(300, visible_prompts::list(&mut tx, &caller, &all, None, 21));
    page!(300, visible_prompts::list(&mut tx, &caller, &all, Some((15_000, max)), 21));
    let category = visible_prompts::Filter { category_id: Some(category_id), ..visible_prompts::Filter::default() };
    page!(300, visible_prompts::list(&mut tx, &caller, &category, Some((15_000, max)), 21));
    page!(60, prompts::list_all(&mut tx, prompts::Filter::default(), Some((15_000, max)), 21));
    let deep = "2026-01-08T00:00:00Z".parse().unwrap();
    page!(300, favorites::list(&mut tx, &caller, None, 21));
    page!(300, favorites::list(&mut tx, &caller, Some((deep, max)), 21));
    // All prompts of these 21 categories are counted, 400 in each.
    page!(10_000, prompt_categories::list(&mut tx, None, 21));
}

/// Also for an import and for SQL that is typed by hand.
#[tokio::test]
async fn a_prompt_belongs_to_a_category_that_is_not_deleted() {
    let test = TestDb::new().await;
    let pool = test.pool();
    run(
        pool,
        "INSERT INTO prompt_categories (slug, name, kind, deleted_at) VALUES
             ('live', 'Live', 'design', NULL), ('gone', 'Gone', 'design', now())",
    )
    .await;
    let add = |slug: &str, category: &str, deleted_at: &str| {
        format!(
            "INSERT INTO prompts (category_id, slug, title, body, deleted_at)
             SELECT id, '{slug}', 'P', 'P', {deleted_at} FROM prompt_categories WHERE slug = '{category}'"
        )
    };
    run(pool, add("live-one", "live", "NULL")).await;
    run(pool, add("deleted-one", "gone", "now()")).await;
    let moved = "UPDATE prompts SET category_id = (SELECT id FROM prompt_categories WHERE slug = 'gone')";
    let restored = "UPDATE prompts SET deleted_at = NULL WHERE slug = 'deleted-one'";
    for (statement, constraint) in [
        (add("another", "gone", "NULL"), "prompts_category_is_live"),
        (format!("{moved} WHERE slug = 'live-one'"), "prompts_category_is_live"),
        (restored.to_owned(), "prompts_restored_category_is_live"),
    ] {
        let error = sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(pool).await.unwrap_err();
        assert_eq!(error.as_database_error().unwrap().constraint(), Some(constraint));
    }
    run(pool, "UPDATE prompts SET title = 'Q'; UPDATE prompt_categories SET deleted_at = NULL WHERE slug = 'gone'")
        .await;
    run(pool, restored).await;
    let visible = "UPDATE prompts SET publication = 'published' WHERE slug = 'deleted-one' RETURNING 1";
    assert_eq!(scalar::<i32>(pool, visible).await, 1);
    let seen = async || rows::<(String,)>(pool, "SELECT slug::text FROM visible_prompts").await;
    assert_eq!(seen().await, [("deleted-one".to_owned(),)]);
    run(pool, "UPDATE prompt_categories SET deleted_at = now() WHERE slug = 'gone'").await;
    assert_eq!(seen().await, []);
}

/// Whatever the locale of the database is.
#[tokio::test]
async fn texts_are_folded_to_lower_case() {
    let test = TestDb::new().await;
    for (text, folded) in [
        ("CSS Grid", "css grid"),
        ("ЭХО, ЁЖ и Ёж", "эхо, еж и еж"),
        ("ÀÉÖØÞ × ÷", "àéöøþ × ÷"),
        ("ЇҐ", "їґ"),
        ("100% _ \\ '", "100% _ \\ '"),
        ("", ""),
    ] {
        let quoted = text.replace('\'', "''");
        assert_eq!(scalar::<String>(test.pool(), format!("SELECT folded('{quoted}')")).await, folded);
    }
}
