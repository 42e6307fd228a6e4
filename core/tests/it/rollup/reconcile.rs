//! The reconcilers enqueue lost work exactly once, and nothing that an existing job will do.

use cairn_core::clock::new_id;
use cairn_core::learning::jobs::{RecomputeRoadmap, RollUpProgress};
use cairn_core::learning::jobs::{stale_progress, stale_roadmaps};
use cairn_core::queue::lease::{self, Outcome};
use cairn_core::queue::{Queue, claim};
use cairn_core::tools::jobs::GenerateReply;
use cairn_core::tools::jobs::dead_replies;
use uuid::Uuid;

use super::{drain_roadmaps, take_chunks};
use cairn_testing::database::{TestDb, jobs, run, scalar};
use cairn_testing::rows::{add_lesson, add_module, add_roadmap, add_stage, add_user, complete};

async fn reconcile(test: &TestDb) {
    let mut tx = test.db.begin().await.unwrap();
    stale_progress(&mut tx).await.unwrap();
    stale_roadmaps(&mut tx).await.unwrap();
    dead_replies(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
}

async fn later(test: &TestDb, seconds: u32) {
    let statement = format!(
        "UPDATE progress_dirty SET requested_at = requested_at - interval '{seconds} seconds',
                                   queued_at = queued_at - interval '{seconds} seconds'"
    );
    run(test.pool(), statement).await;
}

/// Adds a learner and a roadmap that needs no recomputation. Returns the learner, the lesson and the roadmap.
async fn add_learner(test: &TestDb) -> (Uuid, Uuid, Uuid) {
    let pool = test.pool();
    let module = add_module(pool).await;
    let (lesson, roadmap) = (add_lesson(pool, module).await, add_roadmap(pool).await);
    add_stage(pool, roadmap, &[lesson]).await;
    drain_roadmaps(&test.db).await;
    (add_user(pool).await, lesson, roadmap)
}

async fn rollups(test: &TestDb) -> Vec<(Uuid, Uuid)> {
    jobs::<RollUpProgress>(test.pool()).await.into_iter().map(|job| (job.user_id, job.roadmap_id)).collect()
}

#[tokio::test]
async fn a_fact_written_by_hand_is_picked_up_once() {
    let test = TestDb::new().await;
    let (user, lesson, roadmap) = add_learner(&test).await;
    complete(test.pool(), user, lesson).await;
    reconcile(&test).await;
    assert_eq!(rollups(&test).await, [], "its writer may be about to enqueue the job");
    later(&test, 11).await;
    reconcile(&test).await;
    assert_eq!(rollups(&test).await, [(user, roadmap)]);
    reconcile(&test).await;
    later(&test, 29).await;
    reconcile(&test).await;
    assert_eq!(rollups(&test).await, [(user, roadmap)], "its job is pending");
}

#[tokio::test]
async fn a_marker_whose_job_was_lost_gets_another() {
    let test = TestDb::new().await;
    let (user, lesson, roadmap) = add_learner(&test).await;
    complete(test.pool(), user, lesson).await;
    run(test.pool(), "UPDATE progress_dirty SET queued_at = now()").await;
    later(&test, 29).await;
    reconcile(&test).await;
    assert_eq!(rollups(&test).await, [], "the job may still run");
    later(&test, 2).await;
    reconcile(&test).await;
    reconcile(&test).await;
    assert_eq!(rollups(&test).await, [(user, roadmap)]);
}

#[tokio::test]
async fn markers_that_are_not_stale_are_ignored() {
    let test = TestDb::new().await;
    let (user, lesson, _) = add_learner(&test).await;
    complete(test.pool(), user, lesson).await;
    super::drain_markers(&test.db).await;
    later(&test, 3600).await;
    reconcile(&test).await;
    assert_eq!(rollups(&test).await, []);
    assert_eq!(jobs::<RecomputeRoadmap>(test.pool()).await.len(), 0);
}

/// The age of a marker counts from the change that made it stale.
#[tokio::test]
async fn a_marker_ages_from_the_first_change_that_is_not_rolled_up() {
    let test = TestDb::new().await;
    let (user, lesson, roadmap) = add_learner(&test).await;
    complete(test.pool(), user, lesson).await;
    super::drain_markers(&test.db).await;
    later(&test, 3600).await;
    run(test.pool(), "UPDATE user_lesson_progress SET status = 'in_progress', completed_at = NULL").await;
    reconcile(&test).await;
    assert_eq!(rollups(&test).await, []);
    later(&test, 11).await;
    // Further changes do not reset its age.
    run(test.pool(), "UPDATE user_lesson_progress SET status = 'completed', completed_at = now()").await;
    reconcile(&test).await;
    assert_eq!(rollups(&test).await, [(user, roadmap)]);
}

#[tokio::test]
async fn content_edited_by_hand_is_recomputed_by_one_job() {
    let test = TestDb::new().await;
    let (user, lesson, roadmap_id) = add_learner(&test).await;
    complete(test.pool(), user, lesson).await;
    super::drain_markers(&test.db).await;
    run(test.pool(), "UPDATE stages SET publication = 'draft'").await;
    for _ in 0..3 {
        reconcile(&test).await;
    }
    let walks = jobs::<RecomputeRoadmap>(test.pool()).await;
    let found: Vec<_> = walks.iter().map(|job| (job.roadmap_id, job.after_user)).collect();
    assert_eq!(found, [(roadmap_id, None)]);

    // Nothing is enqueued while a live job exists, whatever its state.
    let worker = "INSERT INTO apalis.workers (id, worker_type, storage_name) VALUES ('w', 'progress-bulk', 'cairn')";
    run(test.pool(), worker).await;
    for state in ["status = 'Running'", "status = 'Queued'", "status = 'Failed', attempts = 1"] {
        run(test.pool(), format!("UPDATE apalis.jobs SET lock_by = 'w', {state}")).await;
        reconcile(&test).await;
        assert_eq!(jobs::<RecomputeRoadmap>(test.pool()).await.len(), 1, "{state}");
    }
    // A dead job does not continue the pass.
    run(test.pool(), "UPDATE apalis.jobs SET status = 'Killed', done_at = now()").await;
    reconcile(&test).await;
    reconcile(&test).await;
    assert_eq!(jobs::<RecomputeRoadmap>(test.pool()).await.len(), 2);
    drain_roadmaps(&test.db).await;
    reconcile(&test).await;
    assert_eq!(take_chunks(&test.db).await.len(), 0);
}

/// Other programs may write anything into the jobs table.
const GARBAGE: [&str; 5] =
    [r"'\xff00fe'", r"''", "'null'", r#"'{"data": 7}'"#, r#"'{"kind": "x", "data": {"reply_id": 1}}'"#];

#[tokio::test]
async fn malformed_jobs_do_not_stop_the_reconcilers() {
    let test = TestDb::new().await;
    let (user, lesson, roadmap) = add_learner(&test).await;
    for queue in Queue::ALL {
        for (n, payload) in GARBAGE.iter().enumerate() {
            for (status, done) in [("Pending", "NULL"), ("Killed", "now()")] {
                let statement = format!(
                    "INSERT INTO apalis.jobs (id, job_type, job, status, done_at)
                     VALUES ('{}-{n}-{status}', '{}', {payload}, '{status}', {done})",
                    queue.name(),
                    queue.name()
                );
                run(test.pool(), statement).await;
            }
        }
    }
    complete(test.pool(), user, lesson).await;
    later(&test, 11).await;
    run(test.pool(), "UPDATE stages SET publication = 'draft'").await;
    reconcile(&test).await;
    run(test.pool(), "DELETE FROM apalis.jobs WHERE id LIKE '%-%'").await;
    assert_eq!(rollups(&test).await, [(user, roadmap)]);
    assert_eq!(jobs::<RecomputeRoadmap>(test.pool()).await.len(), 1);
}

/// A reply that waits for its answer.
async fn add_reply(test: &TestDb) -> Uuid {
    let (user, chat, reply) = (add_user(test.pool()).await, new_id(), new_id());
    let statements = format!(
        "INSERT INTO tool_chats (id, user_id, tool_type) VALUES ('{chat}', '{user}', 'ideas');
         INSERT INTO ai_replies (id, chat_id, user_id, instruction_id, question)
             SELECT '{reply}', '{chat}', '{user}', id, 'What?' FROM ai_system_instructions WHERE tool_type = 'ideas'"
    );
    run(test.pool(), statements).await;
    reply
}

async fn enqueue(test: &TestDb, reply_id: Uuid) {
    let mut tx = test.db.begin().await.unwrap();
    tx.enqueue(&GenerateReply { reply_id, retry: 0 }).unwrap();
    tx.commit().await.unwrap();
}

/// Ends all due jobs of replies as dead.
async fn kill_replies(test: &TestDb) {
    let mut connection = test.pool().acquire().await.unwrap();
    lease::heartbeat(&mut connection, &[("w".into(), Queue::Replies)]).await.unwrap();
    let leases = claim::claim(&mut connection, Queue::Replies, "w", 100).await.unwrap();
    let finished: Vec<_> = leases.iter().map(|lease| lease.finished(Outcome::Dead { error: "no".into() })).collect();
    lease::finish(&mut connection, "w", &finished).await.unwrap();
}

async fn state(test: &TestDb, reply: Uuid) -> String {
    scalar(test.pool(), format!("SELECT state::text FROM ai_replies WHERE id = '{reply}'")).await
}

#[tokio::test]
async fn a_reply_fails_when_its_last_job_is_dead() {
    let test = TestDb::new().await;
    let (lost, asked_again, waiting) = (add_reply(&test).await, add_reply(&test).await, add_reply(&test).await);
    enqueue(&test, lost).await;
    enqueue(&test, asked_again).await;
    kill_replies(&test).await;
    enqueue(&test, asked_again).await;
    enqueue(&test, waiting).await;
    reconcile(&test).await;
    assert_eq!(state(&test, lost).await, "failed");
    assert_eq!(state(&test, asked_again).await, "queued", "it has a job that is not dead");
    assert_eq!(state(&test, waiting).await, "queued");
    kill_replies(&test).await;
    reconcile(&test).await;
    assert_eq!(state(&test, asked_again).await, "failed");
}

#[tokio::test]
async fn a_reply_whose_job_was_lost_gets_another() {
    let test = TestDb::new().await;
    let (gone, young) = (add_reply(&test).await, add_reply(&test).await);
    reconcile(&test).await;
    assert_eq!(jobs::<GenerateReply>(test.pool()).await.len(), 0, "not before its time");
    // Replica mode disables the trigger that maintains the column.
    let statement = format!("UPDATE ai_replies SET updated_at = now() - interval '2 minutes' WHERE id = '{gone}'");
    run(test.admin(), format!("SET session_replication_role = replica; {statement}; RESET session_replication_role"))
        .await;
    for _ in 0..2 {
        reconcile(&test).await;
        let enqueued: Vec<Uuid> = jobs::<GenerateReply>(test.pool()).await.iter().map(|job| job.reply_id).collect();
        assert_eq!(enqueued, [gone], "one, and not {young}");
    }
}
