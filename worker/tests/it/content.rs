//! Content changes: all learners are recomputed, whatever was edited and whatever happens to the worker.

use cairn_core::learning::jobs::RecomputeRoadmap;
use cairn_core::learning::recompute::{self, recompute_chunk};
use cairn_core::queue::{Job, Queue, claim, lease};
use sqlx::AssertSqlSafe;

use crate::course::{Course, is_settled, record_rollups};
use crate::support::Harness;
use cairn_testing::database::{run, scalar};
use cairn_testing::eventually;
use cairn_testing::expected_progress::differences;

#[expect(clippy::cast_possible_wrap, reason = "it is small")]
const CHUNK: i64 = recompute::CHUNK as i64;
/// More than one chunk.
const LEARNERS: i64 = CHUNK + 100;

/// Creates a course and learners whose progress is rolled up.
async fn add_course(harness: &Harness) -> Course {
    let course = Course::new(harness).await;
    course.add_crowd(harness, LEARNERS).await;
    // Facts written in SQL have no jobs, so a recomputation has to roll them up.
    edit(harness, "UPDATE progress_dirty SET done_version = 0").await;
    let worker = harness.start();
    eventually("everything is rolled up", async || is_settled(harness).await).await;
    worker.stop().await;
    course
}

/// Edits content and enqueues the recomputation in the same transaction, as an import does. Returns the number of affected
/// learners.
async fn edit(harness: &Harness, statement: &str) -> i64 {
    let mut tx = harness.db.begin().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut *tx).await.unwrap();
    recompute::enqueue_stale(&mut tx).await.unwrap();
    let behind = "SELECT count(*) FROM progress_dirty d JOIN roadmaps r ON r.id = d.roadmap_id
                  WHERE d.done_version < r.content_version";
    let behind = sqlx::query_scalar(behind).fetch_one(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    behind
}

