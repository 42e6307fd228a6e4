//! Leases that this process has lost, and claims again.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cairn_core::clock::new_id;
use cairn_core::community::jobs::CountLikes;
use cairn_core::queue::Queue;
use cairn_core::queue::claim;
use cairn_core::queue::lease::{self, HEARTBEAT_TIMEOUT, Lease, Outcome};
use cairn_testing::database::{TestDb, run, scalar};
use cairn_testing::eventually;
use prometheus::Registry;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::completer::Completer;
use super::leased::LeasedJobs;
use super::producer::Producer;
use crate::health::QueueHealth;
use crate::metrics::WorkerMetrics;

const WORKER: &str = "likes-worker";

/// A worker of the queue `likes`, whose steps the test takes.
struct Worker {
    producer: Producer,
    leased: Arc<LeasedJobs>,
    completer: Completer,
}

impl Worker {
    async fn new(test: &TestDb, ack_timeout: Duration) -> Self {
        let metrics = WorkerMetrics::new(&Registry::new()).unwrap();
        let health = Arc::new(QueueHealth::new(&metrics, Queue::Likes, 4));
        let (pool, wake, stop) = (test.pool().clone(), Arc::new(Notify::new()), CancellationToken::new());
        let (leased, worker) = (Arc::new(LeasedJobs::new(health.clone())), WORKER.to_owned());
        lease::heartbeat(&mut test.connect().await, &[(worker.clone(), Queue::Likes)]).await.unwrap();
        let completer =
            Completer::start(health.clone(), worker.clone(), leased.clone(), pool.clone(), wake.clone(), stop.clone());
        let (queue, progress) = (Queue::Likes, Mutex::default());
        let producer =
            Producer { queue, health, worker, leased: leased.clone(), pool, wake, stop, ack_timeout, progress };
        Self { producer, leased, completer }
    }

    /// Starts the next run.
    fn start_run(&self) -> Lease {
        match self.leased.poll_start(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(lease) => lease,
            Poll::Pending => panic!("no job is waiting"),
        }
    }
}

async fn enqueue(test: &TestDb) {
    let mut tx = test.db.begin().await.unwrap();
    tx.enqueue(&CountLikes { project_id: new_id() }).unwrap();
    tx.commit().await.unwrap();
}

/// As while the process is suspended: its heartbeats stop, others take over its jobs, which are due at once.
async fn lose_everything(test: &TestDb) {
    run(test.pool(), "UPDATE apalis.workers SET last_seen = now() - interval '1 minute'").await;
    assert_eq!(lease::rescue(&mut test.connect().await, HEARTBEAT_TIMEOUT).await.unwrap(), 1);
    run(test.pool(), "UPDATE apalis.jobs SET run_at = now(); UPDATE apalis.workers SET last_seen = now()").await;
}

#[tokio::test]
async fn a_worker_that_claims_its_own_rescued_job_keeps_the_second_lease() {
    let test = TestDb::new().await;
    let worker = Worker::new(&test, Duration::from_millis(500)).await;
    enqueue(&test).await;
    assert_eq!(worker.producer.claim_once(4).await.unwrap(), 1);
    let first = worker.start_run();
    lose_everything(&test).await;
    assert_eq!(worker.producer.claim_once(4).await.unwrap(), 1);
    let second = worker.start_run();
    assert_eq!((&first.id, first.attempt, second.attempt), (&second.id, 1, 2));

    // The first run ends, as well as it can.
    worker.completer.complete(&first, "count_likes", Outcome::Done, Duration::ZERO);
    eventually("the end of the first run is dealt with", async || worker.leased.keys().len() == 1).await;
    assert_eq!(worker.leased.keys(), [second.key()]);

    // Another claim was never answered. When it is released, the second lease is as old.
    enqueue(&test).await;
    assert_eq!(claim::claim(&mut test.connect().await, Queue::Likes, WORKER, 4).await.unwrap().len(), 1);
    eventually("the unanswered claim is released", async || {
        worker.producer.release_unacknowledged_once().await.unwrap() == 1
    })
    .await;
    assert_eq!(worker.producer.release_unacknowledged_once().await.unwrap(), 0);
    let held = "SELECT status = 'Running' AND attempts = 2 FROM apalis.jobs WHERE id = ";
    assert!(scalar::<bool>(test.pool(), format!("{held}'{}'", second.id)).await, "the second lease is kept");

    worker.completer.complete(&second, "count_likes", Outcome::Done, Duration::ZERO);
    eventually("nothing is leased", async || worker.leased.keys().is_empty()).await;
    assert_eq!(scalar::<i64>(test.pool(), "SELECT count(*) FROM apalis.jobs WHERE status = 'Done'").await, 1);
}

#[tokio::test]
async fn a_stop_does_not_release_a_later_lease_of_a_job_that_waits_here() {
    let test = TestDb::new().await;
    let worker = Worker::new(&test, Duration::from_mins(1)).await;
    enqueue(&test).await;
    assert_eq!(worker.producer.claim_once(4).await.unwrap(), 1);
    lose_everything(&test).await;
    // Claimed again, and running, when the first lease, which has not started, is released.
    assert_eq!(worker.producer.claim_once(4).await.unwrap(), 1);
    let stale = worker.leased.remove_waiting().remove(0);
    let released = lease::release(&mut test.connect().await, WORKER, &[stale]).await.unwrap();
    assert_eq!(released, 0);
    assert_eq!(scalar::<i32>(test.pool(), "SELECT attempts FROM apalis.jobs WHERE status = 'Running'").await, 2);
}

/// The response to a claim can arrive after its jobs were released as unacknowledged.
#[tokio::test]
async fn a_claim_that_is_answered_too_late_is_not_run() {
    let test = TestDb::new().await;
    let worker = Worker::new(&test, Duration::ZERO).await;
    enqueue(&test).await;
    assert_eq!(worker.producer.claim_once(4).await.unwrap(), 1);
    assert!(worker.leased.keys().is_empty());
    let waits = "SELECT status = 'Pending' AND attempts = 0 FROM apalis.jobs";
    assert!(scalar::<bool>(test.pool(), waits).await, "it was given back, and does not count as an attempt");
}

/// Jobs behind the position are found by whoever looks first, and not by everybody.
#[tokio::test]
async fn late_jobs_are_found_by_one_worker_and_run_by_its_next_claim() {
    let test = TestDb::new().await;
    let worker = Worker::new(&test, Duration::from_mins(1)).await;
    assert_eq!(worker.producer.claim_once(4).await.unwrap(), 0);
    enqueue(&test).await;
    run(test.pool(), "UPDATE apalis.jobs SET run_at = now() - interval '1 hour'").await;
    assert_eq!(worker.producer.claim_once(4).await.unwrap(), 0, "claims begin later");
    let every = Duration::from_mins(1);
    assert!(claim::begin_search(&mut test.connect().await, Queue::Likes, every).await.unwrap());
    assert_eq!(worker.producer.find_late_once(every).await.unwrap(), 0, "somebody else is looking");
    assert_eq!(worker.producer.find_late_once(Duration::ZERO).await.unwrap(), 1);
    assert_eq!(worker.producer.claim_once(4).await.unwrap(), 1);
    assert_eq!(worker.producer.find_late_once(Duration::ZERO).await.unwrap(), 0);
}
