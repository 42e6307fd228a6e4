//! Content changes: everybody is recomputed, whatever the edit and whatever becomes of the worker.

use cairn_core::learning::jobs::RecomputeRoadmap;
use cairn_core::learning::recompute::{self, recompute_chunk};
use cairn_core::queue::{Job, Queue, lease};
use sqlx::AssertSqlSafe;

use crate::course::{Course, differences, is_settled, note_rollups, number, run};
use crate::support::{Bench, eventually};

#[expect(clippy::cast_possible_wrap, reason = "it is small")]
const CHUNK: i64 = recompute::CHUNK as i64;
/// More than one chunk.
const LEARNERS: i64 = CHUNK + 100;

/// A course and its learners, everything rolled up.
async fn add_course(bench: &Bench) -> Course {
    let course = Course::new(bench).await;
    course.add_crowd(bench, LEARNERS).await;
    // Facts written by SQL have no jobs; the walk does for them.
    edit(bench, "UPDATE progress_dirty SET done_version = 0").await;
    let worker = bench.start();
    eventually("everything is rolled up", async || is_settled(bench).await).await;
    worker.stop().await;
    course
}

/// Edits content as an editor does: with the recomputation in the same transaction. Returns how many learners that concerns.
async fn edit(bench: &Bench, statement: &str) -> i64 {
    let mut tx = bench.db.begin().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut *tx).await.unwrap();
    recompute::enqueue_stale(&mut tx).await.unwrap();
    let behind = "SELECT count(*) FROM progress_dirty d JOIN roadmaps r ON r.id = d.roadmap_id
                  WHERE d.done_version < r.content_version";
    let behind = sqlx::query_scalar(behind).fetch_one(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    behind
}

/// Each goes on from the one before.
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
        ("it stands in two", format!("INSERT INTO stage_lessons (stage_id, lesson_id) VALUES ('{third}', '{lesson}')")),
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
async fn whatever_the_edit_everybody_is_recomputed() {
    let bench = Bench::new().await;
    let course = add_course(&bench).await;
    let worker = bench.start();
    for (what, statement) in edits(&course) {
        assert_eq!(edit(&bench, &statement).await, LEARNERS, "{what}");
        eventually(what, async || is_settled(&bench).await).await;
        assert_eq!(differences(bench.pool()).await, [""; 0], "{what}");
    }
    worker.stop().await;
}

/// How a walk loses its worker or its job.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Loss {
    /// Killed in the middle of a chunk: its transaction is gone.
    BeforeTheEffect,
    /// Killed after it: the job is still said to run.
    AfterTheEffect,
    /// The next chunk's job is deleted, which no crash does.
    OfTheJob,
}

/// Under the eyes of whoever counts: each learner is computed exactly once, for all that.
#[tokio::test(flavor = "multi_thread")]
async fn a_walk_goes_on_from_where_it_was_lost() {
    for loss in [Loss::BeforeTheEffect, Loss::AfterTheEffect, Loss::OfTheJob] {
        let bench = Bench::new().await;
        let course = add_course(&bench).await;
        note_rollups(&bench).await;
        edit(&bench, &format!("UPDATE lessons SET publication = 'published' WHERE id = '{}'", course.draft_lesson))
            .await;
        let mut connection = bench.pool().acquire().await.unwrap();
        lease::heartbeat(&mut connection, &[("dead".to_owned(), Queue::ProgressBulk)]).await.unwrap();
        let [ref job] = lease::claim(&mut connection, Queue::ProgressBulk, "dead", 1).await.unwrap()[..] else {
            panic!("one walk")
        };
        let payload: serde_json::Value = serde_json::from_slice(&job.payload).unwrap();
        let job: RecomputeRoadmap = serde_json::from_value(payload["data"].clone()).unwrap();
        let mut tx = bench.db.begin().await.unwrap();
        let next = recompute_chunk(&mut tx, job).await.unwrap().expect("more than one chunk");
        tx.enqueue_in(&next.job, next.pause).unwrap();
        match loss {
            Loss::BeforeTheEffect => tx.rollback().await.unwrap(),
            Loss::AfterTheEffect | Loss::OfTheJob => tx.commit().await.unwrap(),
        }
        if loss == Loss::OfTheJob {
            run(&bench, format!("DELETE FROM apalis.jobs WHERE job_type = '{}'", RecomputeRoadmap::QUEUE.name())).await;
        }
        let done = number(&bench, "SELECT count(*) FROM computed").await;
        assert_eq!(done, if loss == Loss::BeforeTheEffect { 0 } else { CHUNK }, "{loss:?}");
        run(&bench, "UPDATE apalis.workers SET last_seen = now() - interval '1 minute'").await;
        let worker = bench.start();
        eventually("the walk has ended", async || is_settled(&bench).await).await;
        worker.stop().await;
        let computed = "SELECT count(*) FROM (SELECT user_id FROM computed GROUP BY user_id HAVING count(*) = 1) c";
        assert_eq!(number(&bench, computed).await, LEARNERS, "{loss:?}");
        assert_eq!(number(&bench, "SELECT count(*) FROM computed").await, LEARNERS, "{loss:?}");
        assert_eq!(differences(bench.pool()).await, [""; 0], "{loss:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_hands_over_once_its_worker_is_told_to_stop() {
    let bench = Bench::new().await;
    let course = add_course(&bench).await;
    note_rollups(&bench).await;
    edit(&bench, &format!("UPDATE lessons SET publication = 'published' WHERE id = '{}'", course.draft_lesson)).await;
    // The second chunk waits for one of its learners.
    let mut holder = bench.pool().begin().await.unwrap();
    let of_the_second = "SELECT FROM users
                         WHERE id = (SELECT user_id FROM progress_dirty ORDER BY user_id OFFSET $1 LIMIT 1) FOR UPDATE";
    sqlx::query(of_the_second).bind(CHUNK).execute(&mut *holder).await.unwrap();
    let worker = bench.start();
    let computed = "SELECT count(*) FROM computed";
    let waits = async || number(&bench, computed).await == CHUNK && bench.is_waited_for().await;
    eventually("the second chunk waits", waits).await;
    worker.begin_stop();
    holder.rollback().await.unwrap();
    worker.stop().await;
    assert_eq!(number(&bench, computed).await, 2 * CHUNK, "what was begun is done, and nothing more");
    let waiting =
        "SELECT count(*) FROM apalis.jobs WHERE job_type = 'progress-bulk' AND status = 'Pending' AND attempts = 0";
    assert_eq!(number(&bench, waiting).await, 1);
    let worker = bench.start();
    eventually("the walk has ended", async || is_settled(&bench).await).await;
    worker.stop().await;
    assert_eq!(number(&bench, computed).await, LEARNERS);
    assert_eq!(differences(bench.pool()).await, [""; 0]);
}
