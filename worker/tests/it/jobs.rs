//! What becomes of a job.

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
