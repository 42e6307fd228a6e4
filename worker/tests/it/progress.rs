//! Rollups: few for many acts, and none is missing in the end.

use std::sync::Arc;

use cairn_core::queue::{Queue, lease};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::course::{Course, act, add_user, differences, is_settled, note_rollups, number, run};
use crate::support::{Bench, eventually};

/// Acts of one learner, by so many devices at once.
const ACTS: usize = 1000;
const DEVICES: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_acts_are_a_handful_of_rollups_and_an_exact_number() {
    let bench = Arc::new(Bench::new().await);
    let course = Course::new(&bench).await;
    let learner = add_user(&bench).await;
    note_rollups(&bench).await;
    let worker = bench.start();
    let begun: f64 = clock(&bench).await;
    let mut devices = JoinSet::new();
    for device in 0..DEVICES {
        let (bench, lesson) = (bench.clone(), course.lessons[device]);
        devices.spawn(async move {
            for n in 0..ACTS / DEVICES {
                act(&bench, learner, lesson, n % 2 == 0).await;
            }
        });
    }
    devices.join_all().await;
    eventually("everything is rolled up", async || is_settled(&bench).await).await;
    eventually("no job is left", async || {
        bench.count("progress", "Pending").await + bench.count("progress", "Running").await == 0
    })
    .await;
    worker.stop().await;
    let acts = number(&bench, format!("SELECT requested_seq FROM progress_dirty WHERE user_id = '{learner}'")).await;
    assert_eq!(usize::try_from(acts).unwrap(), ACTS, "each act was a change");
    assert_eq!(differences(bench.pool()).await, [""; 0]);
    let completed = number(&bench, "SELECT lessons_completed::bigint FROM user_roadmap_progress").await;
    assert_eq!(usize::try_from(completed).unwrap(), DEVICES, "the last act of each device was a completion");
    // Three at once, then two a second. However long it took: the times are those of the rollups.
    let rollups: Vec<f64> = sqlx::query_scalar("SELECT extract(epoch FROM at)::float8 FROM computed ORDER BY at")
        .fetch_all(bench.pool())
        .await
        .unwrap();
    for (n, at) in (1..).zip(&rollups) {
        let allowed = 3.0 + 2.0 * (at - begun);
        assert!(f64::from(n) <= allowed, "rollup {n} came {:.3} s after the first act: {rollups:?}", at - begun);
    }
}

async fn clock(bench: &Bench) -> f64 {
    sqlx::query_scalar("SELECT extract(epoch FROM clock_timestamp())::float8").fetch_one(bench.pool()).await.unwrap()
}

/// Moves all stored times back.
async fn later(bench: &Bench, seconds: u32) {
    let statement = format!(
        "UPDATE progress_dirty SET requested_at = requested_at - interval '{seconds} seconds',
                                   queued_at = queued_at - interval '{seconds} seconds'"
    );
    run(bench, statement).await;
}

