//! One queue or one learner does not delay another.

use cairn_core::learning::jobs::RollUpProgress;
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use crate::replies::ReplyHarness;
use crate::support::Harness;
use cairn_testing::eventually;
use cairn_testing::rows::{add_roadmap, add_user};

/// Adds a learner whose progress in the roadmap is stale.
async fn add_stale_learner(pool: &PgPool, roadmap_id: Uuid) -> Uuid {
    let user_id = add_user(pool).await;
    sqlx::query("INSERT INTO progress_dirty (user_id, roadmap_id, requested_seq, queued_at) VALUES ($1, $2, 1, now())")
        .bind(user_id)
        .bind(roadmap_id)
        .execute(pool)
        .await
        .unwrap();
    user_id
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_wait_for_a_lock_do_not_use_the_connections_of_other_queues() {
    let harness = Harness::new().await;
    harness.liked_projects(40).await;
    let held = harness.hold_likes().await;
    let worker = harness.start();
    eventually("all slots for likes are in use", async || harness.count("likes", "Running").await == 16).await;
    let roadmap_id = add_roadmap(harness.pool()).await;
    let user_id = add_stale_learner(harness.pool(), roadmap_id).await;
    let mut tx = harness.db.begin().await.unwrap();
    tx.enqueue(&RollUpProgress { user_id, roadmap_id }).unwrap();
    tx.commit().await.unwrap();
    harness.enqueue_events(500).await;
    eventually("the rollup is done", async || harness.count("progress", "Done").await == 1).await;
    eventually("the events are logged", async || harness.count("activity", "Done").await == 500).await;
    assert_eq!(harness.count("likes", "Done").await, 0, "the likes are still waiting");
    drop(held);
    eventually("the likes are counted", async || harness.marked_projects().await == 0).await;
    worker.stop().await;
}

/// There are more questions than slots, and the provider never answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_provider_delays_no_other_queue() {
    let fixture = ReplyHarness::new().await;
    let harness = &fixture.harness;
    for _ in 0..12 {
        fixture.ask("stub:headers=600000 Hello?").await;
    }
    let worker = harness.start();
    eventually("all slots for replies are in use", async || harness.count("replies", "Running").await == 8).await;
    let roadmap_id = add_roadmap(harness.pool()).await;
    let user_id = add_stale_learner(harness.pool(), roadmap_id).await;
    let mut tx = harness.db.begin().await.unwrap();
    tx.enqueue(&RollUpProgress { user_id, roadmap_id }).unwrap();
    tx.commit().await.unwrap();
    harness.liked_projects(20).await;
    harness.enqueue_events(500).await;
    eventually("the rollup is done", async || harness.count("progress", "Done").await == 1).await;
    eventually("the likes are counted", async || harness.marked_projects().await == 0).await;
    eventually("the events are logged", async || harness.logged().await == 512).await;
    assert_eq!(harness.count("replies", "Running").await, 8, "the replies are still waiting");
    fixture.cancel_all().await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_claims_only_for_free_slots_while_heartbeats_continue() {
    let harness = Harness::with("CAIRN_WORKER_CONCURRENCY", "likes=2").await;
    harness.liked_projects(20).await;
    let held = harness.hold_likes().await;
    let worker = harness.start();
    eventually("both slots are in use", async || harness.count("likes", "Running").await == 2).await;
    let last_heartbeat = async || -> DateTime<Utc> {
        sqlx::query_scalar("SELECT last_seen FROM apalis.workers WHERE worker_type = 'likes'")
            .fetch_one(harness.pool())
            .await
            .unwrap()
    };
    for _ in 0..2 {
        let before = last_heartbeat().await;
        eventually("a heartbeat is sent while all slots are in use", async || last_heartbeat().await > before).await;
    }
    assert_eq!(harness.count("likes", "Running").await, 2);
    drop(held);
    eventually("all likes are counted", async || harness.marked_projects().await == 0).await;
    let repeated: i64 =
        sqlx::query_scalar("SELECT count(*) FROM apalis.jobs WHERE job_type = 'likes' AND attempts > 1")
            .fetch_one(harness.pool())
            .await
            .unwrap();
    assert_eq!(repeated, 0);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_processes_only_its_configured_queues() {
    let harness = Harness::with("CAIRN_WORKER_QUEUES", "likes").await;
    harness.enqueue_events(1).await;
    harness.liked_projects(3).await;
    let worker = harness.start();
    eventually("the likes are counted", async || harness.marked_projects().await == 0).await;
    worker.stop().await;
    assert_eq!(harness.count("activity", "Pending").await, 1);
    let registered: Vec<String> =
        sqlx::query_scalar("SELECT worker_type FROM apalis.workers").fetch_all(harness.pool()).await.unwrap();
    assert_eq!(registered, ["likes"]);
}

/// There are more learners who click incessantly than the queue has slots.
#[tokio::test(flavor = "multi_thread")]
async fn throttled_learners_occupy_no_slots() {
    let harness = Harness::new().await;
    let pool = harness.pool();
    let roadmap_id = add_roadmap(pool).await;
    let mut tx = harness.db.begin().await.unwrap();
    for _ in 0..300 {
        let user_id = add_stale_learner(pool, roadmap_id).await;
        tx.enqueue(&RollUpProgress { user_id, roadmap_id }).unwrap();
    }
    tx.commit().await.unwrap();
    // A learner whose marker is locked is postponed like one who is throttled, but until the lock is released.
    let mut held = pool.begin().await.unwrap();
    sqlx::query("SELECT FROM progress_dirty FOR UPDATE").execute(&mut *held).await.unwrap();
    let worker = harness.start();
    let claimed = "SELECT count(*) FROM apalis.jobs WHERE job_type = 'progress' AND lock_at IS NOT NULL";
    eventually("all of them have been claimed", async || {
        sqlx::query_scalar::<_, i64>(claimed).fetch_one(pool).await.unwrap() == 300
    })
    .await;
    let newcomer = add_stale_learner(pool, roadmap_id).await;
    let mut tx = harness.db.begin().await.unwrap();
    tx.enqueue(&RollUpProgress { user_id: newcomer, roadmap_id }).unwrap();
    tx.commit().await.unwrap();
    eventually("the newcomer is rolled up", async || harness.count("progress", "Done").await == 1).await;
    held.rollback().await.unwrap();
    eventually("all learners are rolled up", async || harness.count("progress", "Done").await == 301).await;
    let attempts: i32 = sqlx::query_scalar("SELECT max(attempts) FROM apalis.jobs WHERE job_type = 'progress'")
        .fetch_one(pool)
        .await
        .unwrap();
    assert_eq!(attempts, 1, "being throttled does not count as an attempt");
    worker.stop().await;
}
