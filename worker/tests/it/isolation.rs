//! One queue, or one learner, does not hold up another.

use cairn_core::clock::new_id;
use cairn_core::learning::jobs::RollUpProgress;
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use crate::replies::Desk;
use crate::support::{Bench, eventually};

/// A learner in a roadmap with one lesson, which he has just completed.
async fn add_stale_learner(pool: &PgPool, roadmap_id: Uuid) -> Uuid {
    sqlx::query_scalar(
        "WITH u AS (INSERT INTO users (id, email, first_name) VALUES ($1, $1 || '@example.test', 'L') RETURNING id)
         INSERT INTO progress_dirty (user_id, roadmap_id, requested_seq, queued_at) SELECT id, $2, 1, now() FROM u
         RETURNING user_id",
    )
    .bind(new_id())
    .bind(roadmap_id)
    .fetch_one(pool)
    .await
    .unwrap()
}

async fn add_roadmap(pool: &PgPool) -> Uuid {
    sqlx::query_scalar(
        "INSERT INTO roadmaps (slug, title, publication) VALUES ('road', 'Road', 'published') RETURNING id",
    )
    .fetch_one(pool)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_wait_for_a_lock_leave_other_queues_their_connections() {
    let bench = Bench::new().await;
    let projects = bench.liked_projects(40).await;
    let held = bench.hold_likes(&projects).await;
    let worker = bench.start();
    eventually("all places of likes are taken", async || bench.count("likes", "Running").await == 16).await;
    let roadmap_id = add_roadmap(bench.pool()).await;
    let user_id = add_stale_learner(bench.pool(), roadmap_id).await;
    let mut tx = bench.db.begin().await.unwrap();
    tx.enqueue(&RollUpProgress { user_id, roadmap_id }).unwrap();
    tx.commit().await.unwrap();
    bench.enqueue_events(500).await;
    eventually("the rollup is done", async || bench.count("progress", "Done").await == 1).await;
    eventually("the events are logged", async || bench.count("activity", "Done").await == 500).await;
    assert_eq!(bench.count("likes", "Done").await, 0, "likes still wait");
    drop(held);
    eventually("the likes are counted", async || bench.marked_projects().await == 0).await;
    worker.stop().await;
}

/// More questions than there are places, and a provider that never answers any.
#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_provider_holds_up_no_other_queue() {
    let desk = Desk::new().await;
    let bench = &desk.bench;
    for _ in 0..12 {
        desk.ask("stub:headers=600000 Hello?").await;
    }
    let worker = bench.start();
    eventually("all places of replies are taken", async || bench.count("replies", "Running").await == 8).await;
    let roadmap_id = add_roadmap(bench.pool()).await;
    let user_id = add_stale_learner(bench.pool(), roadmap_id).await;
    let mut tx = bench.db.begin().await.unwrap();
    tx.enqueue(&RollUpProgress { user_id, roadmap_id }).unwrap();
    tx.commit().await.unwrap();
    bench.liked_projects(20).await;
    bench.enqueue_events(500).await;
    eventually("the rollup is done", async || bench.count("progress", "Done").await == 1).await;
    eventually("the likes are counted", async || bench.marked_projects().await == 0).await;
    eventually("the events are logged", async || bench.logged().await == 512).await;
    assert_eq!(bench.count("replies", "Running").await, 8, "replies still wait");
    desk.cancel_all().await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_takes_no_more_than_it_has_places_for_and_its_worker_beats_meanwhile() {
    let bench = Bench::with("CAIRN_WORKER_CONCURRENCY", "likes=2").await;
    let projects = bench.liked_projects(20).await;
    let held = bench.hold_likes(&projects).await;
    let worker = bench.start();
    eventually("both places are taken", async || bench.count("likes", "Running").await == 2).await;
    let last_beat = async || -> DateTime<Utc> {
        sqlx::query_scalar("SELECT last_seen FROM apalis.workers WHERE worker_type = 'likes'")
            .fetch_one(bench.pool())
            .await
            .unwrap()
    };
    for _ in 0..2 {
        let before = last_beat().await;
        eventually("it beats while all places wait", async || last_beat().await > before).await;
    }
    assert_eq!(bench.count("likes", "Running").await, 2);
    drop(held);
    eventually("all are counted", async || bench.marked_projects().await == 0).await;
    let repeated: i64 =
        sqlx::query_scalar("SELECT count(*) FROM apalis.jobs WHERE job_type = 'likes' AND attempts > 1")
            .fetch_one(bench.pool())
            .await
            .unwrap();
    assert_eq!(repeated, 0);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_leaves_queues_alone_that_are_not_its_own() {
    let bench = Bench::with("CAIRN_WORKER_QUEUES", "likes").await;
    bench.enqueue_events(1).await;
    bench.liked_projects(3).await;
    let worker = bench.start();
    eventually("its queue is worked", async || bench.marked_projects().await == 0).await;
    worker.stop().await;
    assert_eq!(bench.count("activity", "Pending").await, 1);
    let registered: Vec<String> =
        sqlx::query_scalar("SELECT worker_type FROM apalis.workers").fetch_all(bench.pool()).await.unwrap();
    assert_eq!(registered, ["likes"]);
}

/// More of those who click without end than the queue has places.
#[tokio::test(flavor = "multi_thread")]
async fn learners_that_rest_take_no_place_from_one_that_does_not() {
    let bench = Bench::new().await;
    let pool = bench.pool();
    let roadmap_id = add_roadmap(pool).await;
    let mut tx = bench.db.begin().await.unwrap();
    for _ in 0..300 {
        let user_id = add_stale_learner(pool, roadmap_id).await;
        tx.enqueue(&RollUpProgress { user_id, roadmap_id }).unwrap();
    }
    tx.commit().await.unwrap();
    // Whose marker is locked rests, like who is ahead of his time; only, this lasts until it is let go.
    let mut held = pool.begin().await.unwrap();
    sqlx::query("SELECT FROM progress_dirty FOR UPDATE").execute(&mut *held).await.unwrap();
    let worker = bench.start();
    let looked_at = "SELECT count(*) FROM apalis.jobs WHERE job_type = 'progress' AND lock_at IS NOT NULL";
    eventually("they have been looked at", async || {
        sqlx::query_scalar::<_, i64>(looked_at).fetch_one(pool).await.unwrap() == 300
    })
    .await;
    let newcomer = add_stale_learner(pool, roadmap_id).await;
    let mut tx = bench.db.begin().await.unwrap();
    tx.enqueue(&RollUpProgress { user_id: newcomer, roadmap_id }).unwrap();
    tx.commit().await.unwrap();
    eventually("the newcomer is rolled up", async || bench.count("progress", "Done").await == 1).await;
    held.rollback().await.unwrap();
    eventually("all are rolled up", async || bench.count("progress", "Done").await == 301).await;
    let attempts: i32 = sqlx::query_scalar("SELECT max(attempts) FROM apalis.jobs WHERE job_type = 'progress'")
        .fetch_one(pool)
        .await
        .unwrap();
    assert_eq!(attempts, 1, "resting is no failure");
    worker.stop().await;
}
