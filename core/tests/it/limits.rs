//! What the limits of connections end, so that nothing that hangs keeps locks or connections for ever.

use std::time::Duration;

use cairn_core::db::{Purpose, acquire, connect, lazy_pool, observer_pool};
use cairn_testing::database::{TestDb, run, scalar};
use sqlx::Connection;

#[tokio::test]
async fn connections_have_the_limits_of_their_purpose() {
    let test = TestDb::new().await;
    for purpose in [Purpose::Requests, Purpose::Leases, Purpose::Batches, Purpose::Maintenance] {
        let limits = purpose.limits();
        let pools = [
            lazy_pool(test.url(), 1, purpose).unwrap(),
            test.db.clone().for_purpose(purpose).pool().clone(),
            test.db.share(2).for_purpose(Purpose::Batches).for_purpose(purpose).share(1).pool().clone(),
        ];
        for pool in pools {
            let settings: Vec<(String, i64)> = cairn_testing::database::rows(
                &pool,
                "SELECT name, setting::bigint FROM pg_settings
                 WHERE name IN ('idle_in_transaction_session_timeout', 'lock_timeout', 'statement_timeout') ORDER BY name",
            )
            .await;
            let set: Vec<Duration> =
                settings.iter().map(|(_, ms)| Duration::from_millis(u64::try_from(*ms).unwrap())).collect();
            assert_eq!(set, [limits.idle_in_transaction, limits.lock, limits.statement], "{purpose:?}");
        }
        assert!(limits.lock < limits.statement && limits.statement < limits.hold, "{limits:?}");
    }
}

/// A plan that was made while a table was empty may be used when it has thousands of rows.
#[tokio::test]
async fn leases_are_found_by_indexes_whatever_the_planner_believes() {
    let test = TestDb::new().await;
    for (purpose, scans) in [(Purpose::Leases, "off"), (Purpose::Requests, "on")] {
        let pool = lazy_pool(test.url(), 1, purpose).unwrap();
        assert_eq!(scalar::<String>(&pool, "SELECT current_setting('enable_seqscan')").await, scans, "{purpose:?}");
    }
}

/// Whatever the defaults of the server, the database and the role are.
#[tokio::test]
async fn every_connection_is_read_committed_and_the_server_notices_that_a_client_is_gone() {
    let test = TestDb::new().await;
    let database: String = scalar(test.admin(), "SELECT current_database()").await;
    run(test.admin(), format!("ALTER DATABASE {database} SET default_transaction_isolation = 'serializable'")).await;
    let direct = connect(&test.db.direct_options()).await.unwrap();
    let pools = [lazy_pool(test.url(), 1, Purpose::Imports).unwrap(), observer_pool(test.db.direct_options())];
    let pooled = [acquire(&pools[0]).await.unwrap(), acquire(&pools[1]).await.unwrap()];
    let [mut first, mut second] = pooled;
    let mut direct = direct;
    for connection in [&mut *first, &mut *second, &mut direct] {
        for (setting, expected) in [
            ("transaction_isolation", "read committed"),
            ("client_connection_check_interval", "1s"),
            ("tcp_user_timeout", "25000"),
            ("tcp_keepalives_idle", "10"),
        ] {
            let query = sqlx::query_scalar("SELECT current_setting($1)").bind(setting);
            let set: String = query.fetch_one(&mut *connection).await.unwrap();
            assert_eq!(set, expected, "{setting}");
        }
    }
}

/// The caller is told to try again later, as when no connection is free. Nobody else can help.
#[tokio::test]
async fn what_a_limit_ends_may_be_tried_again() {
    let test = TestDb::new().await;
    let mut holder = test.db.begin().await.unwrap();
    sqlx::query("LOCK TABLE users IN SHARE MODE").execute(&mut *holder).await.unwrap();
    for (limit, statement) in [
        ("statement_timeout", "SELECT pg_sleep(60)"),
        ("lock_timeout", "UPDATE users SET first_name = 'X'"),
        ("lock_timeout", "LOCK TABLE users IN ROW EXCLUSIVE MODE"),
    ] {
        let mut tx = test.db.begin().await.unwrap();
        let shortened = format!("SET LOCAL {limit} = '1ms'");
        sqlx::raw_sql(sqlx::AssertSqlSafe(shortened)).execute(&mut *tx).await.unwrap();
        let error = sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut *tx).await.unwrap_err();
        assert!(cairn_core::Error::from(error).is_unavailable(), "{statement}");
    }
    drop(holder);
    run(test.pool(), "UPDATE users SET first_name = 'X'").await;
    let mut idle = test.connect().await;
    let begin = "SET idle_in_transaction_session_timeout = '1ms'; BEGIN; SELECT 1";
    sqlx::raw_sql(begin).execute(&mut idle).await.unwrap();
    cairn_testing::eventually("the idle transaction is ended", async || idle.ping().await.is_err()).await;
}
