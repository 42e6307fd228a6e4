//! Imports that are repeated, killed, or run at once, and what is there already.

use sqlx::AssertSqlSafe;

use super::{HASH, Ids, Legacy, plain_platform, scalar};
use crate::support::{LEFT_OUT, Sandbox};

/// What a learner does here after the import stays, and what the old platform has gained since is added.
#[tokio::test]
async fn a_later_run_adds_what_is_new_and_restores_nothing() {
    let legacy = Legacy::with(&Ids::Numbers.sql()).await;
    let sandbox = Sandbox::with_database().await;
    let pool = sandbox.pool().await;
    legacy.run(&sandbox, &["import-legacy"]).leaves_out(20);
    let changes = "DELETE FROM project_likes; DELETE FROM user_prompt_favorites; DELETE FROM tool_messages;
        UPDATE user_lesson_progress SET status = 'in_progress', completed_at = NULL;
        UPDATE users SET first_name = 'Анюта', email = 'new@example.test', email_key = 'new@example.test' WHERE last_name = 'Иванова';
        UPDATE users SET erased_at = now(), deleted_at = now() WHERE first_name = 'Борис'";
    sqlx::raw_sql(changes).execute(&pool).await.unwrap();
    let more = format!(
        "INSERT INTO users (id, email, password_hash, first_name, telegram) VALUES (7, 'late@example.test', '{HASH}', 'Поздний', '');
         INSERT INTO user_lesson_progress VALUES (8, 7, 1, 'completed', NULL, '2025-01-01'), (9, 3, 2, 'completed', NULL, '2025-01-01')"
    );
    sqlx::raw_sql(AssertSqlSafe(more)).execute(&legacy.pool().await).await.unwrap();
    let run = legacy.run(&sandbox, &["import-legacy"]);
    assert!(run.leaves_out(21).contains("\n2 of "), "{run:?}");
    assert!(run.out.contains("user_lesson_progress: 1 skipped: the account was erased here"), "{run:?}");
    for (query, expected) in [
        ("SELECT count(*) FROM project_likes", 0),
        ("SELECT count(*) FROM user_prompt_favorites", 0),
        ("SELECT count(*) FROM tool_messages", 0),
        ("SELECT count(*) FROM user_lesson_progress WHERE status = 'completed'", 1),
        ("SELECT count(*) FROM users WHERE first_name IN ('Анюта', 'Поздний')", 2),
        ("SELECT count(*) FROM showcase_projects WHERE likes_count > 0", 0),
    ] {
        assert_eq!(scalar::<i64>(&pool, query).await, expected, "{query}");
    }
}

/// An address and an id that somebody has here already stay theirs, whatever the old platform says. Only what the rules refuse is
/// left out.
#[tokio::test]
async fn what_is_here_already_stays_as_it_is() {
    let legacy = Legacy::with(&Ids::Uuids.sql()).await;
    let sandbox = Sandbox::with_database().await;
    let pool = sandbox.pool().await;
    let there = format!(
        "INSERT INTO users (id, email, first_name) VALUES ('{}', 'other@example.test', 'Other');
         INSERT INTO users (email, first_name) VALUES ('boris@example.test', 'Early')",
        Ids::Uuids.id("4")
    );
    sqlx::raw_sql(AssertSqlSafe(there)).execute(&pool).await.unwrap();
    let run = legacy.run(&sandbox, &["import-legacy"]);
    assert_eq!(run.code, LEFT_OUT);
    assert!(run.out.contains("users: 1 skipped: the rules here refuse the row (users_pkey)"), "{run:?}");
    assert!(run.out.contains("users: 2 changed: email: another account has this address"), "{run:?}");
    for (query, expected) in [
        ("SELECT count(*) FROM users", 7),
        ("SELECT count(*) FROM users WHERE email = 'boris@example.test' AND first_name = 'Early'", 1),
        (
            "SELECT count(*) FROM user_lesson_progress f JOIN users u ON u.id = f.user_id WHERE u.first_name = 'Early'",
            0,
        ),
        (
            "SELECT count(*) FROM user_lesson_progress f JOIN users u ON u.id = f.user_id WHERE u.first_name = 'Борис'",
            2,
        ),
    ] {
        assert_eq!(scalar::<i64>(&pool, query).await, expected, "{query}");
    }
}

/// A process that dies after any of its commits leaves something that the next run completes.
#[tokio::test]
async fn an_import_that_was_killed_is_completed_by_the_next() {
    let legacy = Legacy::with(&Ids::Uuids.sql()).await;
    let whole = Sandbox::with_database().await;
    legacy.run(&whole, &["import-legacy"]).leaves_out(20);
    let counts = "SELECT string_agg(kind || n, ' ' ORDER BY kind) FROM (SELECT kind, count(*) n FROM legacy_ids GROUP BY kind) c";
    let facts = "SELECT string_agg(status || ' ' || completed_at, ',' ORDER BY completed_at) FROM user_lesson_progress WHERE completed_at < '2025-01-01'";
    let expected: (String, String) =
        (scalar(&whole.pool().await, counts).await, scalar(&whole.pool().await, facts).await);
    let sandbox = Sandbox::with_database().await;
    let mut killed = 0;
    loop {
        let mut command = sandbox.command(&["import-legacy"]);
        command.env("CAIRN_LEGACY_URL", legacy.0.admin_url()).env("CAIRN_TEST_FAILPOINTS", "after_commit:1");
        let status = command.output().unwrap().status;
        if status.code() == Some(LEFT_OUT) {
            break;
        }
        assert_eq!(status.code(), None, "it was killed");
        killed += 1;
        assert!(killed < 80);
    }
    assert!(killed > 1, "it was killed {killed} times");
    let pool = sandbox.pool().await;
    assert_eq!((scalar::<String>(&pool, counts).await, scalar::<String>(&pool, facts).await), expected);
}

