//! Jobs are stored in the transaction of the change that they follow from.

use std::sync::Arc;
use std::time::Duration;

use cairn_core::admin::maintenance::{Housekeeping, Reconcile};
use cairn_core::admin::schedule::enqueue_scheduled;
use cairn_core::clock::new_id;
use cairn_core::community::jobs::CountLikes;
use cairn_core::queue::lease;
use cairn_core::queue::{Job, JobKind, Queue};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use uuid::Uuid;

use cairn_testing::database::{TestDb, jobs, run, scalar};

#[tokio::test]
async fn a_job_is_stored_with_the_row_or_not_at_all() {
    let test = TestDb::new().await;
    let email = |name: &str| format!("INSERT INTO users (email, first_name) VALUES ('{name}@example.test', 'X')");
    let stored = async || {
        let users: i64 = scalar(test.pool(), "SELECT count(*) FROM users").await;
        (users, jobs::<CountLikes>(test.pool()).await.len())
    };
    let begin = async |name: &str| {
        let mut tx = test.db.begin().await.unwrap();
        sqlx::query(sqlx::AssertSqlSafe(email(name))).execute(&mut *tx).await.unwrap();
        tx.enqueue(&CountLikes { project_id: new_id() }).unwrap();
        tx
    };
    drop(begin("dropped").await);
    begin("rolled-back").await.rollback().await.unwrap();
    assert_eq!(stored().await, (0, 0));
    let tx = begin("committed").await;
    assert_eq!(stored().await, (0, 0), "not before the commit");
    tx.commit().await.unwrap();
    assert_eq!(stored().await, (1, 1));

    // A transaction in which a statement has failed commits neither.
    let mut tx = begin("spoilt").await;
    assert!(sqlx::query("SELECT 1 / 0").execute(&mut *tx).await.is_err());
    assert!(tx.commit().await.is_err());
    assert_eq!(stored().await, (1, 1));

    // A row whose constraint is violated only at the commit.
    run(test.owner(), "ALTER TABLE users ADD CONSTRAINT late UNIQUE (first_name) DEFERRABLE INITIALLY DEFERRED").await;
    assert!(begin("late").await.commit().await.is_err());
    assert_eq!(stored().await, (1, 1));
}

#[tokio::test]
async fn a_stored_job_fills_every_column() {
    let test = TestDb::new().await;
    let mut tx = test.db.begin().await.unwrap();
    for delay in [0, 90] {
        tx.enqueue_in(&CountLikes { project_id: Uuid::nil() }, Duration::from_secs(delay)).unwrap();
    }
    tx.enqueue(&Reconcile {}).unwrap();
    tx.commit().await.unwrap();
    let good: i64 = scalar(
        test.pool(),
        "SELECT count(*) FROM apalis.jobs WHERE status = 'Pending' AND attempts = 0 AND metadata IS NOT NULL
             AND priority = 0 AND idempotency_key IS NULL AND lock_by IS NULL AND done_at IS NULL AND length(id) = 26",
    )
    .await;
    assert_eq!(good, 3);
    let stored = "SELECT count(*) FROM apalis.jobs WHERE job_type = '";
    let due = format!("{stored}likes' AND max_attempts = 25 AND run_at <= now()");
    assert_eq!(scalar::<i64>(test.pool(), due).await, 1);
    let later =
        format!("{stored}likes' AND run_at BETWEEN now() + interval '60 seconds' AND now() + interval '90 seconds'");
    assert_eq!(scalar::<i64>(test.pool(), later).await, 1);
    assert_eq!(scalar::<i64>(test.pool(), format!("{stored}maintenance' AND max_attempts = 10")).await, 1);
    let payload: serde_json::Value = scalar(
        test.pool(),
        "SELECT convert_from(job, 'UTF8')::jsonb FROM apalis.jobs WHERE job_type = 'likes' LIMIT 1",
    )
    .await;
    assert_eq!(payload, serde_json::json!({"kind": "count_likes", "v": 1, "data": {"project_id": Uuid::nil()}}));
}

#[tokio::test]
async fn queues_are_found_by_their_names() {
    for queue in Queue::ALL {
        assert_eq!(Queue::from_name(queue.name()), Some(queue));
    }
    assert_eq!(Queue::from_name("other"), None);
    for kind in JobKind::ALL {
        assert_eq!(JobKind::from_name(kind.name()), Some(kind));
    }
    assert_eq!(JobKind::from_name("other"), None);
}

