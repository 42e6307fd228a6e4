//! Migrations, `cairn verify` and `cairn doctor`.

use std::net::TcpListener;
use std::process::Stdio;

use cairn_core::db::{APPLICATION, OWNER};
use cairn_postgres::{Durability, Options, Server};
use cairn_stub_provider::Stub;
use cairn_testing::database::{run, scalar};
use sqlx::{AssertSqlSafe, PgPool};

use crate::support::{Sandbox, finish};

#[tokio::test]
async fn migrating_twice_changes_nothing() {
    let sandbox = Sandbox::with_empty_database().await;
    sandbox.run(&["migrate", "--check"]).fails(1, &["pending", "cairn migrate"]);
    assert!(sandbox.run(&["migrate"]).ok().starts_with("applied "));
    assert!(sandbox.run(&["migrate", "--check"]).ok().contains("up to date"));
    assert!(sandbox.run(&["migrate"]).ok().starts_with("the database is up to date"));
}

#[tokio::test]
async fn no_command_but_dev_makes_a_database() {
    let sandbox = Sandbox::new();
    for args in [&["migrate"][..], &["verify"], &["export"], &["invite", "create"], &["jobs", "stats"], &["psql"]] {
        sandbox.run(args).fails(2, &["DATABASE_URL is not set", "cairn dev"]);
    }
    assert!(sandbox.run(&["doctor"]).out.contains("cairn dev"));
    assert!(std::fs::read_dir(sandbox.path()).unwrap().next().is_none(), "no files may be left behind");
}

/// A server, or something before it, that takes connections and says nothing.
#[test]
fn a_database_that_never_answers_is_not_waited_for() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let sandbox = Sandbox::new();
    let url = format!("postgres://u:hunter2@{}/d", silent.local_addr().unwrap());
    let running: Vec<_> = [
        &["migrate"][..],
        &["migrate", "--check"],
        &["verify"],
        &["export"],
        &["invite", "create"],
        &["jobs", "stats"],
    ]
    .map(|args| {
        let mut command = sandbox.command(args);
        command.env("DATABASE_URL", &url).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    })
    .into();
    for child in running {
        let output = child.wait_with_output().unwrap();
        let says = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{says}");
        assert!(says.contains("the database does not answer") && !says.contains("hunter2"), "{says}");
    }
}

#[tokio::test]
async fn psql_gets_the_database_and_its_password_but_not_as_an_argument() {
    let sandbox = Sandbox::with_database().await;
    let ask = |args: &[&str]| sandbox.run(args).ok().trim().to_owned();
    assert_eq!(ask(&["psql", "--", "-Atc", "SELECT current_user"]), cairn_core::db::APPLICATION);
    assert_eq!(ask(&["psql", "--owner", "--", "-Atc", "SELECT current_user"]), cairn_core::db::OWNER);
    assert_eq!(sandbox.run(&["psql", "--", "-c", "SELECT nonsense"]).code, 1);
    let mut nowhere = sandbox.command(&["psql", "--", "-c", "SELECT 1"]);
    nowhere.env("DATABASE_URL", "postgres://u:hunter2@127.0.0.1:1/d").env("PATH", "/nonexistent");
    finish(nowhere).fails(2, &["psql is not installed"]);
}

