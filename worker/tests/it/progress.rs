//! Rollups: few for many changes, and none missing at the end.

use std::sync::Arc;

use cairn_core::queue::{Queue, claim, lease};
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::course::{Course, is_settled, record_rollups, set_completed};
use crate::support::Harness;
use cairn_testing::database::{run, scalar};
use cairn_testing::eventually;
use cairn_testing::expected_progress::differences;
use cairn_testing::rows::add_user;

/// The number of changes that one learner makes.
const CHANGES: usize = 1000;

/// The number of devices on which they make them concurrently.
const DEVICES: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_changes_cause_few_rollups_and_an_exact_result() {
    let harness = Arc::new(Harness::new().await);
    let course = Course::new(&harness).await;
    let learner = add_user(harness.pool()).await;
    record_rollups(&harness).await;
    let worker = harness.start();
    let started: f64 = clock(&harness).await;
    let mut devices = JoinSet::new();
    for device in 0..DEVICES {
        let (harness, lesson) = (harness.clone(), course.lessons[device]);
        devices.spawn(async move {
            for n in 0..CHANGES / DEVICES {
                set_completed(&harness, learner, lesson, n % 2 == 0).await;
            }
        });
    }
    devices.join_all().await;
    eventually("everything is rolled up", async || is_settled(&harness).await).await;
    eventually("no job is left", async || {
        harness.count("progress", "Pending").await + harness.count("progress", "Running").await == 0
    })
    .await;
    worker.stop().await;
    let changes =
        scalar::<i64>(harness.pool(), format!("SELECT requested_seq FROM progress_dirty WHERE user_id = '{learner}'"))
            .await;
    assert_eq!(usize::try_from(changes).unwrap(), CHANGES, "each act changed something");
    assert_eq!(differences(harness.pool()).await, [""; 0]);
    let completed = scalar::<i64>(harness.pool(), "SELECT lessons_completed::bigint FROM user_roadmap_progress").await;
    assert_eq!(usize::try_from(completed).unwrap(), DEVICES, "the last change on each device was a completion");
    // Three at once, then two per second. The assertion uses the recorded times of the rollups, however long the test took.
    let rollups: Vec<f64> = sqlx::query_scalar("SELECT extract(epoch FROM at)::float8 FROM computed ORDER BY at")
        .fetch_all(harness.pool())
        .await
        .unwrap();
    for (n, at) in (1..).zip(&rollups) {
        let allowed = 3.0 + 2.0 * (at - started);
        assert!(
            f64::from(n) <= allowed,
            "rollup {n} happened {:.3} s after the first change: {rollups:?}",
            at - started
        );
    }
}

async fn clock(harness: &Harness) -> f64 {
    sqlx::query_scalar("SELECT extract(epoch FROM clock_timestamp())::float8").fetch_one(harness.pool()).await.unwrap()
}

/// Moves all stored times back, as if this many seconds had passed.
async fn advance_clock(harness: &Harness, seconds: u32) {
    let statement = format!(
        "UPDATE progress_dirty SET requested_at = requested_at - interval '{seconds} seconds',
                                   queued_at = queued_at - interval '{seconds} seconds'"
    );
    run(harness.pool(), statement).await;
}

