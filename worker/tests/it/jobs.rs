//! What becomes of a job.

use cairn_core::admin;
use cairn_core::queue::{Kind, Queue};
use serde_json::{Value, json};

use crate::support::{Bench, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn every_job_runs_once_with_its_effect() {
    let bench = Bench::new().await;
    let worker = bench.start();
    bench.enqueue_events(700).await;
    eventually("700 jobs are done", async || bench.count("activity", "Done").await == 700).await;
    assert_eq!(bench.logged().await, 700);
    let again: i64 = sqlx::query_scalar("SELECT count(*) FROM apalis.jobs WHERE attempts <> 1")
        .fetch_one(bench.pool())
        .await
        .unwrap();
    assert_eq!(again, 0, "no job was started twice");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_dead_at_once_and_stops_nobody() {
    let bench = Bench::new().await;
    let worker = bench.start();
    let garbage = bench.insert_raw("activity", &[0xff, 0x00, 0x80]).await;
    let unknown = bench.insert_raw("activity", br#"{"kind":"fly_to_moon","v":1,"data":{}}"#).await;
    let newer = bench.insert_raw("likes", br#"{"kind":"count_likes","v":9,"data":{}}"#).await;
    let wrong = bench.insert_raw("progress", br#"{"kind":"roll_up_progress","v":1,"data":{"user_id":7}}"#).await;
    bench.enqueue_events(50).await;
    eventually("the good jobs are done", async || bench.count("activity", "Done").await == 50).await;
    for (id, says) in
        [(garbage, "cannot be read"), (unknown, "fly_to_moon"), (newer, "version 9"), (wrong, "cannot be read")]
    {
        let killed = async || -> Option<(i32, Value)> {
            sqlx::query_as("SELECT attempts, last_result FROM apalis.jobs WHERE id = $1 AND status = 'Killed'")
                .bind(&id)
                .fetch_optional(bench.pool())
                .await
                .unwrap()
        };
        eventually("the job is dead", async || killed().await.is_some()).await;
        let (attempts, result) = killed().await.unwrap();
        assert_eq!(attempts, 1, "no second try");
        assert!(result["Err"].as_str().unwrap().contains(says), "{result}");
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_job_waits_for_its_backoff_keeps_its_errors_and_dies_at_its_cap() {
    let bench = Bench::new().await;
    let worker = bench.start();
    bench.enqueue_bad_event().await;
    sqlx::query("UPDATE apalis.jobs SET max_attempts = 3 WHERE job_type = 'activity'")
        .execute(bench.pool())
        .await
        .unwrap();
    for attempt in 1..=2 {
        eventually("the attempt failed", async || {
            sqlx::query_scalar(
                "SELECT status = 'Failed' AND attempts = $1 FROM apalis.jobs WHERE job_type = 'activity'",
            )
            .bind(attempt)
            .fetch_one(bench.pool())
            .await
            .unwrap()
        })
        .await;
        // Not due before its time; then make it due, instead of waiting.
        let (waits, errors): (bool, Value) = sqlx::query_as(
            "SELECT run_at > lock_at + interval '400 milliseconds', last_result -> 'attempts' FROM apalis.jobs WHERE job_type = 'activity'",
        )
        .fetch_one(bench.pool())
        .await
        .unwrap();
        assert!(waits, "the backoff is stored");
        assert_eq!(errors.as_array().unwrap().len(), usize::try_from(attempt).unwrap());
        sqlx::query("UPDATE apalis.jobs SET run_at = now() WHERE job_type = 'activity'")
            .execute(bench.pool())
            .await
            .unwrap();
    }
    eventually("the job is dead", async || bench.count("activity", "Killed").await == 1).await;
    let result: Value = sqlx::query_scalar("SELECT last_result FROM apalis.jobs WHERE job_type = 'activity'")
        .fetch_one(bench.pool())
        .await
        .unwrap();
    assert_eq!(result["attempts"].as_array().unwrap().len(), 3, "{result}");
    assert!(result["Err"].as_str().unwrap().contains("activity_log_action_check"), "{result}");
    assert_eq!(bench.logged().await, 0);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_event_in_a_group_fails_alone() {
    let bench = Bench::new().await;
    bench.enqueue_events(60).await;
    bench.enqueue_bad_event().await;
    bench.enqueue_events(60).await;
    let worker = bench.start();
    eventually("the good ones are done", async || bench.count("activity", "Done").await == 120).await;
    eventually("the bad one failed", async || bench.count("activity", "Failed").await == 1).await;
    assert_eq!(bench.logged().await, 120);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scheduled_jobs_come_by_themselves() {
    let bench = Bench::new().await;
    let (one, two) = (bench.start(), bench.start());
    eventually("housekeeping and a reconcile ran", async || bench.count("maintenance", "Done").await >= 2).await;
    let kept: Vec<Value> =
        sqlx::query_scalar("SELECT convert_from(job, 'UTF8')::json FROM apalis.jobs WHERE job_type = 'maintenance'")
            .fetch_all(bench.pool())
            .await
            .unwrap();
    let house = kept.iter().filter(|job| job["kind"] == json!("keep_house")).count();
    assert_eq!(house, 1, "two workers, one run an hour");
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_job_is_known_here() {
    let bench = Bench::new().await;
    for kind in Kind::ALL {
        let payload = format!(r#"{{"kind":"{}","v":9,"data":{{}}}}"#, kind.name());
        bench.insert_raw(kind.queue().name(), payload.as_bytes()).await;
    }
    cairn_worker::testing::run_jobs(&bench.db).await.unwrap();
    let errors: Vec<String> =
        sqlx::query_scalar("SELECT last_result ->> 'Err' FROM apalis.jobs").fetch_all(bench.pool()).await.unwrap();
    assert_eq!(errors.len(), Kind::ALL.len());
    assert!(errors.iter().all(|error| error.starts_with("version 9 of ")), "{errors:?}");
}

async fn pause(bench: &Bench, queue: Queue) {
    let mut tx = bench.db.begin().await.unwrap();
    assert!(admin::queues::pause(&mut tx, queue).await.unwrap());
    tx.commit().await.unwrap();
}

async fn resume(bench: &Bench, queue: Queue) {
    let mut tx = bench.db.begin().await.unwrap();
    assert!(admin::queues::resume(&mut tx, queue).await.unwrap());
    tx.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_queue_is_not_worked_while_the_others_are_and_not_after_a_restart() {
    let bench = Bench::new().await;
    pause(&bench, Queue::Activity).await;
    bench.enqueue_events(20).await; // and the event of the pause
    for _ in 0..2 {
        let worker = bench.start();
        let likes = bench.insert_raw("likes", br#"{"kind":"count_likes","v":9,"data":{}}"#).await;
        eventually("another queue is worked", async || {
            sqlx::query_scalar("SELECT status = 'Killed' FROM apalis.jobs WHERE id = $1")
                .bind(&likes)
                .fetch_one(bench.pool())
                .await
                .unwrap()
        })
        .await;
        assert_eq!(bench.count("activity", "Pending").await, 21);
        worker.stop().await;
    }
    let worker = bench.start();
    resume(&bench, Queue::Activity).await;
    eventually("it is worked again", async || bench.count("activity", "Done").await == 22).await;
    assert_eq!(bench.logged().await, 22);
    worker.stop().await;
}

/// More than one run can remove within its time: the job ends in order and another goes on.
#[tokio::test]
async fn housekeeping_goes_on_until_everything_is_done() {
    let bench = Bench::new().await;
    // Removing the first chunk takes longer than a run should.
    sqlx::raw_sql(
        "INSERT INTO apalis.jobs (id, job_type, job, status, done_at)
             SELECT 'old-' || n, 'likes', 'x', 'Done', now() - interval '2 days' FROM generate_series(1, 6000) n;
         CREATE FUNCTION take_long() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF (SELECT count(*) FROM gone) = 5000 THEN PERFORM pg_sleep(10.1); END IF;
             RETURN NULL;
         END $$;
         CREATE TRIGGER take_long AFTER DELETE ON apalis.jobs REFERENCING OLD TABLE AS gone
             FOR EACH STATEMENT EXECUTE FUNCTION take_long()",
    )
    .execute(bench.pool())
    .await
    .unwrap();
    bench.insert_raw("maintenance", br#"{"kind":"keep_house","v":1,"data":{}}"#).await;
    assert_eq!(cairn_worker::testing::run_jobs(&bench.db).await.unwrap(), 2);
    assert_eq!(bench.count("likes", "Done").await, 0);
    assert_eq!(bench.count("maintenance", "Done").await, 2);
}

/// A retried job runs like a new one.
#[tokio::test(flavor = "multi_thread")]
async fn what_died_of_a_passing_trouble_is_done_after_a_retry() {
    let bench = Bench::new().await;
    bench.enqueue_bad_event().await;
    sqlx::query("UPDATE apalis.jobs SET max_attempts = 1 WHERE job_type = 'activity'")
        .execute(bench.pool())
        .await
        .unwrap();
    let worker = bench.start();
    eventually("the job is dead", async || bench.count("activity", "Killed").await == 1).await;
    // The trouble passes.
    sqlx::query("ALTER TABLE activity_log DROP CONSTRAINT activity_log_action_check")
        .execute(bench.pool())
        .await
        .unwrap();
    let id: String =
        sqlx::query_scalar("SELECT id FROM apalis.jobs WHERE status = 'Killed'").fetch_one(bench.pool()).await.unwrap();
    let mut tx = bench.db.begin().await.unwrap();
    assert!(admin::jobs::apply_one(&mut tx, admin::jobs::JobAction::Retry, &id).await.unwrap());
    tx.commit().await.unwrap();
    eventually("it is done, and the retry is recorded", async || bench.count("activity", "Done").await == 2).await;
    let actions: Vec<String> = sqlx::query_scalar("SELECT action FROM activity_log ORDER BY occurred_at")
        .fetch_all(bench.pool())
        .await
        .unwrap();
    assert_eq!(actions, ["not an action", "job.retried"]);
    worker.stop().await;
}