#[tokio::test]
async fn several_processes_can_migrate_at_once() {
    let sandbox = Sandbox::with_empty_database().await;
    let running: Vec<_> = (0..4)
        .map(|_| sandbox.command(&["migrate"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
        .collect();
    for child in running {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let pool = sandbox.pool().await;
    let doubled: i64 = sqlx::query_scalar("SELECT count(*) - count(DISTINCT version) FROM _sqlx_migrations")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(doubled, 0);
    assert!(sandbox.run(&["migrate", "--check"]).ok().contains("up to date"));
}

#[tokio::test]
async fn a_newer_database_is_refused() {
    let sandbox = Sandbox::with_database().await;
    let pool = sandbox.pool().await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'x', true, '', 0)",
    )
    .execute(&pool)
    .await
    .unwrap();
    for args in [&["migrate"][..], &["migrate", "--check"], &["verify"], &["export"]] {
        sandbox.run(args).fails(2, &["newer", "9999"]);
    }
}

#[tokio::test]
async fn an_edited_migration_is_refused() {
    let sandbox = Sandbox::with_database().await;
    let pool = sandbox.pool().await;
    sqlx::query("UPDATE _sqlx_migrations SET checksum = '\\x00' WHERE version = 101").execute(&pool).await.unwrap();
    for args in [&["migrate"][..], &["migrate", "--check"]] {
        sandbox.run(args).fails(2, &["migration 101 was changed"]);
    }
}

#[tokio::test]
async fn a_migration_that_has_not_ended_is_reported() {
    let sandbox = Sandbox::with_database().await;
    let pool = sandbox.pool().await;
    sqlx::query("UPDATE _sqlx_migrations SET success = false WHERE version = 101").execute(&pool).await.unwrap();
    for args in [&["migrate"][..], &["migrate", "--check"]] {
        sandbox.run(args).fails(2, &["migration 101 has begun and not ended", "remove its row"]);
    }
}

/// All relations and schemas with their owners.
const OWNED: &str = "SELECT md5(string_agg(t, ' ' ORDER BY t)) FROM (
    SELECT nspname || relname || relowner AS t FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    UNION ALL SELECT nspname || nspowner FROM pg_namespace) a";

#[tokio::test]
async fn a_database_that_cannot_store_every_text_is_refused_before_anything_is_written() {
    let sandbox = Sandbox::with_empty_database().await;
    let database = sandbox.database();
    let admin = PgPool::connect(database.admin_url()).await.unwrap();
    let name: String = scalar(&admin, "SELECT current_database()::text").await;
    for encoding in ["SQL_ASCII", "LATIN1"] {
        let other = format!("{name}_{}", encoding.to_lowercase());
        run(&admin, format!("CREATE DATABASE {other} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")).await;
        let url = |url: &str| url.replace(&name, &other);
        let urls = [
            ("DATABASE_ADMIN_URL", url(database.admin_url())),
            ("DATABASE_OWNER_URL", url(&database.url_for(OWNER))),
            ("DATABASE_URL", url(&database.url_for(APPLICATION))),
        ];
        let there = PgPool::connect(&urls[0].1).await.unwrap();
        let before: String = scalar(&there, OWNED).await;
        for args in [&["migrate"][..], &["migrate", "--check"], &["migrate", "--roles"], &["doctor"]] {
            let mut command = sandbox.command(args);
            command.envs(urls.iter().map(|(key, url)| (*key, url)));
            let refused = finish(command);
            let said = format!("{}{}", refused.out, refused.err);
            assert!(
                refused.code != 0 && said.contains(encoding) && said.contains("ENCODING 'UTF8'"),
                "{args:?}: {refused:?}"
            );
        }
        assert_eq!(scalar::<String>(&there, OWNED).await, before, "{encoding}");
        there.close().await;
        run(&admin, format!("DROP DATABASE {other}")).await;
    }
}

#[tokio::test]
async fn other_schemas_of_roles_and_search_paths_change_nothing() {
    let sandbox = Sandbox::with_empty_database().await;
    let admin = PgPool::connect(sandbox.database().admin_url()).await.unwrap();
    let name: String = scalar(&admin, "SELECT quote_ident(current_database())").await;
    run(
        &admin,
        format!(
            "CREATE SCHEMA {OWNER} AUTHORIZATION {OWNER}; CREATE SCHEMA {APPLICATION} AUTHORIZATION {APPLICATION};
             CREATE SCHEMA elsewhere; GRANT ALL ON SCHEMA elsewhere TO PUBLIC;
             ALTER DATABASE {name} SET search_path = elsewhere, \"$user\", public"
        ),
    )
    .await;
    sandbox.run(&["migrate"]).ok();
    assert!(sandbox.run(&["migrate", "--check"]).ok().contains("up to date"));
    let schemas = "SELECT string_agg(DISTINCT nspname, ',') FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
                   WHERE relkind = 'r' AND (relname = 'users' OR nspname NOT IN ('public', 'apalis', 'pg_catalog', 'information_schema'))";
    assert_eq!(scalar::<String>(&admin, schemas).await, "public");
    sandbox.run(&["verify"]).ok();
}

#[tokio::test]
async fn what_is_in_the_way_of_migrations_is_told_with_its_fix() {
    for (obstacle, fix) in [
        ("REVOKE CREATE ON DATABASE {} FROM cairn_owner", "GRANT CREATE ON DATABASE"),
        ("ALTER SCHEMA public OWNER TO CURRENT_USER", "GRANT CREATE ON SCHEMA public"),
        (
            "CREATE SCHEMA elsewhere; CREATE EXTENSION fuzzystrmatch SCHEMA elsewhere",
            "ALTER EXTENSION fuzzystrmatch SET SCHEMA public",
        ),
        ("ALTER DATABASE {} SET default_transaction_read_only = on", "read-only"),
        ("DROP SCHEMA public", "CREATE SCHEMA public"),
    ] {
        let sandbox = Sandbox::with_empty_database().await;
        let admin = PgPool::connect(sandbox.database().admin_url()).await.unwrap();
        let name: String = scalar(&admin, "SELECT quote_ident(current_database())").await;
        run(&admin, obstacle.replace("{}", &name)).await;
        let before: String = scalar(&admin, OWNED).await;
        let migrated = sandbox.run(&["migrate"]);
        assert!(migrated.code != 0 && migrated.err.contains(fix), "{obstacle}: {migrated:?}");
        assert_eq!(scalar::<String>(&admin, OWNED).await, before, "{obstacle}");
    }
}

/// Limits that somebody has given the database are for programs.
#[tokio::test]
async fn limits_of_the_database_do_not_end_a_migration() {
    let sandbox = Sandbox::with_empty_database().await;
    let admin = PgPool::connect(sandbox.database().admin_url()).await.unwrap();
    let name: String = scalar(&admin, "SELECT quote_ident(current_database())").await;
    let limited = "CREATE SCHEMA limits;
        CREATE FUNCTION limits.refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF current_setting('statement_timeout') <> '0' OR current_setting('lock_timeout') = '1min' THEN
                RAISE EXCEPTION 'limited';
            END IF;
        END $$;
        CREATE EVENT TRIGGER limits ON ddl_command_end EXECUTE FUNCTION limits.refuse()";
    run(&admin, limited).await;
    run(
        &admin,
        format!(
            "ALTER DATABASE {name} SET statement_timeout = '1min'; ALTER DATABASE {name} SET lock_timeout = '1min'"
        ),
    )
    .await;
    assert!(sandbox.run(&["migrate"]).ok().starts_with("applied "));
}

#[tokio::test]
async fn the_doctor_finds_nothing_wrong_with_an_empty_database_but_that_it_is_not_migrated() {
    let sandbox = Sandbox::with_empty_database().await;
    let found = sandbox.run(&["doctor"]);
    let failed: Vec<&str> = found.out.lines().filter(|line| line.starts_with("FAIL")).collect();
    assert!(failed.len() == 1 && failed[0].contains("run `cairn migrate`"), "{found:?}");
}

/// A restored database belongs to whoever restored it, and migrations need rights there even if none is pending.
#[tokio::test]
async fn rights_that_a_migrated_database_has_lost_are_told_and_a_check_needs_none() {
    let sandbox = Sandbox::with_database().await;
    let admin = PgPool::connect(sandbox.database().admin_url()).await.unwrap();
    let name: String = scalar(&admin, "SELECT quote_ident(current_database())").await;
    run(&admin, format!("REVOKE CREATE ON DATABASE {name} FROM cairn_owner")).await;
    sandbox.run(&["migrate"]).fails(2, &["cairn_owner may not create", "GRANT CREATE ON DATABASE"]);
    sandbox.run(&["migrate", "--check"]).ok();
    // The URL of the programs, which may change nothing, is enough to see that something is pending.
    run(&admin, "DELETE FROM _sqlx_migrations WHERE version = 180").await;
    let mut command = sandbox.command(&["migrate", "--check"]);
    command.env_remove("DATABASE_OWNER_URL");
    finish(command).fails(1, &["1 migrations are pending"]);
    run(&admin, "DROP EXTENSION hstore CASCADE").await;
    let found = sandbox.run(&["doctor"]);
    assert!(found.code == 1 && found.out.contains("CREATE EXTENSION hstore"), "{found:?}");
}

/// Before there was a key, two simultaneous edits could leave every word of a text twice.
#[tokio::test]
async fn words_that_are_indexed_twice_do_not_stop_the_migration_that_adds_the_key() {
    let sandbox = Sandbox::with_database().await;
    let admin = PgPool::connect(sandbox.database().admin_url()).await.unwrap();
    let as_before = "DELETE FROM _sqlx_migrations WHERE version IN (154, 161);
        DROP INDEX search_postings_key;
        CREATE INDEX search_postings_object_idx ON search_postings (object_id);
        INSERT INTO search_postings (lexeme, kind, weight, object_id)
            SELECT 'word', 'lesson', 1, '00000000-0000-0000-0000-0000000000aa' FROM generate_series(1, 2)";
    run(&admin, as_before).await;
    sandbox.run(&["migrate"]).ok();
    assert_eq!(scalar::<i64>(&admin, "SELECT count(*) FROM search_postings").await, 1);
}

/// A database with the migrations from before the squash, as sqlx records them.
const BEFORE_THE_SQUASH: &str = "
CREATE TABLE _sqlx_migrations (
    version bigint PRIMARY KEY,
    description text NOT NULL,
    installed_on timestamptz NOT NULL DEFAULT now(),
    success boolean NOT NULL,
    checksum bytea NOT NULL,
    execution_time bigint NOT NULL
);
INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
    SELECT n, 'before', true, sha384(n::text::bytea), 1 FROM generate_series(1, 16) n;
CREATE TABLE users (id uuid PRIMARY KEY);
INSERT INTO users VALUES (gen_random_uuid());
";

/// A hash of all relations, functions and types of the database, its users, and its record of migrations.
const EVERYTHING: &str = "
SELECT md5(string_agg(t, ' ' ORDER BY t)) FROM (
    SELECT relname::text AS t FROM pg_class UNION ALL
    SELECT proname::text FROM pg_proc UNION ALL SELECT typname::text FROM pg_type UNION ALL
    SELECT nspname::text FROM pg_namespace UNION ALL
    SELECT m::text FROM _sqlx_migrations m UNION ALL SELECT u::text FROM users u
) a";

#[tokio::test]
async fn a_database_from_before_the_squash_is_refused_and_left_unchanged() {
    let sandbox = Sandbox::with_empty_database().await;
    let pool = sandbox.pool().await;
    sqlx::raw_sql(BEFORE_THE_SQUASH).execute(&pool).await.unwrap();
    let everything = || async { sqlx::query_scalar::<_, String>(EVERYTHING).fetch_one(&pool).await.unwrap() };
    let before = everything().await;
    for args in [&["migrate"][..], &["migrate", "--check"], &["verify"], &["export"], &["dev"]] {
        let mut command = sandbox.command(args);
        command.env("CAIRN_API_ADDR", "127.0.0.1:0").env("CAIRN_OPS_ADDR", "127.0.0.1:0");
        finish(command)
            .fails(2, &["before the first release", "migration 16", "use an empty database", "cairn export"]);
    }
    let run = sandbox.run(&["doctor"]);
    assert!(run.code == 1 && run.out.contains("FAIL  migrations  the database was made before"), "{run:?}");
    assert_eq!(everything().await, before);
}

/// The embedded database holds only a demonstration, so the message advises to delete it.
#[tokio::test]
async fn an_embedded_database_from_before_the_squash_is_refused_and_left_unchanged() {
    let sandbox = Sandbox::new();
    let start = async || {
        let options = Options::new(sandbox.path().join(".cairn/postgres"), Durability::Relaxed);
        let server = Server::start(options).await.unwrap();
        server.create_database_if_missing("cairn").await.unwrap();
        server
    };
    start().await.stop().await.unwrap();
    sandbox.run(&["migrate"]).ok();
    let server = async || {
        let server = start().await;
        let pool = PgPool::connect(&server.url("cairn")).await.unwrap();
        (server, pool)
    };
    let (running, pool) = server().await;
    sqlx::query("UPDATE _sqlx_migrations SET version = version - 100").execute(&pool).await.unwrap();
    let newest = "SELECT max(version) FROM _sqlx_migrations";
    let before: i64 = sqlx::query_scalar(newest).fetch_one(&pool).await.unwrap();
    pool.close().await;
    let root = running.root().display().to_string();
    running.stop().await.unwrap();
    for args in [&["migrate"][..], &["export"], &["dev"]] {
        let mut command = sandbox.command(args);
        command.env("CAIRN_API_ADDR", "127.0.0.1:0").env("CAIRN_OPS_ADDR", "127.0.0.1:0");
        finish(command).fails(2, &["embedded database", "before the first release", &format!("delete {root}")]);
    }
    let (running, pool) = server().await;
    let after: i64 = sqlx::query_scalar(newest).fetch_one(&pool).await.unwrap();
    assert_eq!(after, before);
    pool.close().await;
    running.stop().await.unwrap();
}

/// A database that one role, a superuser, has made and used until now gets two roles with names of one's own, and keeps its rows.
#[tokio::test]
async fn roles_are_created_and_a_database_is_handed_to_its_owner() {
    let sandbox = Sandbox::with_empty_database().await;
    let database = sandbox.database();
    let admin = PgPool::connect(database.admin_url()).await.unwrap();
    let command = |args: &[&str], urls: &[(&str, &str)]| {
        let mut command = sandbox.command(args);
        command.env_remove("DATABASE_OWNER_URL").envs(urls.iter().copied());
        finish(command)
    };
    let alone = [("DATABASE_URL", database.admin_url())];
    command(&["migrate"], &alone).ok();
    let users = "INSERT INTO users (email, first_name) VALUES ('a@example.test', 'A')";
    sqlx::query(users).execute(&admin).await.unwrap();
    assert!(command(&["doctor"], &alone).out.contains("note  role"), "a superuser is noted");

    let name = |role: &str| format!("{role} {}", std::process::id());
    let (owner, application) = (name("owner"), name("app"));
    let with = |role: &str, password: &str| {
        let address = database.admin_url().split_once('@').unwrap().1;
        format!("postgres://{}:{password}@{address}", role.replace(' ', "%20"))
    };
    let (owner_url, first, second) =
        (with(&owner, "o%2Fw%40n"), with(&application, "first%20'one"), with(&application, "second"));
    let urls = |application| {
        [
            ("DATABASE_ADMIN_URL", database.admin_url()),
            ("DATABASE_OWNER_URL", &*owner_url),
            ("DATABASE_URL", application),
        ]
    };
    command(&["migrate", "--roles"], &urls(&first)[1..]).fails(2, &["DATABASE_ADMIN_URL is not set"]);
    command(&["migrate", "--roles"], &urls(&owner_url)).fails(2, &["the same role"]);
    for application in [&first, &first, &second] {
        assert!(command(&["migrate", "--roles"], &urls(application)).ok().contains("are ready"));
        assert!(command(&["migrate", "--check"], &urls(application)).ok().contains("up to date"));
        let run = command(&["doctor"], &urls(application)[2..]);
        assert!(run.out.contains("ok    role"), "{run:?}");
        assert_eq!(command(&["verify"], &urls(application)[2..]).ok(), "verify: no differences\n");
    }
    assert!(command(&["verify"], &[("DATABASE_URL", &first)]).code != 0, "the password was changed");
    let of_others: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_class WHERE relnamespace IN ('public'::regnamespace, 'apalis'::regnamespace)
           AND pg_get_userbyid(relowner) <> $1",
    )
    .bind(&owner)
    .fetch_one(&admin)
    .await
    .unwrap();
    assert_eq!(of_others, 0);
    // Roles outlive their database.
    for role in [&owner, &application] {
        let drop = format!("DROP OWNED BY \"{role}\" CASCADE; DROP ROLE \"{role}\"");
        sqlx::raw_sql(AssertSqlSafe(drop)).execute(&admin).await.unwrap();
    }
}

