//! An orderly end.

use crate::support::{Bench, eventually};

/// A thousand times: sometimes before anything is claimed, sometimes amid the work, sometimes when all of it is done.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_amid_work_leaves_nothing_running_and_burns_no_attempt() {
    let bench = Bench::with("CAIRN_WORKER_QUEUES", "activity").await;
    let mut enqueued = 0;
    for round in 0..1000 {
        let worker = bench.start();
        bench.enqueue_events(20).await;
        enqueued += 20;
        match round % 3 {
            0 => eventually("some are done", async || bench.logged().await > enqueued - 20).await,
            1 => tokio::task::yield_now().await,
            _ => {}
        }
        worker.stop().await;
        let (running, burnt): (i64, i64) = sqlx::query_as(
            "SELECT count(*) FILTER (WHERE status IN ('Running', 'Queued')),
                    count(*) FILTER (WHERE status = 'Pending' AND attempts > 0 OR status = 'Failed')
             FROM apalis.jobs",
        )
        .fetch_one(bench.pool())
        .await
        .unwrap();
        assert_eq!((running, burnt), (0, 0), "after stop {round}");
    }
    let worker = bench.start();
    eventually("everything is done", async || bench.count("activity", "Done").await == enqueued).await;
    assert_eq!(bench.logged().await, enqueued);
    let again: i64 =
        sqlx::query_scalar("SELECT count(*) FROM apalis.jobs WHERE job_type = 'activity' AND attempts > 1")
            .fetch_one(bench.pool())
            .await
            .unwrap();
    assert_eq!(again, 0, "clean stops repeat nothing");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_runs_when_the_stop_comes_is_finished() {
    let bench = Bench::new().await;
    let projects = bench.liked_projects(1).await;
    let held = bench.hold_likes(&projects).await;
    let worker = bench.start();
    eventually("it runs", async || bench.count("likes", "Running").await == 1).await;
    worker.begin_stop();
    drop(held);
    worker.stop().await;
    assert_eq!(bench.count("likes", "Done").await, 1);
    let likes: i32 =
        sqlx::query_scalar("SELECT likes_count FROM showcase_projects").fetch_one(bench.pool()).await.unwrap();
    assert_eq!(likes, 1);
}