/// A sequence of edits, each based on the one before.
fn edits(course: &Course) -> Vec<(&'static str, String)> {
    let update = |table: &str, set: &str, id| format!("UPDATE {table} SET {set} WHERE id = '{id}'");
    let (published, draft, archived) =
        ("publication = 'published'", "publication = 'draft'", "publication = 'archived'");
    let (deleted, restored) = ("deleted_at = now()", "deleted_at = NULL");
    let [first, second, third, ..] = course.stages[..] else { panic!() };
    let lesson = course.lessons[4];
    let required = |is| format!("UPDATE stage_lessons SET is_required = {is} WHERE lesson_id = '{lesson}'");
    vec![
        ("publish a lesson", update("lessons", published, course.draft_lesson)),
        ("unpublish a lesson", update("lessons", archived, lesson)),
        ("publish it again", update("lessons", published, lesson)),
        ("delete a lesson", update("lessons", deleted, lesson)),
        ("restore a lesson", update("lessons", restored, lesson)),
        ("publish a stage", update("stages", published, course.draft_stage)),
        ("unpublish a stage", update("stages", draft, second)),
        ("publish it again", update("stages", published, second)),
        ("delete a stage", update("stages", deleted, first)),
        ("restore a stage", update("stages", restored, first)),
        ("a lesson becomes optional", required(false)),
        ("a lesson becomes required", required(true)),
        ("stages have to be done in order", update("roadmaps", "is_sequential = true", course.roadmap)),
        ("the third stage becomes the first", update("stages", "position = -1", third)),
        ("a lesson is removed", format!("DELETE FROM stage_lessons WHERE lesson_id = '{lesson}'")),
        (
            "a lesson is added",
            format!("INSERT INTO stage_lessons (stage_id, lesson_id) VALUES ('{first}', '{lesson}')"),
        ),
        (
            "it moves to another stage",
            format!("UPDATE stage_lessons SET stage_id = '{second}' WHERE lesson_id = '{lesson}'"),
        ),
        (
            "it is in two stages",
            format!("INSERT INTO stage_lessons (stage_id, lesson_id) VALUES ('{third}', '{lesson}')"),
        ),
        ("stages can be done in any order", update("roadmaps", "is_sequential = false", course.roadmap)),
        ("unpublish a module", update("course_modules", draft, course.module)),
        ("publish a module", update("course_modules", published, course.module)),
        ("unpublish the roadmap", update("roadmaps", draft, course.roadmap)),
        ("publish the roadmap", update("roadmaps", published, course.roadmap)),
        ("delete the roadmap", update("roadmaps", deleted, course.roadmap)),
        ("restore the roadmap", update("roadmaps", restored, course.roadmap)),
        ("destroy a stage", format!("DELETE FROM stages WHERE id = '{second}'")),
        ("destroy a lesson", format!("DELETE FROM lessons WHERE id = '{lesson}'")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_edit_recomputes_all_learners() {
    let harness = Harness::new().await;
    let course = add_course(&harness).await;
    let worker = harness.start();
    for (what, statement) in edits(&course) {
        assert_eq!(edit(&harness, &statement).await, LEARNERS, "{what}");
        eventually(what, async || is_settled(&harness).await).await;
        assert_eq!(differences(harness.pool()).await, [""; 0], "{what}");
    }
    worker.stop().await;
}

/// How a recomputation loses its worker or its job.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Loss {
    /// The worker is killed in the middle of a chunk, and its transaction is rolled back.
    BeforeTheEffect,
    /// The worker is killed after a chunk is committed. The job is still marked as running.
    AfterTheEffect,
    /// The job of the next chunk is deleted, which no crash can cause.
    OfTheJob,
}

/// Each learner is computed exactly once, as the recorded rollups show.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_recomputation_continues_where_it_stopped() {
    for loss in [Loss::BeforeTheEffect, Loss::AfterTheEffect, Loss::OfTheJob] {
        let harness = Harness::new().await;
        let course = add_course(&harness).await;
        record_rollups(&harness).await;
        edit(&harness, &format!("UPDATE lessons SET publication = 'published' WHERE id = '{}'", course.draft_lesson))
            .await;
        let mut connection = harness.pool().acquire().await.unwrap();
        lease::heartbeat(&mut connection, &[("dead".to_owned(), Queue::ProgressBulk)]).await.unwrap();
        let [ref job] = claim::claim(&mut connection, Queue::ProgressBulk, "dead", 1).await.unwrap()[..] else {
            panic!("there must be one job")
        };
        let payload: serde_json::Value = serde_json::from_slice(&job.payload).unwrap();
        let job: RecomputeRoadmap = serde_json::from_value(payload["data"].clone()).unwrap();
        let mut tx = harness.db.begin().await.unwrap();
        let next = recompute_chunk(&mut tx, job).await.unwrap().expect("more than one chunk");
        tx.enqueue_in(&next.job, next.pause).unwrap();
        match loss {
            Loss::BeforeTheEffect => tx.rollback().await.unwrap(),
            Loss::AfterTheEffect | Loss::OfTheJob => tx.commit().await.unwrap(),
        }
        if loss == Loss::OfTheJob {
            run(
                harness.pool(),
                format!("DELETE FROM apalis.jobs WHERE job_type = '{}'", RecomputeRoadmap::QUEUE.name()),
            )
            .await;
        }
        let done = scalar::<i64>(harness.pool(), "SELECT count(*) FROM computed").await;
        assert_eq!(done, if loss == Loss::BeforeTheEffect { 0 } else { CHUNK }, "{loss:?}");
        run(harness.pool(), "UPDATE apalis.workers SET last_seen = now() - interval '1 minute'").await;
        let worker = harness.start();
        eventually("the recomputation has ended", async || is_settled(&harness).await).await;
        worker.stop().await;
        let computed = "SELECT count(*) FROM (SELECT user_id FROM computed GROUP BY user_id HAVING count(*) = 1) c";
        assert_eq!(scalar::<i64>(harness.pool(), computed).await, LEARNERS, "{loss:?}");
        assert_eq!(scalar::<i64>(harness.pool(), "SELECT count(*) FROM computed").await, LEARNERS, "{loss:?}");
        assert_eq!(differences(harness.pool()).await, [""; 0], "{loss:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recomputation_hands_over_when_its_worker_is_told_to_stop() {
    let harness = Harness::new().await;
    let course = add_course(&harness).await;
    record_rollups(&harness).await;
    edit(&harness, &format!("UPDATE lessons SET publication = 'published' WHERE id = '{}'", course.draft_lesson)).await;
    // The second chunk takes as long as one of its learners is in this table. It would not wait for a lock.
    let statements = "
        CREATE TABLE slow (user_id uuid);
        CREATE FUNCTION take_long() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN
            WHILE EXISTS (SELECT FROM slow WHERE user_id = NEW.user_id) LOOP PERFORM pg_sleep(0.01); END LOOP;
            RETURN NULL;
        END $$;
        CREATE TRIGGER take_long AFTER UPDATE ON progress_dirty FOR EACH ROW EXECUTE FUNCTION take_long()";
    harness.alter(statements).await;
    let mut superuser = harness.superuser().await;
    let of_the_second = "INSERT INTO slow SELECT user_id FROM progress_dirty ORDER BY user_id OFFSET $1 LIMIT 1";
    sqlx::query(of_the_second).bind(CHUNK).execute(&mut superuser).await.unwrap();
    let worker = harness.start();
    let computed = "SELECT count(*) FROM computed";
    let sleeps = "SELECT EXISTS (SELECT FROM pg_stat_activity
                                 WHERE datname = current_database() AND wait_event = 'PgSleep')";
    let waits = async || scalar::<i64>(harness.pool(), computed).await == CHUNK && scalar(harness.pool(), sleeps).await;
    eventually("the second chunk waits", waits).await;
    worker.begin_stop();
    sqlx::query("DELETE FROM slow").execute(&mut superuser).await.unwrap();
    worker.stop().await;
    assert_eq!(
        scalar::<i64>(harness.pool(), computed).await,
        2 * CHUNK,
        "the chunk that had started is finished, and no other is started"
    );
    let waiting =
        "SELECT count(*) FROM apalis.jobs WHERE job_type = 'progress-bulk' AND status = 'Pending' AND attempts = 0";
    assert_eq!(scalar::<i64>(harness.pool(), waiting).await, 1);
    let worker = harness.start();
    eventually("the recomputation has ended", async || is_settled(&harness).await).await;
    worker.stop().await;
    assert_eq!(scalar::<i64>(harness.pool(), computed).await, LEARNERS);
    assert_eq!(differences(harness.pool()).await, [""; 0]);
}
