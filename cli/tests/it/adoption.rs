//! The platform that Cairn replaces: `cairn adopt --check`, `cairn import-legacy`, and `cairn migrate` over its database.

use std::collections::{BTreeMap, BTreeSet};

use cairn_core::db::Db;
use cairn_core::users::accounts::find_credentials;
use cairn_core::users::passwords::{Passwords, Verdict};
use cairn_core::users::rules::Email;
use cairn_postgres::testing::{TestDatabase, test_database};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};

use crate::dev::Dev;
use crate::support::{LEFT_OUT, Run, Sandbox, finish};

const PLATFORM: &str = include_str!("legacy/platform.sql");
const PASSWORD: &str = "старый пароль";
const HASH: &str = "$2b$04$mr/6q9kPg7ecDToCaacj3e6JpFrBSnfjZ4vWj7fZwz.k2OJgvZYc6";

/// The two versions of the platform that are documented.
#[derive(Clone, Copy)]
enum Ids {
    Uuids,
    Numbers,
}

impl Ids {
    fn id(self, n: &str) -> String {
        match self {
            Self::Uuids => format!("00000000-0000-4000-8000-{n:0>12}"),
            Self::Numbers => n.to_owned(),
        }
    }

    fn sql(self) -> String {
        let (types, id, role) = match self {
            Self::Uuids => ("CREATE TYPE user_role AS ENUM ('student', 'admin', 'mentor');\n", "uuid", "user_role"),
            Self::Numbers => ("", "integer", "varchar(20)"),
        };
        let text = PLATFORM.replace("{id}", id).replace("{role}", role).replace("{hash}", HASH);
        let mut parts = text.split('#');
        let mut sql = types.to_owned() + parts.next().unwrap();
        for part in parts {
            let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap();
            let written = match (self, &part[..digits]) {
                (_, "") => "#".to_owned(),
                (Self::Uuids, n) => format!("'{}'", self.id(n)),
                (Self::Numbers, n) => n.to_owned(),
            };
            sql.push_str(&written);
            sql += &part[digits..];
        }
        sql
    }
}

/// The old platform's database.
struct Legacy(TestDatabase);

impl Legacy {
    async fn with(sql: &str) -> Self {
        let database = test_database("cairn_cli_legacy", async |_: &str| Ok::<(), sqlx::Error>(())).await.unwrap();
        let legacy = Self(database);
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&legacy.pool().await).await.unwrap();
        legacy
    }

    async fn pool(&self) -> PgPool {
        PgPool::connect(self.0.admin_url()).await.unwrap()
    }

    fn run(&self, sandbox: &Sandbox, args: &[&str]) -> Run {
        let mut command = sandbox.command(args);
        command.env("CAIRN_LEGACY_URL", self.0.admin_url());
        finish(command)
    }
}

async fn scalar<T>(pool: &PgPool, query: &str) -> T
where
    T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(pool).await.unwrap()
}

/// A hash of every row of every table in the schema `public`.
async fn everything(pool: &PgPool) -> String {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
           AND relname NOT IN ('search_changes', 'catalog_changes') ORDER BY 1",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let mut all = String::new();
    for table in tables {
        let query = format!("SELECT coalesce(md5(string_agg(t::text, ' ' ORDER BY t::text)), '') FROM \"{table}\" t");
        let line = format!("{table} {}\n", scalar::<String>(pool, &query).await);
        all.push_str(&line);
    }
    all
}

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

