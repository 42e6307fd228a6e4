//! Databases with several hosts, and sessions that can no longer write.

use std::time::Duration;

use cairn_core::db::{Db, connect_options};
use cairn_core::hosts::{self, Moves};
use cairn_core::{Error, Transient};
use cairn_postgres::testing::throw_away_server;
use cairn_postgres::{Durability, Server};
use cairn_testing::database::{TestDb, run, scalar};
use cairn_testing::eventually;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// A server with the role and the table of the test.
async fn server() -> Server {
    let server = throw_away_server(Durability::Relaxed, &[]).await.unwrap();
    let sql = "CREATE ROLE pair SUPERUSER LOGIN PASSWORD 'same'; CREATE TABLE written (at timestamptz)";
    superuser(&server, sql).await;
    server
}

async fn superuser(server: &Server, sql: &str) {
    let mut connection = PgConnection::connect(&server.url("postgres")).await.unwrap();
    for statement in sql.split(';') {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.unwrap();
    }
}

/// As of a standby: it answers, and refuses writes.
async fn refuse_writes(server: &Server) {
    superuser(server, "ALTER SYSTEM SET default_transaction_read_only = on; SELECT pg_reload_conf()").await;
}

async fn accept_writes(server: &Server) {
    let sql = "SET default_transaction_read_only = off; ALTER SYSTEM RESET default_transaction_read_only; SELECT pg_reload_conf()";
    superuser(server, sql).await;
}

/// Writes, and returns the port of the server that did it.
async fn write(db: &Db) -> cairn_core::Result<i32> {
    let mut tx = db.begin().await?;
    sqlx::query("INSERT INTO written VALUES (now())").execute(&mut *tx).await?;
    let port = sqlx::query_scalar("SELECT inet_server_port()").fetch_one(&mut *tx).await?;
    tx.commit().await?;
    Ok(port)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_that_accepts_writes_is_used_and_found_again_after_a_failover() {
    let (one, two) = tokio::join!(server(), server());
    let (first, second) = (i32::from(one.port()), i32::from(two.port()));
    refuse_writes(&one).await;
    let url =
        format!("postgres://pair:same@127.0.0.1:{first},127.0.0.1:{second}/postgres?target_session_attrs=read-write");
    let options = connect_options(&url).unwrap();
    assert_eq!(i32::from(hosts::writable(&options).await.get_port()), second);
    let mut moves = Moves::of(&options);
    let db = Db::connect(&url, &url, 4).unwrap();
    assert_eq!(write(&db).await.unwrap(), second, "the first request already");
    let shared = db.share(2);
    assert_eq!(write(&shared).await.unwrap(), second);

    // The old primary refuses writes before the new one accepts them. Sessions live on, as nobody ends them.
    refuse_writes(&two).await;
    accept_writes(&one).await;
    for db in [&db, &shared] {
        eventually("writes go to the other host", async || match write(db).await {
            Ok(port) => port == first,
            Err(error) => {
                assert!(error.is_unavailable(), "{error}");
                false
            }
        })
        .await;
    }
    tokio::time::timeout(Duration::from_secs(5), moves.next()).await.expect("listeners are told");
    assert_eq!(i32::from(hosts::writable(&options).await.get_port()), first);

    // A host that is gone is passed over.
    accept_writes(&two).await;
    one.stop().await.unwrap();
    eventually("writes go to the host that is left", async || write(&db).await.is_ok_and(|port| port == second)).await;
    two.stop().await.unwrap();
}

#[tokio::test]
async fn a_database_that_only_reads_is_not_used_where_writes_are_demanded() {
    let test = TestDb::new().await;
    let demanding = format!("{}?target_session_attrs=read-write", test.url());
    let name: String = scalar(test.pool(), "SELECT current_database()::text").await;
    run(test.admin(), format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
    let db = Db::connect(&demanding, &demanding, 2).unwrap();
    let refused = Error::from(db.pool().acquire().await.unwrap_err());
    assert_eq!(refused.transient(), Some(Transient::Unreachable));
    run(test.admin(), format!("BEGIN READ WRITE; ALTER DATABASE {name} RESET default_transaction_read_only; COMMIT"))
        .await;
    sqlx::query("UPDATE users SET first_name = 'X'").execute(db.pool()).await.unwrap();
}

/// Whoever connected while the database refused writes would keep a session that cannot write, for half an hour.
#[tokio::test]
async fn sessions_that_cannot_write_are_replaced() {
    let test = TestDb::new().await;
    let name: String = scalar(test.pool(), "SELECT current_database()::text").await;
    run(test.admin(), format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
    let db = Db::connect(test.url(), test.url(), 3).unwrap();
    let held =
        [db.pool().acquire().await.unwrap(), db.pool().acquire().await.unwrap(), db.pool().acquire().await.unwrap()];
    drop(held);
    run(test.admin(), format!("BEGIN READ WRITE; ALTER DATABASE {name} RESET default_transaction_read_only; COMMIT"))
        .await;
    let update =
        async || sqlx::query("UPDATE users SET first_name = 'X'").execute(db.pool()).await.map_err(Error::from);
    assert_eq!(update().await.unwrap_err().transient(), Some(Transient::ReadOnly));
    // As before a request is done again. Sessions are not replaced twice within a moment, and those of another test may just have been.
    Transient::ReadOnly.settle().await;
    for _ in 0..6 {
        update().await.unwrap();
    }
}