/// What a marker waits at most before it is picked up: 30 s for its job, 5 s for the reconciler. Both count from stored
/// times, so that the test moves those instead of waiting.
#[tokio::test(flavor = "multi_thread")]
async fn a_marker_whose_job_is_lost_is_rolled_up() {
    let bench = Bench::new().await;
    let course = Course::new(&bench).await;
    let (learner, other) = (add_user(&bench).await, add_user(&bench).await);
    act(&bench, learner, course.lessons[0], true).await;
    act(&bench, other, course.lessons[1], true).await;
    let lost = format!("DELETE FROM apalis.jobs WHERE convert_from(job, 'UTF8') LIKE '%roll_up%{learner}%'");
    assert_eq!(sqlx::query(AssertSqlSafe(lost)).execute(bench.pool()).await.unwrap().rows_affected(), 1);
    let worker = bench.start();
    eventually("the other one is rolled up", async || bench.count("progress", "Done").await == 1).await;
    later(&bench, 31).await;
    eventually("the job is replaced", async || is_settled(&bench).await).await;
    assert_eq!(differences(bench.pool()).await, [""; 0]);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marker_whose_worker_died_is_rolled_up() {
    let bench = Bench::new().await;
    let course = Course::new(&bench).await;
    let learner = add_user(&bench).await;
    act(&bench, learner, course.lessons[0], true).await;
    let mut connection = bench.pool().acquire().await.unwrap();
    lease::heartbeat(&mut connection, &[("dead".to_owned(), Queue::Progress)]).await.unwrap();
    assert_eq!(lease::claim(&mut connection, Queue::Progress, "dead", 10).await.unwrap().len(), 1);
    drop(connection);
    run(&bench, "UPDATE apalis.workers SET last_seen = now() - interval '31 seconds' WHERE id = 'dead'").await;
    let worker = bench.start();
    eventually("the job is rescued", async || is_settled(&bench).await).await;
    eventually("it ran once more", async || {
        number(
            &bench,
            "SELECT count(*) FROM apalis.jobs WHERE job_type = 'progress' AND status = 'Done' AND attempts = 2",
        )
        .await
            == 1
    })
    .await;
    assert_eq!(differences(bench.pool()).await, [""; 0]);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fact_that_somebody_writes_in_sql_is_rolled_up() {
    let bench = Bench::new().await;
    let course = Course::new(&bench).await;
    let learner = add_user(&bench).await;
    let worker = bench.start();
    let lesson = course.lessons[4];
    run(&bench, format!("INSERT INTO user_lesson_progress (user_id, lesson_id) VALUES ('{learner}', '{lesson}')"))
        .await;
    later(&bench, 11).await;
    eventually("it is found", async || is_settled(&bench).await).await;
    assert_eq!(differences(bench.pool()).await, [""; 0]);
    assert_eq!(number(&bench, "SELECT count(*) FROM user_roadmap_progress WHERE status = 'in_progress'").await, 1);
    worker.stop().await;
}

/// Deleting the row of a person or a roadmap by hand takes locks in another order than a rollup, so that Postgres has to end
/// one of the two.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollup_that_is_ended_by_a_deletion_is_tried_again() {
    // What the rollup reads, and the deletion does not touch.
    for (table, gate) in [("users", "stages"), ("roadmaps", "user_lesson_progress")] {
        let (bench, id) = about_to_roll_up(table).await;
        // Set before the worker connects: the rollup is the one to notice.
        set_deadlock_timeout(&bench, "50ms").await;
        let mut console = console(&bench, "1h").await;
        let mut barrier = console_of(&bench).await;
        execute(&mut barrier, format!("BEGIN; LOCK TABLE {gate} IN ACCESS EXCLUSIVE MODE")).await.unwrap();
        let worker = Bench::on(&bench.url()).start();
        eventually("the rollup has its marker", async || marker_is_held(&bench).await).await;
        let deletion =
            tokio::spawn(async move { execute(&mut console, format!("DELETE FROM {table} WHERE id = '{id}'")).await });
        eventually("the deletion waits for it", async || {
            number(
                &bench,
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'DELETE%'",
            )
            .await
                == 1
        })
        .await;
        execute(&mut barrier, "COMMIT".to_owned()).await.unwrap();
        deletion.await.unwrap().unwrap();
        settle(&bench).await;
        assert_eq!(
            number(&bench, "SELECT max(attempts)::bigint FROM apalis.jobs WHERE job_type = 'progress'").await,
            2
        );
        assert_eq!(number(&bench, format!("SELECT count(*) FROM {table} WHERE id = '{id}'")).await, 0);
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_is_ended_by_a_rollup_has_not_happened() {
    for table in ["users", "roadmaps"] {
        let (bench, id) = about_to_roll_up(table).await;
        set_deadlock_timeout(&bench, "1h").await;
        let mut console = console(&bench, "50ms").await;
        // The first thing that a DELETE does.
        execute(&mut console, format!("BEGIN; SELECT FROM {table} WHERE id = '{id}' FOR UPDATE")).await.unwrap();
        let worker = Bench::on(&bench.url()).start();
        eventually("the rollup has its marker", async || marker_is_held(&bench).await).await;
        eventually("and waits for the row", async || {
            number(
                &bench,
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%Computes stage%'",
            )
            .await
                == 1
        })
        .await;
        let deletion = format!("DELETE FROM {table} WHERE id = '{id}'");
        let error = execute(&mut console, deletion.clone()).await.unwrap_err().to_string();
        assert!(error.contains("deadlock"), "{error}");
        execute(&mut console, "ROLLBACK".to_owned()).await.unwrap();
        settle(&bench).await;
        assert_eq!(
            number(&bench, "SELECT max(attempts)::bigint FROM apalis.jobs WHERE job_type = 'progress'").await,
            1
        );
        assert_eq!(number(&bench, format!("SELECT count(*) FROM {table} WHERE id = '{id}'")).await, 1);
        execute(&mut console, deletion).await.unwrap();
        settle(&bench).await;
        worker.stop().await;
    }
}

/// A learner whose rollup is enqueued, and the row that is about to be deleted: his, or that of the roadmap.
async fn about_to_roll_up(table: &str) -> (Bench, Uuid) {
    let bench = Bench::new().await;
    let course = Course::new(&bench).await;
    let learner = add_user(&bench).await;
    act(&bench, learner, course.lessons[0], true).await;
    let id = if table == "users" { learner } else { course.roadmap };
    (bench, id)
}

/// For connections that are made from now on.
async fn set_deadlock_timeout(bench: &Bench, timeout: &str) {
    let name: String = sqlx::query_scalar("SELECT current_database()").fetch_one(bench.pool()).await.unwrap();
    run(bench, format!("ALTER DATABASE {name} SET deadlock_timeout = '{timeout}'")).await;
}

async fn console_of(bench: &Bench) -> PgConnection {
    PgConnection::connect(&bench.url()).await.unwrap()
}

async fn console(bench: &Bench, deadlock_timeout: &str) -> PgConnection {
    let mut console = console_of(bench).await;
    execute(&mut console, format!("SET deadlock_timeout = '{deadlock_timeout}'")).await.unwrap();
    console
}

async fn execute(console: &mut PgConnection, statements: String) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(console).await.map(drop)
}

/// Whether somebody has locked the only marker there is.
async fn marker_is_held(bench: &Bench) -> bool {
    number(bench, "SELECT count(*) FROM (SELECT FROM progress_dirty FOR UPDATE SKIP LOCKED) d").await == 0
}

async fn settle(bench: &Bench) {
    eventually("everything is rolled up", async || is_settled(bench).await).await;
    eventually("no job is left", async || {
        number(bench, "SELECT count(*) FROM apalis.jobs WHERE job_type = 'progress' AND status <> 'Done'").await == 0
    })
    .await;
    assert_eq!(differences(bench.pool()).await, [""; 0]);
}