#[tokio::test]
async fn commands_require_a_migrated_database() {
    let sandbox = Sandbox::with_empty_database().await;
    for args in [&["verify"][..], &["export"], &["invite", "create"], &["jobs", "stats"]] {
        sandbox.run(args).fails(2, &["cairn migrate"]);
    }
}

/// The chats of the previous system, as they are in production, and the tables they refer to.
const CHATS: &str = "
CREATE TABLE users (id uuid PRIMARY KEY DEFAULT gen_random_uuid());
CREATE TABLE tool_chats (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    tool_type varchar(20) NOT NULL CHECK (tool_type IN ('assistant', 'tz_helper', 'ideas')),
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    UNIQUE (user_id, tool_type)
);
CREATE TABLE tool_messages (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    chat_id uuid NOT NULL REFERENCES tool_chats (id) ON DELETE CASCADE,
    role varchar(10) NOT NULL CHECK (role IN ('user', 'assistant')),
    content text NOT NULL,
    has_copyable_content boolean DEFAULT false,
    created_at timestamptz DEFAULT now()
);
CREATE INDEX idx_tool_messages_chat_id ON tool_messages (chat_id);
INSERT INTO users SELECT ('00000000-0000-0000-0000-00000000000' || n)::uuid FROM generate_series(1, 3) n;
INSERT INTO tool_chats (user_id, tool_type) SELECT id, t FROM users, unnest(ARRAY['assistant', 'ideas']) t;
INSERT INTO tool_messages (chat_id, role, content, has_copyable_content)
    SELECT id, r, r || ' says', NULL FROM tool_chats, unnest(ARRAY['user', 'assistant']) r;