/// A script tells by the exit code that everything is here.
#[tokio::test]
async fn an_import_that_leaves_nothing_out_says_so() {
    let legacy = Legacy::with(&plain_platform(3, 2, &[HASH])).await;
    let sandbox = Sandbox::with_database().await;
    assert!(legacy.run(&sandbox, &["import-legacy"]).ok().contains("13 of 13 rows mapped, 0 skipped"));
    let stray = "INSERT INTO user_lesson_progress (user_id, lesson_id, status) VALUES (1, 99, 'completed')";
    sqlx::query(stray).execute(&legacy.pool().await).await.unwrap();
    assert!(legacy.run(&sandbox, &["import-legacy", "--dry-run"]).leaves_out(1).contains("nothing was written"));
    legacy.run(&sandbox, &["import-legacy"]).leaves_out(1);
}

/// A command that may not write yet leaves the report of the one that is running, or that has ended.
#[tokio::test]
async fn a_report_is_emptied_by_nobody_who_has_to_wait() {
    let legacy = Legacy::with(&plain_platform(1, 1, &[HASH])).await;
    let sandbox = Sandbox::with_database().await;
    let report = || std::fs::read_to_string(sandbox.path().join("report.jsonl")).unwrap();
    let before = "{}\n".repeat(10_000);
    sandbox.write("report.jsonl", &before);
    let running = sqlx::PgPool::connect(sandbox.database().url()).await.unwrap();
    let mut session = running.acquire().await.unwrap();
    let lock = "SELECT pg_advisory_lock(hashtextextended('cairn import-legacy', 0))";
    sqlx::query(lock).execute(&mut *session).await.unwrap();
    let refused = legacy.run(&sandbox, &["import-legacy", "--report", "report.jsonl"]);
    refused.fails(1, &["another `cairn import-legacy` is running"]);
    assert!(report() == before);
    session.close().await.unwrap();
    // As a command holds it that writes the same file for another database, or without the lock: a dry run.
    let file = std::fs::File::open(sandbox.path().join("report.jsonl")).unwrap();
    file.lock().unwrap();
    for args in [
        &["import-legacy", "--report", "report.jsonl"][..],
        &["import-legacy", "--report", "report.jsonl", "--dry-run"],
    ] {
        legacy.run(&sandbox, args).fails(1, &["another command is writing report.jsonl"]);
        assert!(report() == before);
    }
    drop(file);
    legacy.run(&sandbox, &["import-legacy", "--report", "report.jsonl"]).ok();
    assert!(report().starts_with(r#"{"table":"users","#) && report().lines().count() < 100, "{}", report());
    legacy.run(&sandbox, &["import-legacy", "--report", "/dev/null"]).ok();
}

/// 20,000 people with 200,000 completed lessons. docs/ADOPTION.md has what it took.
#[tokio::test]
#[ignore = "takes minutes"]
async fn a_large_platform_is_carried_over() {
    let legacy = Legacy::with(&plain_platform(20_000, 10, &[HASH])).await;
    let sandbox = Sandbox::with_database().await;
    let begun = std::time::Instant::now();
    let first = legacy.run(&sandbox, &["import-legacy"]);
    assert!(first.ok().contains("220012 of 220012 rows mapped, 0 skipped"), "{first:?}");
    let took = begun.elapsed();
    let again = legacy.run(&sandbox, &["import-legacy"]);
    assert!(again.ok().contains("0 of 220012 rows mapped, 0 skipped"), "{again:?}");
    println!("imported in {took:?}, looked at again in {:?}", begun.elapsed().saturating_sub(took));
    let pool = sandbox.pool().await;
    let completed = "SELECT count(*) FROM user_roadmap_progress WHERE percent = 100";
    assert_eq!(scalar::<i64>(&pool, completed).await, 20_000);
    assert_eq!(sandbox.run(&["verify", "--while-running"]).ok(), "verify: no differences\n");
}

#[tokio::test]
async fn two_imports_at_once_map_no_row_twice() {
    let legacy = Legacy::with(&Ids::Uuids.sql()).await;
    let sandbox = Sandbox::with_database().await;
    let start = || {
        let mut command = sandbox.command(&["import-legacy"]);
        command.env("CAIRN_LEGACY_URL", legacy.0.admin_url());
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
    };
    let running = [start(), start()];
    for child in running {
        let output = child.wait_with_output().unwrap();
        let refused = String::from_utf8_lossy(&output.stderr).contains("another `cairn import-legacy` is running");
        assert!(output.status.code() == Some(LEFT_OUT) || refused, "{output:?}");
    }
    legacy.run(&sandbox, &["import-legacy"]).leaves_out(20);
    let pool = sandbox.pool().await;
    for (query, expected) in [
        ("SELECT count(*) FROM users", 6),
        ("SELECT count(*) FROM course_modules WHERE title = 'Основы'", 2),
        ("SELECT count(*) FROM roadmaps", 4),
        ("SELECT count(*) FROM tool_chats", 2),
    ] {
        assert_eq!(scalar::<i64>(&pool, query).await, expected, "{query}");
    }
}