/// A platform without anything odd: everybody takes the same lessons.
fn plain_platform(people: u32, lessons: u32, hashes: &[&str]) -> String {
    let hashes = hashes.join("','");
    format!(
        "CREATE TABLE users (
             id serial PRIMARY KEY, email text, password_hash text, first_name text, role text, status text, created_at timestamptz
         );
         INSERT INTO users (email, password_hash, first_name, role, status, created_at)
         SELECT 'Learner.' || n || '@Example.test', (ARRAY['{hashes}'])[1 + n % {count}], 'Ученик ' || n, 'student', 'active',
             timestamptz '2024-01-01' + n * interval '1 minute'
         FROM generate_series(0, {people} - 1) n;
         CREATE TABLE course_modules (id serial PRIMARY KEY, title text, status text, sort_order smallint);
         INSERT INTO course_modules (title, status, sort_order) SELECT 'Модуль ' || n, 'available', n FROM generate_series(1, 2) n;
         CREATE TABLE lessons (id serial PRIMARY KEY, module_id integer, title text, status text, sort_order smallint);
         INSERT INTO lessons (module_id, title, status, sort_order)
         SELECT 1 + n % 2, 'Урок ' || n, 'available', n FROM generate_series(1, {lessons}) n;
         CREATE TABLE user_lesson_progress (
             id serial PRIMARY KEY, user_id integer, lesson_id integer, status text, completed_at timestamptz
         );
         INSERT INTO user_lesson_progress (user_id, lesson_id, status, completed_at)
         SELECT u.id, l.id, 'completed', timestamptz '2024-06-01' + l.id * interval '1 day' FROM users u CROSS JOIN lessons l;",
        count = hashes.split(',').count(),
    )
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

/// Hashes as other libraries write them, of the same password.
#[tokio::test(flavor = "multi_thread")]
async fn people_sign_in_over_http_with_the_passwords_that_they_had() {
    let _ = rustls::crypto::ring::default_provider().install_default(); // another test may have done it
    let hashes = ["$2a$", "$2b$", "$2y$"].map(|version| HASH.replacen("$2b$", version, 1));
    let legacy = Legacy::with(&plain_platform(4, 3, &hashes.each_ref().map(String::as_str))).await;
    let more = format!(
        "INSERT INTO users (email, password_hash, first_name, role, status, created_at) VALUES
             ('out@example.test', '{HASH}', 'Вне', 'student', 'inactive', now()), ('ada@example.test', '{HASH}', 'Ада', 'admin', 'active', now())"
    );
    sqlx::raw_sql(AssertSqlSafe(more)).execute(&legacy.pool().await).await.unwrap();
    let sandbox = Sandbox::with_database().await;
    legacy.run(&sandbox, &["import-legacy"]).ok();
    let dev = Dev::start(&sandbox);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let sign_in = async |email: &str, password: &str| {
        let body = serde_json::json!({ "email": email, "password": password });
        let answer = client.post(format!("{}/v1/auth/login", dev.url)).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    for n in 0..4 {
        let email = format!("LEARNER.{n}@example.test");
        assert_eq!(sign_in(&email, "another password").await.0, 401);
        let (status, session) = sign_in(&email, PASSWORD).await;
        assert_eq!((status, &session["user"]["first_name"]), (200, &Value::from(format!("Ученик {n}"))), "{session}");
        let roadmaps = client
            .get(format!("{}/v1/roadmaps", dev.url))
            .bearer_auth(session["tokens"]["access_token"].as_str().unwrap())
            .send()
            .await
            .unwrap();
        let roadmaps: Value = roadmaps.json().await.unwrap();
        let course = roadmaps["items"].as_array().unwrap().iter().find(|roadmap| roadmap["title"] == "Курс").unwrap();
        assert_eq!(
            (&course["percent"], &course["lessons_completed"]),
            (&Value::from(100), &Value::from(3)),
            "{course}"
        );
    }
    let (status, problem) = sign_in("out@example.test", PASSWORD).await;
    assert_eq!((status, &problem["code"]), (403, &Value::from("account_suspended")), "{problem}");
    let (status, admin) = sign_in("ada@example.test", PASSWORD).await;
    assert_eq!((status, &admin["user"]["role"]), (200, &Value::from("admin")), "{admin}");
    // Whoever has signed in has a hash of ours, and the same password.
    let ours = "SELECT count(*) FROM users WHERE password_hash LIKE '$argon2id$%'";
    assert_eq!(scalar::<i64>(&sandbox.pool().await, ours).await, 5);
    assert_eq!(sign_in("learner.0@example.test", PASSWORD).await.0, 200);
    assert_eq!(dev.stop(), 0);
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

#[test]
fn the_document_says_what_becomes_of_every_table() {
    let document = include_str!("../../../docs/ADOPTION.md");
    let rows: Vec<&str> = document.lines().filter(|line| line.starts_with("| `")).collect();
    let expected = cairn_core::legacy::tables().map(|table| format!("| `{}` | {} |", table.name, table.becomes));
    assert_eq!(rows, expected.collect::<Vec<_>>());
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
