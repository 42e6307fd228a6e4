//! Databases for tests.

use cairn_postgres::testing::test_database;
use sqlx::{Connection, PgConnection, PgPool};

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
async fn test_databases_are_isolated_and_gone_after_drop() {
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
    let left: i64 = sqlx::query_scalar(gone).bind(name).fetch_one(&in_second).await.unwrap();
    assert_eq!(left, 0, "dropped although connections to it are open");
}
