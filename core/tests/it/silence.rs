//! Connections that no longer answer cost whoever uses them, and nobody else.

use std::time::Duration;

use cairn_core::Error;
use cairn_core::batcher::Batcher;
use cairn_core::db::{Connection, Db, Listener, acquire, connect, observer_pool, within};
use cairn_core::queue::{CHANNEL, Queue};
use cairn_testing::database::{TestDb, lock_waiters, run, until_waiting};
use cairn_testing::eventually;
use cairn_testing::proxy::Proxy;
use tokio::time::timeout;

/// Far longer than everything that these tests wait for, and far shorter than for ever.
const PATIENCE: Duration = Duration::from_secs(30);

async fn behind_a_proxy(connections: u32) -> (TestDb, Proxy, Db) {
    let test = TestDb::new().await;
    let proxy = Proxy::start(test.url()).await;
    let db = Db::connect(proxy.url(), proxy.url(), connections).unwrap();
    (test, proxy, db)
}

/// Takes all connections of the pool.
async fn fill(db: &Db) -> Vec<Connection> {
    let mut held = Vec::new();
    for _ in 0..db.pool().options().get_max_connections() {
        held.push(db.acquire().await.unwrap());
    }
    held
}

async fn select(connection: &mut Connection) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar("SELECT 1").fetch_one(&mut **connection).await
}

/// However often it happens: no place in the pool is lost.
#[tokio::test]
async fn silent_connections_are_replaced_whatever_they_were_doing() {
    let (_test, proxy, db) = behind_a_proxy(3).await;
    for _ in 0..3 {
        let mut held = fill(&db).await;
        drop(held.pop());
        let hanging = within(Duration::from_millis(20), async {
            let mut tx = db.begin().await?;
            proxy.silence_existing();
            sqlx::query("SELECT 1").execute(&mut *tx).await?;
            Ok::<_, Error>(())
        });
        assert!(hanging.await.unwrap_err().is_unavailable());
        drop(held);
        let all = async {
            for mut connection in fill(&db).await {
                assert_eq!(select(&mut connection).await.unwrap(), 1);
            }
        };
        timeout(PATIENCE, all).await.expect("the pool works again");
    }
    db.close().await;
}

/// A server that is frozen answers nobody. When it goes on, so does everybody.
#[tokio::test]
async fn nothing_waits_for_ever_for_a_server_that_answers_nobody() {
    let (_test, proxy, db) = behind_a_proxy(2).await;
    drop(fill(&db).await);
    proxy.silence_all();
    let observer = observer_pool(db.direct_options());
    let all = async {
        assert!(db.acquire().await.unwrap_err().is_unavailable());
        assert!(db.begin().await.is_err_and(|error| error.is_unavailable()));
        assert!(acquire(&observer).await.unwrap_err().is_unavailable());
        assert!(connect(&db.direct_options()).await.unwrap_err().is_unavailable());
        assert!(Listener::open(&db.direct_options(), CHANNEL).await.unwrap_err().is_unavailable());
    };
    timeout(PATIENCE, all).await.expect("every wait has a limit");
    proxy.restore();
    eventually("the pool works again", async || db.begin().await.is_ok()).await;
    eventually("the observer works again", async || acquire(&observer).await.is_ok()).await;
    proxy.silence_all();
    timeout(PATIENCE, db.close()).await.expect("closing has a limit");
}

/// As when a client goes away, or a request reaches its limit.
#[tokio::test]
async fn a_statement_that_is_cancelled_gives_its_connection_back_and_waits_for_no_lock_any_more() {
    let (test, _proxy, db) = behind_a_proxy(1).await;
    let mut holder = test.db.begin().await.unwrap();
    sqlx::query("SELECT pg_advisory_xact_lock(7)").execute(&mut *holder).await.unwrap();
    for in_transaction in [false, true] {
        let waiting = async {
            let query = sqlx::query("SELECT pg_advisory_lock(7)");
            if in_transaction {
                query.execute(&mut *db.begin().await.unwrap()).await
            } else {
                query.execute(&mut *db.acquire().await.unwrap()).await
            }
        };
        tokio::select! {
            result = waiting => panic!("{result:?}"),
            () = until_waiting(test.pool(), 1) => {}
        }
        assert_eq!(select(&mut db.acquire().await.unwrap()).await.unwrap(), 1);
        eventually("nobody waits", async || lock_waiters(test.pool()).await == 0).await;
    }
}

/// What has no answer counts; what is done without a connection takes as long as it takes.
#[tokio::test]
async fn only_the_time_with_a_connection_is_limited() {
    let test = TestDb::new().await;
    let limit = Duration::from_millis(200);
    let short = within(limit, async {
        for _ in 0..5 {
            select(&mut test.db.acquire().await?).await?;
            tokio::time::sleep(limit / 2).await;
        }
        Ok::<_, Error>(())
    });
    short.await.unwrap();
    let long = within(limit, async {
        let _held = test.db.acquire().await?;
        std::future::pending::<Result<(), Error>>().await
    });
    assert!(long.await.unwrap_err().is_unavailable());
}

#[tokio::test]
async fn a_batch_that_hangs_fails_and_the_next_one_is_done() {
    let (_test, proxy, db) = behind_a_proxy(2).await;
    drop(fill(&db).await);
    let batcher = Batcher::start(10, Duration::from_millis(50), move |items: Vec<i32>| {
        let db = db.clone();
        async move {
            let mut connection = db.acquire().await?;
            Ok(vec![select(&mut connection).await?; items.len()])
        }
    });
    assert_eq!(batcher.run(1).await.unwrap(), 1);
    proxy.silence_existing();
    eventually("a batch is done", async || batcher.run(1).await.is_ok()).await;
}

#[tokio::test]
async fn a_listener_notices_that_its_connection_is_silent() {
    let (test, proxy, db) = behind_a_proxy(2).await;
    let mut listener = Listener::open(&db.direct_options(), CHANNEL).await.unwrap();
    run(test.pool(), format!("SELECT pg_notify('{CHANNEL}', 'one')")).await;
    assert_eq!(listener.next().await.unwrap(), "one");
    proxy.silence_existing();
    let lost = timeout(PATIENCE, listener.next()).await.expect("the listener notices");
    assert!(lost.unwrap_err().is_unavailable());
    let mut listener = Listener::open(&db.direct_options(), CHANNEL).await.unwrap();
    // The connection of the notifier is silent as well.
    db.notifier().notify_queue(Queue::Likes);
    eventually("a notification arrives", async || {
        db.notifier().notify_queue(Queue::Likes);
        timeout(Duration::from_millis(100), listener.next()).await.is_ok_and(|next| next.unwrap() == "likes")
    })
    .await;
}
