//! Orderly shutdown.

use crate::support::Harness;
use cairn_testing::eventually;

/// Stops a thousand times: sometimes before anything is claimed, sometimes in the middle of work, sometimes when all of it is
/// done.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_the_middle_of_work_leaves_nothing_running_and_costs_no_attempt() {
    let harness = Harness::with("CAIRN_WORKER_QUEUES", "activity").await;
    let mut enqueued = 0;
    for round in 0..1000 {
        let worker = harness.start();
        harness.enqueue_events(20).await;
        enqueued += 20;
        match round % 3 {
            0 => eventually("some jobs are done", async || harness.logged().await > enqueued - 20).await,
            1 => tokio::task::yield_now().await,
            _ => {}
        }
        worker.stop().await;
        let (running, wasted): (i64, i64) = sqlx::query_as(
            "SELECT count(*) FILTER (WHERE status IN ('Running', 'Queued')),
                    count(*) FILTER (WHERE status = 'Pending' AND attempts > 0 OR status = 'Failed')
             FROM apalis.jobs",
        )
        .fetch_one(harness.pool())
        .await
        .unwrap();
        assert_eq!((running, wasted), (0, 0), "after stop {round}");
    }
    let worker = harness.start();
    eventually("everything is done", async || harness.count("activity", "Done").await == enqueued).await;
    assert_eq!(harness.logged().await, enqueued);
    let again: i64 =
        sqlx::query_scalar("SELECT count(*) FROM apalis.jobs WHERE job_type = 'activity' AND attempts > 1")
            .fetch_one(harness.pool())
            .await
            .unwrap();
    assert_eq!(again, 0, "orderly stops repeat nothing");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_job_is_finished_before_the_worker_stops() {
    let harness = Harness::new().await;
    harness.liked_projects(1).await;
    let held = harness.hold_likes().await;
    let worker = harness.start();
    // Before that the job may have been claimed and not started. Such a job is given back.
    eventually("the job waits for the lock", async || harness.is_lock_awaited().await).await;
    worker.begin_stop();
    drop(held);
    worker.stop().await;
    assert_eq!(harness.count("likes", "Done").await, 1);
    let likes: i32 =
        sqlx::query_scalar("SELECT likes_count FROM showcase_projects").fetch_one(harness.pool()).await.unwrap();
    assert_eq!(likes, 1);
}
