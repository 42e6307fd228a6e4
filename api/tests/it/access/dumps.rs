//! What operators keep for a bad day: dumps of a school with rows in all tables, restored as their programs do it.

use std::path::Path;
use std::process::Command;

use cairn_core::admin::verify::{Mode, verify};
use cairn_core::db::APPLICATION;
use cairn_postgres::Search;
use cairn_postgres::testing::{TestDatabase, test_database};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::school::School;
use super::table::Who;
use crate::support::TestApp;

/// Runs a program of Postgres, which may not say anything.
async fn run(program: &str, arguments: &[&str]) {
    let binaries = Search::of_machine(std::env::temp_dir()).find(None).await.unwrap();
    let output = Command::new(binaries.dir().join(program)).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program}: {said}");
}

/// The number of rows of each table, and a sum over their contents.
async fn contents(url: &str) -> Vec<(String, i64, String)> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', nspname, relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE relkind IN ('r', 'p', 'm') AND NOT relispartition AND nspname IN ('public', 'apalis') ORDER BY 1",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let mut contents = Vec::new();
    for table in tables {
        let query =
            format!("SELECT '{table}', count(*), coalesce(sum(hashtextextended(t::text, 0)), 0)::text FROM {table} t");
        contents.push(sqlx::query_as(AssertSqlSafe(query)).fetch_one(&mut connection).await.unwrap());
    }
    contents
}

async fn empty() -> TestDatabase {
    test_database("cairn_restored", async |_: &str| Ok::<(), sqlx::Error>(())).await.unwrap()
}

/// Asserts that the platform works with the restored database: it answers and accepts, and every derived value is as it was in
/// the school, of which some were made up.
async fn works(school: &School, database: TestDatabase) {
    let app = TestApp::on(database.used_by(APPLICATION));
    app.leave_jobs();
    let differences =
        async |app: &TestApp| format!("{:?}", verify(app.app.pool(), Mode::Strict).await.unwrap().findings);
    assert_eq!(differences(&app).await, differences(&school.app).await);
    app.run_jobs().await;
    let learner = app.signed_in(super::school::named(Who::Learner.name()), super::school::named("s learner"));
    learner.get("/v1/roadmaps").await.expect(200);
    learner.patch("/v1/me", serde_json::json!({"first_name": "Renamed"})).await.expect(200);
    app.run_jobs().await;
}

#[tokio::test]
async fn a_dump_is_restored_whole() {
    let school = School::new(2).await;
    let source = school.app.superuser_url();
    let folder = tempfile::tempdir().unwrap();
    let file = path(&folder.path().join("dump"));
    run("pg_dump", &["--format=custom", "--exclude-schema=original", "--file", &file, "--dbname", source]).await;
    let restored = empty().await;
    run("pg_restore", &["--exit-on-error", "--dbname", restored.admin_url(), &file]).await;
    assert_eq!(contents(restored.admin_url()).await, contents(source).await);
    works(&school, restored).await;
}

#[tokio::test]
async fn data_alone_is_restored_into_a_migrated_database() {
    let school = School::new(2).await;
    let source = school.app.superuser_url();
    let folder = tempfile::tempdir().unwrap();
    let (schema, data) = (path(&folder.path().join("schema")), path(&folder.path().join("data")));
    let dump = ["--format=custom", "--exclude-schema=original", "--dbname", source];
    run("pg_dump", &[&dump[..], &["--schema-only", "--file", &schema]].concat()).await;
    run("pg_dump", &[&dump[..], &["--data-only", "--file", &data]].concat()).await;
    let restored = empty().await;
    run("pg_restore", &["--exit-on-error", "--dbname", restored.admin_url(), &schema]).await;
    run("pg_restore", &["--exit-on-error", "--disable-triggers", "--dbname", restored.admin_url(), &data]).await;
    assert_eq!(contents(restored.admin_url()).await, contents(source).await);
    works(&school, restored).await;
}

fn path(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
