//! `cairn migrate` in a database that is not empty.

use sqlx::AssertSqlSafe;

use super::{Ids, scalar};
use crate::support::{Sandbox, finish};

/// What a first migration would trip over, or would not, and then answer 500 to everybody.
#[tokio::test]
async fn a_migration_over_tables_of_another_program_is_refused_before_anything_is_written() {
    for (sql, named) in [
        (
            "CREATE TABLE users (id uuid PRIMARY KEY, email varchar(255) UNIQUE NOT NULL)",
            "users (with the columns email)",
        ),
        ("CREATE TYPE user_role AS ENUM ('student', 'admin')", "the type user_role"),
        ("CREATE TABLE users (id uuid PRIMARY KEY, role varchar(20))", "users (with the columns role)"),
        ("CREATE TABLE users (id uuid PRIMARY KEY, telegram text NOT NULL)", "users (with the columns telegram)"),
        ("CREATE TABLE users (id serial PRIMARY KEY)", "the table users"),
        ("CREATE TABLE users (id uuid PRIMARY KEY, created_at timestamptz)", "users (with the columns created_at)"),
        ("CREATE TABLE anything (id uuid)", "the table anything"),
        ("CREATE VIEW admin_dashboard_stats AS SELECT 1 AS one", "the view admin_dashboard_stats"),
        ("CREATE DOMAIN slug AS text", "the type slug"),
        // Another program that is migrated by the same library.
        (
            "CREATE TABLE _sqlx_migrations (version bigint PRIMARY KEY, description text NOT NULL, installed_on timestamptz NOT NULL
                 DEFAULT now(), success boolean NOT NULL, checksum bytea NOT NULL, execution_time bigint NOT NULL);
             INSERT INTO _sqlx_migrations VALUES (20240101120000, 'begin', now(), true, '', 0);
             CREATE TABLE anything (id uuid)",
            "the table anything",
        ),
    ] {
        let sandbox = Sandbox::with_empty_database().await;
        let pool = sandbox.pool().await;
        sqlx::raw_sql(sql).execute(&pool).await.unwrap();
        let objects = "SELECT md5(string_agg(t, ' ' ORDER BY t)) FROM (SELECT nspname || relname || relowner AS t FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
            UNION ALL SELECT typname::text FROM pg_type UNION ALL SELECT nspname::text FROM pg_namespace UNION ALL SELECT proname::text FROM pg_proc) a";
        let before: String = scalar(&pool, objects).await;
        for args in [&["migrate"][..], &["migrate", "--check"], &["migrate", "--roles"], &["verify"]] {
            let mut command = sandbox.command(args);
            if args.contains(&"--roles") {
                command.env("DATABASE_ADMIN_URL", sandbox.database().admin_url());
            }
            finish(command).fails(2, &[named, "empty database", "cairn import-legacy", "left as it is"]);
        }
        assert_eq!(scalar::<String>(&pool, objects).await, before, "{sql}");
    }
    let sandbox = Sandbox::with_empty_database().await;
    sqlx::raw_sql(AssertSqlSafe(Ids::Uuids.sql())).execute(&sandbox.pool().await).await.unwrap();
    sandbox.run(&["migrate"]).fails(2, &["the table admin_calls", " more", "cairn import-legacy"]);
}

/// What is beside Cairn's tables once it has been migrated is nobody's business.
#[tokio::test]
async fn other_tables_may_be_added_to_a_migrated_database() {
    let sandbox = Sandbox::with_database().await;
    sqlx::raw_sql("CREATE TABLE report (id uuid)").execute(&sandbox.pool().await).await.unwrap();
    sandbox.run(&["migrate"]).ok();
}

/// Times of chats may be null in the platform's shape. A row without one would be on no page.
#[tokio::test]
async fn adopted_chats_without_times_get_them() {
    let sandbox = Sandbox::with_empty_database().await;
    let pool = sandbox.pool().await;
    let chats = "
        CREATE TABLE users (id uuid PRIMARY KEY DEFAULT gen_random_uuid());
        CREATE TABLE tool_chats (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
            tool_type varchar(20) NOT NULL, created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(),
            UNIQUE (user_id, tool_type)
        );
        CREATE TABLE tool_messages (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(), chat_id uuid NOT NULL REFERENCES tool_chats (id) ON DELETE CASCADE,
            role varchar(10) NOT NULL, content text NOT NULL, has_copyable_content boolean DEFAULT false,
            created_at timestamptz DEFAULT now()
        );
        INSERT INTO users DEFAULT VALUES;
        INSERT INTO tool_chats (user_id, tool_type, created_at, updated_at) SELECT id, 'ideas', NULL, NULL FROM users;
        INSERT INTO tool_messages (chat_id, role, content, created_at) SELECT id, 'user', 'x', NULL FROM tool_chats;";
    sqlx::raw_sql(chats).execute(&pool).await.unwrap();
    sandbox.run(&["migrate"]).ok();
    let later =
        "INSERT INTO tool_messages (chat_id, role, content, created_at) SELECT id, 'user', 'y', NULL FROM tool_chats";
    sqlx::query(later).execute(&pool).await.unwrap();
    let hidden = "SELECT (SELECT count(*) FROM tool_messages WHERE created_at IS NULL)
        + (SELECT count(*) FROM tool_chats WHERE created_at IS NULL OR updated_at IS NULL)";
    assert_eq!(scalar::<i64>(&pool, hidden).await, 0);
    assert_eq!(sandbox.run(&["verify"]).ok(), "verify: no differences\n");
}
