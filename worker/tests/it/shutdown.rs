//! An orderly end.

use crate::support::{Bench, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_amid_work_leaves_nothing_running_and_burns_no_attempt() {
    let bench = Bench::new().await;
    let mut enqueued = 0;
    for round in 0..8 {
        let worker = bench.start();
        bench.enqueue_events(300).await;
        enqueued += 300;
        if round % 2 == 0 {
            eventually("some are done", async || bench.logged().await > 0).await;
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
    let worker = bench.start();
    // The recount of a project that was counted just now waits a moment, so it is running when the stop comes.
    sqlx::raw_sql(
        "INSERT INTO users (id, email, first_name) VALUES ('00000000-0000-7000-8000-000000000001', 'a@example.test', 'A');
         INSERT INTO showcase_projects (id, user_id, title, status, published_at, likes_counted_at)
         VALUES ('00000000-0000-7000-8000-000000000002', '00000000-0000-7000-8000-000000000001', 'P', 'published', now(), now() + interval '1 minute');
         INSERT INTO project_likes (project_id, user_id)
         VALUES ('00000000-0000-7000-8000-000000000002', '00000000-0000-7000-8000-000000000001')",
    )
    .execute(bench.pool())
    .await
    .unwrap();
    bench
        .insert_raw(
            "likes",
            br#"{"kind":"count_likes","v":1,"data":{"project_id":"00000000-0000-7000-8000-000000000002"}}"#,
        )
        .await;
    bench.db.bell().ring(cairn_core::jobs::Queue::Likes);
    eventually("it runs", async || bench.count("likes", "Pending").await == 0).await;
    worker.begin_stop();
    worker.stop().await;
    assert_eq!(bench.count("likes", "Done").await, 1);
    let likes: i32 =
        sqlx::query_scalar("SELECT likes_count FROM showcase_projects").fetch_one(bench.pool()).await.unwrap();
    assert_eq!(likes, 1);
}