";

const SHAPE: &str = "SELECT string_agg(column_name || ' ' || data_type || ' ' || is_nullable || ' ' || coalesce(column_default, ''), ', '
    ORDER BY table_name, ordinal_position) FROM information_schema.columns WHERE table_name IN ('tool_chats', 'tool_messages')";
const ROWS: &str = "SELECT string_agg(r, ' ' ORDER BY r) FROM (SELECT to_jsonb(c)::text AS r FROM tool_chats c
    UNION ALL SELECT to_jsonb(m)::text FROM tool_messages m) a";

#[tokio::test]
async fn chats_of_the_previous_system_are_adopted_unchanged() {
    let sandbox = Sandbox::with_empty_database().await;
    let pool = sandbox.pool().await;
    sqlx::raw_sql(CHATS).execute(&pool).await.unwrap();
    let text = |query: &'static str| {
        let pool = pool.clone();
        async move { sqlx::query_scalar::<_, String>(query).fetch_one(&pool).await.unwrap() }
    };
    let (shape, rows) = (text(SHAPE).await, text(ROWS).await);
    sandbox.run(&["migrate"]).ok();
    assert_eq!((text(SHAPE).await, text(ROWS).await), (shape, rows));
    let adopted: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM users WHERE email = id || '@adopted.invalid' AND first_name = 'Learner'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(adopted, 3);
    assert_eq!(sandbox.run(&["verify"]).ok(), "verify: no differences\n");
}