const TICKERS: usize = 8;

/// Asks from several connections at once whether the schedule is due. Returns how many of them enqueued a job.
async fn tick<J: Job + Copy + Sync>(test: &TestDb, job: J, every: Duration) -> usize {
    let barrier = Arc::new(Barrier::new(TICKERS));
    let mut tasks = JoinSet::new();
    for _ in 0..TICKERS {
        let (db, barrier) = (test.db.clone(), barrier.clone());
        tasks.spawn(async move {
            let mut tx = db.begin().await.unwrap();
            barrier.wait().await;
            let due = enqueue_scheduled(&mut tx, &job, every).await.unwrap();
            tx.commit().await.unwrap();
            due
        });
    }
    tasks.join_all().await.into_iter().filter(|due| *due).count()
}

/// Marks all jobs as done.
async fn finish_all(test: &TestDb) {
    run(test.pool(), "UPDATE apalis.jobs SET status = 'Done', done_at = now(), lock_by = NULL").await;
}

async fn make_due(test: &TestDb) {
    run(test.pool(), "UPDATE schedules SET last_enqueued_at = last_enqueued_at - interval '1 minute'").await;
}

#[tokio::test]
async fn a_tick_makes_one_job_however_many_ask() {
    let test = TestDb::new().await;
    let minute = Duration::from_mins(1);
    for round in 1..=10 {
        assert_eq!(tick(&test, Reconcile {}, minute).await, 1, "round {round}");
        assert_eq!(tick(&test, Reconcile {}, minute).await, 0, "round {round}");
        assert_eq!(jobs::<Reconcile>(test.pool()).await.len(), round);
        finish_all(&test).await;
        assert_eq!(tick(&test, Reconcile {}, minute).await, 0, "round {round}: it is not due yet");
        make_due(&test).await;
    }
    assert_eq!(tick(&test, Housekeeping {}, minute).await, 1, "each schedule has a due time of its own");
    assert_eq!(tick(&test, Reconcile {}, minute).await, 1, "and jobs of its own");
}

/// The queue has no worker, or its jobs take longer than the interval between ticks.
#[tokio::test]
async fn ticks_do_not_pile_up() {
    let test = TestDb::new().await;
    let minute = Duration::from_mins(1);
    assert_eq!(tick(&test, Reconcile {}, minute).await, 1);
    lease::heartbeat(&mut test.connect().await, &[("w".to_owned(), Queue::Maintenance)]).await.unwrap();
    for state in [
        "status = 'Pending'",
        "status = 'Pending', run_at = now() + interval '1 hour'",
        "status = 'Failed', max_attempts = 3, attempts = 2",
        "status = 'Queued', lock_by = 'w', lock_at = now()",
        "status = 'Running', lock_by = 'w', lock_at = now() - interval '19 seconds'",
    ] {
        run(test.pool(), format!("UPDATE apalis.jobs SET {state}")).await;
        make_due(&test).await;
        assert_eq!(tick(&test, Reconcile {}, minute).await, 0, "{state}");
    }
    // The worker was lost. The schedule does not wait for the rescue.
    run(test.pool(), "UPDATE apalis.jobs SET lock_at = now() - interval '21 seconds'").await;
    assert_eq!(tick(&test, Reconcile {}, minute).await, 1);
    // Finished jobs and jobs of other kinds do not delay a tick.
    run(test.pool(), "UPDATE apalis.jobs SET status = 'Killed', done_at = now(), lock_by = NULL").await;
    run(
        test.pool(),
        "INSERT INTO apalis.jobs (id, job_type, job) VALUES ('x', 'maintenance', '{\"kind\":\"reconcile2\"}')",
    )
    .await;
    make_due(&test).await;
    assert_eq!(tick(&test, Reconcile {}, minute).await, 1);
}

#[tokio::test]
async fn a_tick_that_does_not_commit_is_still_due() {
    let test = TestDb::new().await;
    let mut tx = test.db.begin().await.unwrap();
    assert!(enqueue_scheduled(&mut tx, &Reconcile {}, Duration::from_mins(1)).await.unwrap());
    tx.rollback().await.unwrap();
    assert_eq!(tick(&test, Reconcile {}, Duration::from_mins(1)).await, 1);
    assert_eq!(jobs::<Reconcile>(test.pool()).await.len(), 1);
}
