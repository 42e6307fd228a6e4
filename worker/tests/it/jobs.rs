//! The life of a job.

use std::time::{Duration, SystemTime};

use cairn_core::admin;
use cairn_core::db::Purpose;
use cairn_core::queue::{JobKind, Queue};
use serde_json::{Value, json};
use ulid::Ulid;

use crate::support::Harness;
use cairn_testing::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn every_job_runs_once_with_its_effect() {
    let harness = Harness::new().await;
    let worker = harness.start();
    harness.enqueue_events(700).await;
    eventually("700 jobs are done", async || harness.count("activity", "Done").await == 700).await;
    assert_eq!(harness.logged().await, 700);
    // A scheduled job may have been enqueued a moment ago, and not started yet.
    let again = "SELECT count(*) FROM apalis.jobs WHERE attempts > 1 OR (job_type = 'activity' AND attempts <> 1)";
    let again: i64 = sqlx::query_scalar(again).fetch_one(harness.pool()).await.unwrap();
    assert_eq!(again, 0, "no job was started twice");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_jobs_die_at_once_and_stop_no_others() {
    let harness = Harness::new().await;
    let worker = harness.start();
    let garbage = harness.insert_raw("activity", &[0xff, 0x00, 0x80]).await;
    let wrong = harness.insert_raw("progress", br#"{"kind":"roll_up_progress","v":1,"data":{"user_id":7}}"#).await;
    harness.enqueue_events(50).await;
    eventually("the valid jobs are done", async || harness.count("activity", "Done").await == 50).await;
    for id in [garbage, wrong] {
        let killed = async || -> Option<(i32, Value)> {
            sqlx::query_as("SELECT attempts, last_result FROM apalis.jobs WHERE id = $1 AND status = 'Killed'")
                .bind(&id)
                .fetch_optional(harness.pool())
                .await
                .unwrap()
        };
        eventually("the job is dead", async || killed().await.is_some()).await;
        let (attempts, result) = killed().await.unwrap();
        assert_eq!(attempts, 1, "the job is not retried");
        assert!(result["Err"].as_str().unwrap().contains("cannot be read"), "{result}");
    }
    worker.stop().await;
}

/// During a deployment, and after a rollback, workers of both releases look at the same queues.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_newer_release_waits_for_a_newer_worker() {
    let harness = Harness::new().await;
    let insert = async |age: Duration, payload: &str| {
        let id = Ulid::from_datetime(SystemTime::now() - age).to_string();
        sqlx::query("INSERT INTO apalis.jobs (id, job_type, job, max_attempts) VALUES ($1, 'likes', $2, 1)")
            .bind(&id)
            .bind(payload.as_bytes())
            .execute(harness.pool())
            .await
            .unwrap();
        id
    };
    let (unknown, newer) = (r#"{"kind":"fly_to_moon","v":1,"data":{}}"#, r#"{"kind":"count_likes","v":9,"data":{}}"#);
    let (minute, day) = (Duration::from_mins(1), Duration::from_hours(24));
    let (waiting, old) = ([insert(minute, unknown).await, insert(minute, newer).await], insert(day, unknown).await);
    harness.liked_projects(3).await;
    let worker = harness.start();
    eventually("the others are done", async || harness.count("likes", "Done").await == 3).await;
    eventually("the old one is dead", async || harness.count("likes", "Killed").await == 1).await;
    eventually("the others wait", async || {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM apalis.jobs WHERE id = ANY ($1) AND status = 'Pending' AND attempts = 0 AND run_at > now()",
        )
        .bind(&waiting[..])
        .fetch_one(harness.pool())
        .await
        .unwrap();
        waiting == 2
    })
    .await;
    worker.stop().await;
    let error: String = sqlx::query_scalar("SELECT last_result ->> 'Err' FROM apalis.jobs WHERE id = $1")
        .bind(&old)
        .fetch_one(harness.pool())
        .await
        .unwrap();
    assert_eq!(error, "unknown kind of job `fly_to_moon`");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_job_backs_off_keeps_its_errors_and_dies_at_its_attempt_limit() {
    let harness = Harness::new().await;
    let worker = harness.start();
    harness.enqueue_bad_event().await;
    sqlx::query("UPDATE apalis.jobs SET max_attempts = 3 WHERE job_type = 'activity'")
        .execute(harness.pool())
        .await
        .unwrap();
    for attempt in 1..=2 {
        eventually("the attempt failed", async || {
            sqlx::query_scalar(
                "SELECT status = 'Failed' AND attempts = $1 FROM apalis.jobs WHERE job_type = 'activity'",
            )
            .bind(attempt)
            .fetch_one(harness.pool())
            .await
            .unwrap()
        })
        .await;
        // The job waits for its backoff. The test makes it due instead of waiting.
        let (waits, errors): (bool, Value) = sqlx::query_as(
            "SELECT run_at > lock_at + interval '400 milliseconds', last_result -> 'attempts' FROM apalis.jobs WHERE job_type = 'activity'",
        )
        .fetch_one(harness.pool())
        .await
        .unwrap();
        assert!(waits, "the backoff is stored");
        assert_eq!(errors.as_array().unwrap().len(), usize::try_from(attempt).unwrap());
        sqlx::query("UPDATE apalis.jobs SET run_at = now() WHERE job_type = 'activity'")
            .execute(harness.pool())
            .await
            .unwrap();
    }
    eventually("the job is dead", async || harness.count("activity", "Killed").await == 1).await;
    let result: Value = sqlx::query_scalar("SELECT last_result FROM apalis.jobs WHERE job_type = 'activity'")
        .fetch_one(harness.pool())
        .await
        .unwrap();
    assert_eq!(result["attempts"].as_array().unwrap().len(), 3, "{result}");
    assert!(result["Err"].as_str().unwrap().contains("activity_log_action_check"), "{result}");
    assert_eq!(harness.logged().await, 0);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_invalid_event_in_a_batch_fails_alone() {
    let harness = Harness::new().await;
    harness.enqueue_events(60).await;
    harness.enqueue_bad_event().await;
    harness.enqueue_events(60).await;
    let worker = harness.start();
    eventually("the valid events are done", async || harness.count("activity", "Done").await == 120).await;
    eventually("the invalid event has failed", async || harness.count("activity", "Failed").await == 1).await;
    assert_eq!(harness.logged().await, 120);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scheduled_jobs_are_enqueued_once_per_tick() {
    let harness = Harness::new().await;
    let (one, two) = (harness.start(), harness.start());
    eventually("housekeeping and a reconcile ran", async || harness.count("maintenance", "Done").await >= 2).await;
    let stored: Vec<Value> =
        sqlx::query_scalar("SELECT convert_from(job, 'UTF8')::json FROM apalis.jobs WHERE job_type = 'maintenance'")
            .fetch_all(harness.pool())
            .await
            .unwrap();
    let runs = stored.iter().filter(|job| job["kind"] == json!("housekeeping")).count();
    assert_eq!(runs, 1, "two workers enqueue one job an hour");
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_job_has_a_handler() {
    let harness = Harness::new().await;
    for kind in JobKind::ALL {
        let payload = format!(r#"{{"kind":"{}","v":1,"data":"none"}}"#, kind.name());
        harness.insert_raw(kind.queue().name(), payload.as_bytes()).await;
    }
    cairn_worker::testing::run_jobs(&harness.db).await.unwrap();
    let errors: Vec<String> =
        sqlx::query_scalar("SELECT last_result ->> 'Err' FROM apalis.jobs").fetch_all(harness.pool()).await.unwrap();
    assert_eq!(errors.len(), JobKind::ALL.len());
    assert!(errors.iter().all(|error| error.starts_with("the payload cannot be read: ")), "{errors:?}");
}

async fn pause(harness: &Harness, queue: Queue) {
    let mut tx = harness.db.begin().await.unwrap();
    assert!(admin::queues::pause(&mut tx, queue).await.unwrap());
    tx.commit().await.unwrap();
}

async fn resume(harness: &Harness, queue: Queue) {
    let mut tx = harness.db.begin().await.unwrap();
    assert!(admin::queues::resume(&mut tx, queue).await.unwrap());
    tx.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_paused_queue_stops_and_it_stays_paused_after_a_restart() {
    let harness = Harness::new().await;
    pause(&harness, Queue::Activity).await;
    harness.enqueue_events(20).await; // plus the event of the pause
    for _ in 0..2 {
        let worker = harness.start();
        let likes = harness.insert_raw("likes", br#"{"kind":"count_likes","v":1,"data":"none"}"#).await;
        eventually("another queue is processed", async || {
            sqlx::query_scalar("SELECT status = 'Killed' FROM apalis.jobs WHERE id = $1")
                .bind(&likes)
                .fetch_one(harness.pool())
                .await
                .unwrap()
        })
        .await;
        assert_eq!(harness.count("activity", "Pending").await, 21);
        worker.stop().await;
    }
    let worker = harness.start();
    resume(&harness, Queue::Activity).await;
    eventually("the queue is processed again", async || harness.count("activity", "Done").await == 22).await;
    assert_eq!(harness.logged().await, 22);
    worker.stop().await;
}

/// There is more to remove than one run has time for, so the job ends and enqueues another one.
#[tokio::test]
async fn housekeeping_continues_until_everything_is_removed() {
    let harness = Harness::new().await;
    // Removing the first chunk takes longer than the time budget of a run.
    let statements = "INSERT INTO apalis.jobs (id, job_type, job, status, done_at)
             SELECT 'old-' || n, 'likes', 'x', 'Done', now() - interval '2 days' FROM generate_series(1, 6000) n;
         CREATE FUNCTION take_long() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF (SELECT count(*) FROM gone) = 5000 THEN PERFORM pg_sleep(10.1); END IF;
             RETURN NULL;
         END $$;
         CREATE TRIGGER take_long AFTER DELETE ON apalis.jobs REFERENCING OLD TABLE AS gone
             FOR EACH STATEMENT EXECUTE FUNCTION take_long()";
    harness.alter(statements).await;
    harness.insert_raw("maintenance", br#"{"kind":"housekeeping","v":1,"data":{}}"#).await;
    let db = harness.db.clone().for_purpose(Purpose::Maintenance);
    assert_eq!(cairn_worker::testing::run_jobs(&db).await.unwrap(), 2);
    assert_eq!(harness.count("likes", "Done").await, 0);
    assert_eq!(harness.count("maintenance", "Done").await, 2);
}

/// A retried job runs like a new one.
#[tokio::test(flavor = "multi_thread")]
async fn a_retried_job_succeeds_once_the_problem_is_solved() {
    let harness = Harness::new().await;
    harness.enqueue_bad_event().await;
    sqlx::query("UPDATE apalis.jobs SET max_attempts = 1 WHERE job_type = 'activity'")
        .execute(harness.pool())
        .await
        .unwrap();
    let worker = harness.start();
    eventually("the job is dead", async || harness.count("activity", "Killed").await == 1).await;
    // The problem is solved.
    harness.alter("ALTER TABLE activity_log DROP CONSTRAINT activity_log_action_check").await;
    let id: String = sqlx::query_scalar("SELECT id FROM apalis.jobs WHERE status = 'Killed'")
        .fetch_one(harness.pool())
        .await
        .unwrap();
    let mut tx = harness.db.begin().await.unwrap();
    assert!(admin::jobs::apply_one(&mut tx, admin::jobs::JobAction::Retry, &id).await.unwrap());
    tx.commit().await.unwrap();
    eventually("the job is done and the retry is recorded", async || harness.count("activity", "Done").await == 2)
        .await;
    let actions: Vec<String> = sqlx::query_scalar("SELECT action FROM activity_log ORDER BY occurred_at")
        .fetch_all(harness.pool())
        .await
        .unwrap();
    assert_eq!(actions, ["not an action", "job.retried"]);
    worker.stop().await;
}
