//! A row that is refused does not cause others to be left out: what it would have reserved is free, and what it would have made is made by the next.

use sqlx::AssertSqlSafe;

use super::{HASH, Legacy, scalar};
use crate::support::Sandbox;

/// The first of the modules would have made the roadmap that all of them are stages of.
#[tokio::test]
async fn a_module_that_is_refused_takes_no_other_module_along() {
    let id = "00000000-0000-4000-8000-000000000001";
    let legacy = Legacy::with(&format!(
        "CREATE TABLE course_modules (id uuid PRIMARY KEY, title text, created_at timestamptz);
         INSERT INTO course_modules VALUES
             ('{id}', 'Основы', '2024-01-01'), (gen_random_uuid(), 'Основы', '2024-01-02'), (gen_random_uuid(), 'Второй', '2024-01-03');
         CREATE TABLE lessons (id integer PRIMARY KEY, module_id uuid, title text);
         INSERT INTO lessons SELECT row_number() OVER (ORDER BY created_at), id, 'Урок' FROM course_modules"
    ))
    .await;
    let sandbox = Sandbox::with_database().await;
    let pool = sandbox.pool().await;
    let there = format!("INSERT INTO course_modules (id, slug, title) VALUES ('{id}', 'own', 'Свой')");
    sqlx::raw_sql(AssertSqlSafe(there)).execute(&pool).await.unwrap();
    let run = legacy.run(&sandbox, &["import-legacy"]);
    assert!(run.leaves_out(2).contains("4 of 6 rows mapped"), "{run:?}");
    for text in [
        "course_modules: 1 skipped: the rules here refuse the row (course_modules_pkey)",
        "lessons: 1 skipped: module_id names no row of course_modules that was carried over",
    ] {
        assert!(run.out.contains(text), "{text:?} not in {run:?}");
    }
    let stages = "SELECT string_agg(s.title || ' ' || s.slug, ', ' ORDER BY s.created_at)
        FROM stages s JOIN roadmaps r ON r.id = s.roadmap_id WHERE r.title = 'Курс'";
    assert_eq!(scalar::<String>(&pool, stages).await, "Основы osnovy, Второй vtoroy");
    assert!(legacy.run(&sandbox, &["import-legacy"]).leaves_out(2).contains("0 of 6 rows mapped"));
}

/// The account that was active last would have kept the address, and is refused: the other has it then.
#[tokio::test]
async fn an_account_that_is_refused_keeps_no_address() {
    let id = "00000000-0000-4000-8000-000000000001";
    let legacy = Legacy::with(&format!(
        "CREATE TABLE users (id uuid PRIMARY KEY, email text, password_hash text, first_name text, last_active_at timestamptz);
         INSERT INTO users VALUES
             ('{id}', 'Anna@Example.test', '{HASH}', 'Первая', '2025-01-01'), (gen_random_uuid(), 'anna@example.test', '{HASH}', 'Вторая', NULL)"
    ))
    .await;
    let sandbox = Sandbox::with_database().await;
    let pool = sandbox.pool().await;
    let there = format!("INSERT INTO users (id, email, first_name) VALUES ('{id}', 'other@example.test', 'Other')");
    sqlx::raw_sql(AssertSqlSafe(there)).execute(&pool).await.unwrap();
    legacy.run(&sandbox, &["import-legacy"]).leaves_out(1);
    let email = "SELECT email FROM users WHERE first_name = 'Вторая'";
    assert_eq!(scalar::<String>(&pool, email).await, "anna@example.test");
}

/// The first message would have made the chat, and nobody here has its role.
#[tokio::test]
async fn a_message_that_is_left_out_takes_no_other_message_along() {
    let legacy = Legacy::with(&format!(
        "CREATE TABLE users (id integer PRIMARY KEY, email text, password_hash text, first_name text);
         INSERT INTO users VALUES (1, 'anna@example.test', '{HASH}', 'Анна');
         CREATE TABLE chat_messages (id integer PRIMARY KEY, user_id integer, role text, content text, created_at timestamptz);
         INSERT INTO chat_messages VALUES
             (1, 1, 'system', 'Отвечай', '2024-01-01'), (2, 1, 'user', 'Привет', '2024-01-02'), (3, 1, 'assistant', 'Да', '2024-01-03')"
    ))
    .await;
    let sandbox = Sandbox::with_database().await;
    let run = legacy.run(&sandbox, &["import-legacy"]);
    assert!(run.leaves_out(1).contains("3 of 4 rows mapped"), "{run:?}");
    let messages = "SELECT string_agg(content, ',' ORDER BY created_at) FROM tool_messages";
    assert_eq!(scalar::<String>(&sandbox.pool().await, messages).await, "Привет,Да");
}

/// A prompt needs a category. One whose category was deleted is moved to another category, and the check says the same.
#[tokio::test]
async fn prompts_stay_when_their_category_does_not() {
    let legacy = Legacy::with(
        "CREATE TABLE prompt_categories (id integer PRIMARY KEY, name text, deleted_at timestamptz);
         INSERT INTO prompt_categories VALUES (1, 'Живая', NULL), (2, 'Удалённая', '2024-01-01'), (3, 'Ещё', NULL), (4, 'Еще', NULL);
         CREATE TABLE prompts (id integer PRIMARY KEY, title text, content text, category_id integer, deleted_at timestamptz);
         INSERT INTO prompts VALUES
             (1, 'a', 'x', 1, NULL), (2, 'b', 'x', 2, NULL), (3, 'c', 'x', 2, '2024-01-01'), (4, 'd', 'x', 99, NULL), (5, 'e', 'x', 4, NULL)",
    )
    .await;
    let sandbox = Sandbox::with_database().await;
    let check = legacy.run(&sandbox, &["adopt", "--check"]);
    let run = legacy.run(&sandbox, &["import-legacy"]);
    run.ok();
    for run in [&check, &run] {
        for text in [
            "9 of 9 rows mapped, 0 skipped",
            "prompts: 2 changed: category_id: the category was deleted or is not there; the prompt is in “Другое”",
        ] {
            assert!(run.out.contains(text), "{text:?} not in {run:?}");
        }
    }
    let prompts = "SELECT string_agg(p.title || ' ' || c.name, ',' ORDER BY p.title)
        FROM prompts p JOIN prompt_categories c ON c.id = p.category_id";
    let expected = "a Живая,b Другое,c Удалённая,d Другое,e Ещё";
    assert_eq!(scalar::<String>(&sandbox.pool().await, prompts).await, expected);
}