#[tokio::test]
async fn verify_lists_differences_and_exits_with_code_1() {
    let sandbox = Sandbox::with_database().await;
    assert_eq!(sandbox.run(&["verify"]).ok(), "verify: no differences\n");
    let pool = sandbox.pool().await;
    sqlx::query("INSERT INTO users (email, first_name, progress_percent) VALUES ('a@example.test', 'A', 7)")
        .execute(&pool)
        .await
        .unwrap();
    let run = sandbox.run(&["verify"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.out.contains("user_progress: 1") && run.out.contains("\"progress_percent\":7"), "{run:?}");
    let run = sandbox.run(&["verify", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!((run.code, &report["findings"][0]["kind"]), (1, &"user_progress".into()));
    sqlx::query("INSERT INTO apalis.jobs (id, job_type, job) VALUES ('1', 'likes', '')").execute(&pool).await.unwrap();
    sqlx::query("DELETE FROM users").execute(&pool).await.unwrap();
    assert_eq!(sandbox.run(&["verify"]).code, 1);
    assert_eq!(sandbox.run(&["verify", "--while-running"]).code, 0);
}

#[tokio::test]
async fn the_doctor_says_what_is_wrong_and_what_to_do() {
    let sandbox = Sandbox::with_empty_database().await;
    let run = sandbox.run(&["doctor"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.out.contains("FAIL  migrations") && run.out.contains("run `cairn migrate`"), "{run:?}");
    sandbox.run(&["migrate"]).ok();
    let healthy = sandbox.run(&["doctor"]);
    assert!(!healthy.ok().contains("FAIL"), "{healthy:?}");
    assert!(healthy.out.contains("CAIRN_JWT_SECRET is not set"), "{healthy:?}");
    let pool = sandbox.pool().await;
    // What a program that knows no keys has written.
    sqlx::query("INSERT INTO users (email, first_name) VALUES ('Old@Example.test', 'Old')")
        .execute(&pool)
        .await
        .unwrap();
    let run = sandbox.run(&["doctor"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.out.contains("FAIL  addresses") && run.out.contains("1 accounts cannot sign in"), "{run:?}");
    sqlx::query("DELETE FROM users").execute(&pool).await.unwrap();
    sqlx::query(
        "INSERT INTO apalis.jobs (id, job_type, job, run_at) VALUES ('1', 'likes', '', now() - interval '2 minutes')",
    )
    .execute(&pool)
    .await
    .unwrap();
    let run = sandbox.run(&["doctor"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.out.contains("FAIL  jobs") && run.out.contains("start cairn-worker"), "{run:?}");
    assert!(run.out.contains("FAIL  workers     no worker for likes"), "{run:?}");
    sandbox.run(&["jobs", "pause", "likes"]).ok();
    sqlx::query("INSERT INTO apalis.jobs (id, job_type, job, status) VALUES ('2', 'replies', '', 'Killed')")
        .execute(&pool)
        .await
        .unwrap();
    // The event of the pause is due as well.
    sqlx::query("DELETE FROM apalis.jobs WHERE job_type = 'activity'").execute(&pool).await.unwrap();
    let run = sandbox.run(&["doctor"]);
    assert!(run.ok().contains("note  paused      likes"), "{run:?}");
    assert!(run.out.contains("note  dead        1 in replies"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_checks_the_provider_and_does_not_print_its_key() {
    let sandbox = Sandbox::with_empty_database().await;
    sandbox.run(&["migrate"]).ok();
    let stub = Stub::start().await.unwrap();
    let doctor = |url: &str, model: &str, key: &str| {
        let mut command = sandbox.command(&["doctor"]);
        command.envs([("CAIRN_AI_BASE_URL", url), ("CAIRN_AI_MODEL", model), ("CAIRN_AI_API_KEY", key)]);
        crate::support::finish(command)
    };
    let base_url = stub.base_url();
    let run = doctor(&base_url, "stub", "right-key");
    assert!(run.ok().contains("answers and offers stub"), "{run:?}");
    let run = doctor(&base_url, "other", "right-key");
    assert!(run.ok().contains("note  ai") && run.out.contains("correct CAIRN_AI_MODEL"), "{run:?}");
    let run = doctor(&base_url, "stub", "wrong-key");
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.out.contains("FAIL  ai") && run.out.contains("correct CAIRN_AI_API_KEY"), "{run:?}");
    assert!(!run.out.contains("wrong-key") && !run.err.contains("wrong-key"), "{run:?}");
    let run = doctor("http://127.0.0.1:1/v1", "stub", "right-key");
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.out.contains("correct CAIRN_AI_BASE_URL"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_checks_the_endpoint_for_embeddings() {
    let sandbox = Sandbox::with_empty_database().await;
    sandbox.run(&["migrate"]).ok();
    assert!(sandbox.run(&["doctor"]).ok().contains("CAIRN_EMBEDDINGS_BASE_URL is not set"));
    let stub = Stub::start().await.unwrap();
    let doctor = |url: &str| {
        let mut command = sandbox.command(&["doctor"]);
        command.envs([("CAIRN_EMBEDDINGS_BASE_URL", url), ("CAIRN_EMBEDDINGS_MODEL", "stub")]);
        crate::support::finish(command)
    };
    let run = doctor(&stub.base_url());
    assert!(run.ok().contains("stub makes vectors of 384 dimensions"), "{run:?}");
    let run = doctor("http://127.0.0.1:1/v1");
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.out.contains("FAIL  embeddings") && run.out.contains("correct CAIRN_EMBEDDINGS_BASE_URL"), "{run:?}");
}
