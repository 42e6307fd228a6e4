//! Values whose type says less than it seems to: ids with many digits, lists and hashes in columns of text, times without a zone.

use super::{HASH, Legacy, scalar};
use crate::support::{Sandbox, finish};

/// JSON would round both ids to one, and a reference to one of them would name the other.
#[tokio::test]
async fn ids_that_differ_in_their_last_digit_stay_two() {
    let legacy = Legacy::with(
        "CREATE TABLE course_modules (id numeric PRIMARY KEY, title text);
         INSERT INTO course_modules VALUES (36893488147419103232, 'Чётный'), (36893488147419103233, 'Нечётный'), (7.00, 'Малый');
         CREATE TABLE lessons (id numeric(30, 4) PRIMARY KEY, module_id numeric(30, 4), title text);
         INSERT INTO lessons VALUES
             (36893488147419103232, 36893488147419103233, 'В нечётном'), (36893488147419103233, 36893488147419103232, 'В чётном'),
             (10, 7, 'В малом');
         CREATE TABLE homework (id numeric);
         INSERT INTO homework VALUES (36893488147419103232), (36893488147419103233)",
    )
    .await;
    let sandbox = Sandbox::with_database().await;
    let run = legacy.run(&sandbox, &["import-legacy", "--report", "report.jsonl"]);
    assert!(run.leaves_out(2).contains("6 of 8 rows mapped"), "{run:?}");
    let pool = sandbox.pool().await;
    let lessons = "SELECT string_agg(l.title || ': ' || m.title, ', ' ORDER BY l.title COLLATE \"C\")
        FROM lessons l JOIN course_modules m ON m.id = l.module_id";
    let expected = "В малом: Малый, В нечётном: Нечётный, В чётном: Чётный";
    assert_eq!(scalar::<String>(&pool, lessons).await, expected);
    let report = std::fs::read_to_string(sandbox.path().join("report.jsonl")).unwrap();
    for id in ["36893488147419103232", "36893488147419103233"] {
        assert!(report.contains(&format!(r#""table":"homework","id":"{id}""#)), "{report}");
    }
}

/// Frameworks write lists into columns of text, as JSON or as Postgres writes arrays.
#[tokio::test]
async fn lists_that_are_written_as_text_are_read() {
    let legacy = Legacy::with(
        r#"CREATE TABLE prompts (id integer PRIMARY KEY, title text, content text, category text, tags text);
           INSERT INTO prompts VALUES
               (1, 'json', 'x', 'Фиксы', '["css", "две, запятые"]'), (2, 'array', 'x', 'Фиксы', '{css,"две, запятые"}'),
               (3, 'commas', 'x', 'Фиксы', 'css, html'), (4, 'none', 'x', 'Фиксы', '[]'), (5, 'odd', 'x', 'Фиксы', '[7, {"name": "css"}]');
           CREATE TABLE glossary_terms (id integer PRIMARY KEY, term text, definition text, slang jsonb);
           INSERT INTO glossary_terms VALUES (1, 'API', 'Интерфейс', '"[\"апи\", \"ручка\"]"')"#,
    )
    .await;
    let sandbox = Sandbox::with_database().await;
    let run = legacy.run(&sandbox, &["import-legacy"]);
    run.ok();
    assert!(run.out.contains("prompts: 1 changed: tags: what is neither text nor a number was left out"), "{run:?}");
    let pool = sandbox.pool().await;
    for (query, expected) in [
        (
            "SELECT string_agg(title || ' ' || array_to_string(tags, '|'), ';' ORDER BY title) FROM prompts",
            "array css|две, запятые;commas css|html;json css|две, запятые;none ;odd 7",
        ),
        ("SELECT array_to_string(tags, '|') FROM glossary_terms", "апи|ручка"),
    ] {
        assert_eq!(scalar::<String>(&pool, query).await, expected, "{query}");
    }
}

/// An account whose hash cannot be checked has none, so that its owner is told to set a password.
#[tokio::test]
async fn who_has_a_hash_that_nobody_can_check_needs_a_new_password() {
    let argon2 = "$argon2id$v=19$m=1024,t=2,p=1$bm8gcGFzc3dvcmQgaGVyZQ$w2mHDsFUV8VwmvKRyPkRQ/4Z7ThR8Dn2W7s2wkTUAFM";
    let people = [
        ("Bcrypt", HASH.to_owned()),
        ("Argon2", argon2.to_owned()),
        ("Short", HASH[..59].to_owned()),
        ("Long", format!("{HASH}x")),
        ("Version", HASH.replacen("$2b$", "$2x$", 1)),
        ("Cost", HASH.replacen("$04$", "$31$", 1)),
        ("Letters", HASH.replacen("mr/6", "mr!6", 1)),
        ("Beginning", "$argon2id$v=19$m=1024".to_owned()),
        ("Memory", argon2.replacen("m=1024", "m=4194304", 1)),
    ];
    let rows = people.iter().map(|(name, hash)| format!("('{name}@example.test', '{name}', '{hash}')"));
    let sql = format!(
        "CREATE TABLE users (id serial PRIMARY KEY, email text, first_name text, password_hash text);
         INSERT INTO users (email, first_name, password_hash) VALUES {}",
        rows.collect::<Vec<_>>().join(", ")
    );
    let legacy = Legacy::with(&sql).await;
    let sandbox = Sandbox::with_database().await;
    let run = legacy.run(&sandbox, &["import-legacy"]);
    assert!(run.ok().contains("9 of 9 rows mapped"), "{run:?}");
    assert!(run.out.contains("users: 7 changed: password_hash: no hash by bcrypt"), "{run:?}");
    let kept = "SELECT string_agg(first_name, ',' ORDER BY first_name) FROM users WHERE password_hash IS NOT NULL";
    assert_eq!(scalar::<String>(&sandbox.pool().await, kept).await, "Argon2,Bcrypt");
}

/// They are no loss, but only whoever knows the old platform can tell whether they are in UTC.
#[tokio::test]
async fn times_without_a_zone_are_named() {
    let legacy = Legacy::with(
        "CREATE TABLE course_modules (
             id integer PRIMARY KEY, title text, created_at timestamp(3), updated_at timestamp, deleted_at timestamptz
         );
         INSERT INTO course_modules VALUES (1, 'Модуль', '2024-01-01 10:00', '2024-01-02', NULL)",
    )
    .await;
    let sandbox = Sandbox::with_database().await;
    let expected = "course_modules: times without a zone count as UTC: created_at, updated_at\n";
    let check = legacy.run(&sandbox, &["adopt", "--check"]);
    assert!(check.ok().contains(expected) && check.out.contains("would lose nothing"), "{check:?}");
    let run = legacy.run(&sandbox, &["import-legacy", "--report", "report.jsonl"]);
    assert!(run.ok().contains(expected), "{run:?}");
    let report = std::fs::read_to_string(sandbox.path().join("report.jsonl")).unwrap();
    let line = r#"{"table":"course_modules","columns":["created_at","updated_at"],"remark":"times without a zone count as UTC"}"#;
    assert!(report.contains(line), "{report}");
    let created = "SELECT created_at = '2024-01-01 10:00Z' FROM course_modules";
    assert!(scalar::<bool>(&sandbox.pool().await, created).await);
}

/// Rows of 8 MB are read a few at a time: all of them at once would not fit into the memory that the command has here.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn memory_does_not_follow_the_size_of_rows() {
    let legacy = Legacy::with(
        "CREATE TABLE course_modules (id integer PRIMARY KEY, title text, description text);
         INSERT INTO course_modules SELECT n, 'Модуль ' || n, repeat('x', 8000000) FROM generate_series(1, 40) n",
    )
    .await;
    let sandbox = Sandbox::with_database().await;
    let limited = ["-c", "ulimit -d 400000; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_cairn"), "import-legacy"];
    let whole = sandbox.command(&[]);
    let mut command = std::process::Command::new("sh");
    command.args(limited).current_dir(sandbox.path()).env_clear().env("CAIRN_LEGACY_URL", legacy.0.admin_url());
    // Each thread has a stack, and there is a thread for each processor.
    command.env("TOKIO_WORKER_THREADS", "2");
    command.envs(whole.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let run = finish(command);
    assert!(run.ok().contains("40 of 40 rows mapped"), "{run:?}");
}
