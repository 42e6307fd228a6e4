//! Tests of the databases for tests.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cairn_postgres::testing::{URL_VARIABLE, test_database, throw_away_server};
use cairn_postgres::{Durability, Error};
use sqlx::{Connection, PgConnection, PgPool};

use crate::support::Process;

async fn prepare(url: &str) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql("CREATE TABLE note (body text); INSERT INTO note VALUES ('from the template')")
        .execute(&mut connection)
        .await?;
    connection.close().await
}

async fn notes(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar("SELECT body FROM note ORDER BY body").fetch_all(pool).await.unwrap()
}

#[tokio::test]
async fn test_databases_are_isolated_and_dropped() {
    let first = test_database("notes", prepare).await.unwrap();
    let second = test_database("notes", prepare).await.unwrap();
    let (in_first, in_second) =
        (PgPool::connect(first.url()).await.unwrap(), PgPool::connect(second.url()).await.unwrap());
    sqlx::query("INSERT INTO note VALUES ('mine')").execute(&in_first).await.unwrap();
    assert_eq!(notes(&in_first).await, ["from the template", "mine"]);
    assert_eq!(notes(&in_second).await, ["from the template"]);

    let name = first.name().to_owned();
    drop(first);
    let gone = "SELECT count(*) FROM pg_database WHERE datname = $1";
    let begun = Instant::now();
    while sqlx::query_scalar::<_, i64>(gone).bind(&name).fetch_one(&in_second).await.unwrap() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "open connections prevent the database from being dropped");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_template_is_prepared_once() {
    let prepared = AtomicUsize::new(0);
    let make = || {
        test_database("counted", async |url: &str| {
            prepared.fetch_add(1, Ordering::SeqCst);
            prepare(url).await
        })
    };
    let (first, second, third) = tokio::join!(make(), make(), make());
    assert_eq!(prepared.load(Ordering::SeqCst), 1);
    let names = [first.unwrap(), second.unwrap(), third.unwrap()].map(|database| database.name().to_owned());
    assert!(names[0] != names[1] && names[1] != names[2]);
}

#[tokio::test]
async fn a_failed_preparation_leaves_no_template() {
    let fail = async |url: &str| {
        prepare(url).await?;
        Err(sqlx::Error::Protocol("on purpose".to_owned()))
    };
    let error = test_database("failing", fail).await.unwrap_err();
    assert!(matches!(&error, Error::Prepare(reason) if reason.to_string().contains("on purpose")), "{error}");
    let database = test_database("failing", prepare).await.unwrap();
    let pool = PgPool::connect(database.url()).await.unwrap();
    assert_eq!(notes(&pool).await, ["from the template"]);
}

#[tokio::test]
async fn an_open_connection_to_the_template_is_harmless() {
    let mut left_open = None;
    let database = test_database("leaking", async |url: &str| {
        left_open = Some(PgConnection::connect(url).await?);
        prepare(url).await
    });
    let database = database.await.unwrap();
    let pool = PgPool::connect(database.url()).await.unwrap();
    assert_eq!(notes(&pool).await, ["from the template"]);
}

#[tokio::test]
async fn processes_can_share_a_server_and_remove_databases_of_killed_ones() {
    let server = throw_away_server(Durability::Relaxed, &[]).await.unwrap();
    let mut ended = Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    server.create_database_if_missing(&format!("cairn_test_{}_0", ended.id())).await.unwrap();
    server.create_database_if_missing(&format!("cairn_test_{}_0", std::process::id())).await.unwrap();

    let test = "testing::test_databases_are_isolated_and_dropped";
    let run = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", test]).env(URL_VARIABLE, server.url("postgres")).stdout(Stdio::null());
        Process(command.spawn().unwrap())
    };
    for mut process in [run(), run(), run()] {
        assert!(process.0.wait().unwrap().success());
    }
    let pool = PgPool::connect(&server.url("postgres")).await.unwrap();
    let names = "SELECT datname FROM pg_database WHERE datname LIKE 'cairn_test_%' OR datname LIKE 'cairn_template_%'";
    let names: Vec<String> = sqlx::query_scalar(names).fetch_all(&pool).await.unwrap();
    let templates = names.iter().filter(|name| name.starts_with("cairn_template_")).count();
    assert_eq!(templates, 1, "the processes share the template: {names:?}");
    assert!(names.contains(&format!("cairn_test_{}_0", std::process::id())), "this process is alive");
    assert!(!names.contains(&format!("cairn_test_{}_0", ended.id())), "the process has ended");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_throw_away_server_removes_its_directory_and_those_of_killed_processes() {
    let server = throw_away_server(Durability::Full, &[]).await.unwrap();
    let root = server.root().to_owned();
    assert!(root.join("data").exists());
    let mut ended = Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    let left_over = root.with_file_name(format!("{}-0", ended.id()));
    std::fs::create_dir_all(left_over.join("data")).unwrap();
    server.stop().await.unwrap();
    assert!(!root.exists());

    let server = throw_away_server(Durability::Relaxed, &[]).await.unwrap();
    assert!(!left_over.exists());
    server.stop().await.unwrap();
}