/// A marker waits at most 30 s for its job and 5 s for the reconciler. Both count from stored times, which the test moves
/// instead of waiting.
#[tokio::test(flavor = "multi_thread")]
async fn a_marker_without_a_job_is_rolled_up() {
    let harness = Harness::new().await;
    let course = Course::new(&harness).await;
    let (learner, other) = (add_user(harness.pool()).await, add_user(harness.pool()).await);
    set_completed(&harness, learner, course.lessons[0], true).await;
    set_completed(&harness, other, course.lessons[1], true).await;
    let lost = format!("DELETE FROM apalis.jobs WHERE convert_from(job, 'UTF8') LIKE '%roll_up%{learner}%'");
    assert_eq!(sqlx::query(AssertSqlSafe(lost)).execute(harness.pool()).await.unwrap().rows_affected(), 1);
    let worker = harness.start();
    eventually("the other learner is rolled up", async || harness.count("progress", "Done").await == 1).await;
    advance_clock(&harness, 31).await;
    eventually("the job is replaced", async || is_settled(&harness).await).await;
    assert_eq!(differences(harness.pool()).await, [""; 0]);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marker_is_rolled_up_after_its_worker_died() {
    let harness = Harness::new().await;
    let course = Course::new(&harness).await;
    let learner = add_user(harness.pool()).await;
    set_completed(&harness, learner, course.lessons[0], true).await;
    let mut connection = harness.pool().acquire().await.unwrap();
    lease::heartbeat(&mut connection, &[("dead".to_owned(), Queue::Progress)]).await.unwrap();
    assert_eq!(claim::claim(&mut connection, Queue::Progress, "dead", 10).await.unwrap().len(), 1);
    drop(connection);
    run(harness.pool(), "UPDATE apalis.workers SET last_seen = now() - interval '31 seconds' WHERE id = 'dead'").await;
    let worker = harness.start();
    eventually("the job is rescued", async || is_settled(&harness).await).await;
    eventually("the job ran once more", async || {
        scalar::<i64>(
            harness.pool(),
            "SELECT count(*) FROM apalis.jobs WHERE job_type = 'progress' AND status = 'Done' AND attempts = 2",
        )
        .await
            == 1
    })
    .await;
    assert_eq!(differences(harness.pool()).await, [""; 0]);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fact_written_in_sql_is_rolled_up() {
    let harness = Harness::new().await;
    let course = Course::new(&harness).await;
    let learner = add_user(harness.pool()).await;
    let worker = harness.start();
    let lesson = course.lessons[4];
    run(
        harness.pool(),
        format!("INSERT INTO user_lesson_progress (user_id, lesson_id) VALUES ('{learner}', '{lesson}')"),
    )
    .await;
    advance_clock(&harness, 11).await;
    eventually("it is rolled up", async || is_settled(&harness).await).await;
    assert_eq!(differences(harness.pool()).await, [""; 0]);
    assert_eq!(
        scalar::<i64>(harness.pool(), "SELECT count(*) FROM user_roadmap_progress WHERE status = 'in_progress'").await,
        1
    );
    worker.stop().await;
}

/// Deleting a user or a roadmap by hand takes locks in a different order than a rollup. The rollup gives way, so that Postgres has
/// to abort neither, and no attempt is counted.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollup_gives_way_to_a_deletion_by_hand() {
    for table in ["users", "roadmaps"] {
        let (harness, id) = enqueue_rollup(table).await;
        let mut console = harness.superuser().await;
        // A DELETE locks the row first.
        execute(&mut console, format!("BEGIN; SELECT FROM {table} WHERE id = '{id}' FOR UPDATE")).await.unwrap();
        let due = "SELECT extract(epoch FROM run_at)::float8 FROM apalis.jobs WHERE job_type = 'progress'";
        let enqueued: f64 = scalar(harness.pool(), due).await;
        let worker = Harness::on(&harness.url()).start();
        eventually("the rollup has given way", async || scalar::<f64>(harness.pool(), due).await > enqueued).await;
        execute(&mut console, format!("DELETE FROM {table} WHERE id = '{id}'")).await.unwrap();
        execute(&mut console, "COMMIT".to_owned()).await.unwrap();
        wait_until_idle(&harness).await;
        let attempts = "SELECT max(attempts)::bigint FROM apalis.jobs WHERE job_type = 'progress'";
        assert_eq!(scalar::<i64>(harness.pool(), attempts).await, 1);
        assert_eq!(scalar::<i64>(harness.pool(), format!("SELECT count(*) FROM {table} WHERE id = '{id}'")).await, 0);
        worker.stop().await;
    }
}

/// Creates a learner with an enqueued rollup. Returns the id of the row to delete: the learner or the roadmap.
async fn enqueue_rollup(table: &str) -> (Harness, Uuid) {
    let harness = Harness::new().await;
    let course = Course::new(&harness).await;
    let learner = add_user(harness.pool()).await;
    set_completed(&harness, learner, course.lessons[0], true).await;
    let id = if table == "users" { learner } else { course.roadmap };
    (harness, id)
}

async fn execute(console: &mut PgConnection, statements: String) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(console).await.map(drop)
}

async fn wait_until_idle(harness: &Harness) {
    eventually("everything is rolled up", async || is_settled(harness).await).await;
    eventually("no job is left", async || {
        scalar::<i64>(
            harness.pool(),
            "SELECT count(*) FROM apalis.jobs WHERE job_type = 'progress' AND status <> 'Done'",
        )
        .await
            == 0
    })
    .await;
    assert_eq!(differences(harness.pool()).await, [""; 0]);
}
