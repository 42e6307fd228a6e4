//! The platform that Cairn replaces: `cairn adopt --check`, `cairn import-legacy`, and `cairn migrate` over its database.

mod carried_over;
mod check;
mod migrated_over;
mod oddities;
mod refused_rows;
mod runs;
mod sign_ins;
mod values;

use cairn_postgres::testing::{TestDatabase, test_database};
use sqlx::{AssertSqlSafe, PgPool};

use crate::support::{Run, Sandbox, finish};

const PLATFORM: &str = include_str!("platform.sql");
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
