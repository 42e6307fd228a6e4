//! Claiming and releasing jobs.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use cairn_core::clock::new_id;
use cairn_core::community::jobs::CountLikes;
use cairn_core::queue::lease::{self, Lease, LeaseKey, Outcome};
use cairn_core::queue::{Queue, claim};
use serde_json::Value;
use sqlx::PgConnection;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use cairn_testing::database::{TestDb, rows, run, scalar};

async fn enqueue(test: &TestDb, n: usize) {
    let mut tx = test.db.begin().await.unwrap();
    for _ in 0..n {
        tx.enqueue(&CountLikes { project_id: new_id() }).unwrap();
    }
    tx.commit().await.unwrap();
}

async fn register(test: &TestDb, workers: &[&str]) {
    let workers: Vec<_> = workers.iter().map(|name| ((*name).to_owned(), Queue::Likes)).collect();
    lease::heartbeat(&mut test.connect().await, &workers).await.unwrap();
}

async fn claim(c: &mut PgConnection, worker: &str, limit: i64) -> Vec<Lease> {
    claim::claim(c, Queue::Likes, worker, limit).await.unwrap()
}

fn retry(error: &str) -> Outcome {
    Outcome::Retry { delay: Duration::from_mins(1), error: error.to_owned() }
}

/// Makes all waiting jobs due.
async fn make_due(test: &TestDb) {
    run(test.pool(), "UPDATE apalis.jobs SET run_at = now() WHERE status IN ('Pending', 'Failed')").await;
}

/// The status, the attempts and the worker of each job.
async fn states(test: &TestDb) -> Vec<(String, i32, Option<String>)> {
    rows(test.pool(), "SELECT status, attempts, lock_by FROM apalis.jobs ORDER BY run_at, id").await
}

fn state(status: &str, attempts: i32, worker: Option<&str>) -> (String, i32, Option<String>) {
    (status.to_owned(), attempts, worker.map(str::to_owned))
}

#[tokio::test]
async fn the_oldest_due_jobs_of_the_queue_are_taken_first() {
    let test = TestDb::new().await;
    register(&test, &["w"]).await;
    for (id, queue, status, run_at, priority, attempts) in [
        ("third", "likes", "Failed", -10, 0, 24),
        ("second", "likes", "Pending", -20, 0, 0),
        ("first", "likes", "Pending", -5, 1, 0),
        ("later", "likes", "Pending", 60, 0, 0),
        ("exhausted", "likes", "Failed", -30, 0, 25),
        ("done", "likes", "Done", -30, 0, 1),
        ("dead", "likes", "Killed", -30, 0, 1),
        ("elsewhere", "replies", "Pending", -30, 0, 0),
    ] {
        run(
            test.pool(),
            format!(
                "INSERT INTO apalis.jobs (id, job_type, job, status, run_at, priority, attempts)
                 VALUES ('{id}', '{queue}', 'x', '{status}', now() + interval '{run_at} seconds', {priority}, {attempts})"
            ),
        )
        .await;
    }
    let c = &mut test.connect().await;
    let taken = async |c: &mut PgConnection, limit| {
        let mut taken: Vec<_> =
            claim(c, "w", limit).await.into_iter().map(|l| (l.id, l.attempt, l.max_attempts)).collect();
        taken.sort();
        taken
    };
    assert_eq!(taken(c, 2).await, [("first".to_owned(), 1, 25), ("second".to_owned(), 1, 25)]);
    assert_eq!(taken(c, 5).await, [("third".to_owned(), 25, 25)]);
    assert_eq!(taken(c, 5).await, []);
    assert_eq!(taken(c, 0).await, []);
}

const CLAIMERS: usize = 16;
const JOBS: usize = 400;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_two_claimers_get_the_same_job() {
    let test = TestDb::with_connections(20).await;
    enqueue(&test, JOBS).await;
    let names: Vec<String> = (0..CLAIMERS).map(|n| format!("w{n}")).collect();
    register(&test, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let barrier = Arc::new(Barrier::new(CLAIMERS));
    let mut tasks = JoinSet::new();
    for name in names {
        let (pool, barrier) = (test.pool().clone(), barrier.clone());
        tasks.spawn(async move {
            let mut c = pool.acquire().await.unwrap();
            let mut mine = Vec::new();
            barrier.wait().await;
            loop {
                let leases = claim(&mut c, &name, 7).await;
                if leases.is_empty() {
                    return mine;
                }
                // Half of the jobs finish meanwhile, so that rows change while others claim.
                let finished: Vec<_> = leases.iter().step_by(2).map(|lease| lease.finished(Outcome::Done)).collect();
                assert_eq!(lease::finish(&mut c, &name, &finished).await.unwrap(), finished.len() as u64);
                mine.extend(leases.into_iter().map(|lease| lease.id));
            }
        });
    }
    let all: Vec<String> = tasks.join_all().await.into_iter().flatten().collect();
    // A claimer may find nothing while the remaining jobs are locked by the others, who then get them.
    assert_eq!(all.len(), JOBS, "none twice");
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), JOBS, "every job was claimed");
}

#[tokio::test]
async fn a_run_ends_as_done_to_be_tried_again_or_dead() {
    let test = TestDb::new().await;
    register(&test, &["w"]).await;
    enqueue(&test, 3).await;
    let c = &mut test.connect().await;
    let leases = claim(c, "w", 3).await;
    let outcomes = [Outcome::Done, retry("not now"), Outcome::Dead { error: "never".into() }];
    let finished: Vec<_> = leases.iter().zip(outcomes).map(|(lease, outcome)| lease.finished(outcome)).collect();
    assert_eq!(lease::finish(c, "w", &finished).await.unwrap(), 3);
    assert_eq!(lease::finish(c, "w", &finished).await.unwrap(), 0, "each job finishes once");
    assert_eq!(lease::finish(c, "w", &[]).await.unwrap(), 0);
    let stored: Vec<(String, bool, bool, Value)> = rows(
        test.pool(),
        "SELECT status, done_at IS NOT NULL, run_at BETWEEN now() + interval '50 seconds' AND now() + interval '60 seconds',
                last_result - 'attempts' FROM apalis.jobs WHERE lock_by IS NULL ORDER BY status",
    )
    .await;
    let result = |error: &str| serde_json::json!({ "Err": error });
    assert_eq!(
        stored,
        [
            ("Done".to_owned(), true, false, serde_json::json!({ "Ok": null })),
            ("Failed".to_owned(), false, true, result("not now")),
            ("Killed".to_owned(), true, false, result("never")),
        ]
    );
    assert_eq!(claim(c, "w", 3).await.len(), 0, "the retry is not due yet");
    make_due(&test).await;
    let again = claim(c, "w", 3).await;
    assert_eq!((again.len(), again[0].attempt), (1, 2));
}

#[tokio::test]
async fn the_newest_ten_errors_stay() {
    let test = TestDb::new().await;
    register(&test, &["w"]).await;
    enqueue(&test, 1).await;
    let c = &mut test.connect().await;
    for attempt in 1..=13 {
        make_due(&test).await;
        let leases = claim(c, "w", 1).await;
        assert_eq!(leases[0].attempt, attempt);
        let outcome =
            if attempt == 13 { Outcome::Dead { error: "error 13".into() } } else { retry(&format!("error {attempt}")) };
        lease::finish(c, "w", &[leases[0].finished(outcome)]).await.unwrap();
        let kept: Value = scalar(test.pool(), "SELECT last_result -> 'attempts' FROM apalis.jobs").await;
        let kept: Vec<_> =
            kept.as_array().unwrap().iter().map(|e| (e["attempt"].clone(), e["error"].clone())).collect();
        let expected: Vec<_> =
            ((attempt - 9).max(1)..=attempt).map(|n| (n.into(), format!("error {n}").into())).collect();
        assert_eq!(kept, expected);
    }
    // When the job is done, its errors are no longer needed.
    run(test.pool(), "UPDATE apalis.jobs SET status = 'Pending'").await;
    let leases = claim(c, "w", 1).await;
    lease::finish(c, "w", &[leases[0].finished(Outcome::Done)]).await.unwrap();
    assert_eq!(
        scalar::<Value>(test.pool(), "SELECT last_result FROM apalis.jobs").await,
        serde_json::json!({ "Ok": null })
    );
}

/// An outcome that is hard to store must not prevent others from being stored.
#[tokio::test]
async fn every_outcome_can_be_stored() {
    let test = TestDb::new().await;
    register(&test, &["w"]).await;
    enqueue(&test, 5).await;
    let c = &mut test.connect().await;
    let leases = claim(c, "w", 5).await;
    let error = "a NUL \0, a quote ', a backslash \\u0000, a \u{1f98a}".to_owned();
    let outcomes = [
        Outcome::Dead { error: error.clone() },
        Outcome::Retry { delay: Duration::MAX, error },
        Outcome::Retry { delay: Duration::ZERO, error: String::new() },
        Outcome::Dead { error: "x".repeat(1_000_000) },
        Outcome::Done,
    ];
    let finished: Vec<_> = leases.iter().zip(outcomes).map(|(lease, outcome)| lease.finished(outcome)).collect();
    assert_eq!(lease::finish(c, "w", &finished).await.unwrap(), 5);
    let stored: String =
        scalar(test.pool(), format!("SELECT last_result ->> 'Err' FROM apalis.jobs WHERE id = '{}'", leases[0].id))
            .await;
    assert_eq!(stored, "a NUL \u{fffd}, a quote ', a backslash \\u0000, a \u{1f98a}");
    let query = format!("SELECT run_at < now() + interval '2 days' FROM apalis.jobs WHERE id = '{}'", leases[1].id);
    assert!(scalar::<bool>(test.pool(), query).await, "it is retried within a reasonable time");
}

/// Results that were written by another program or an earlier version.
#[tokio::test]
async fn strange_results_do_not_matter() {
    let test = TestDb::new().await;
    register(&test, &["w"]).await;
    for old in [
        "NULL",
        "'null'",
        "'7'",
        "'\"text\"'",
        "'{\"Err\": \"old\"}'",
        "'{\"attempts\": null}'",
        "'{\"attempts\": 5}'",
        "'{\"attempts\": {}}'",
    ] {
        run(test.pool(), "DELETE FROM apalis.jobs").await;
        enqueue(&test, 1).await;
        run(test.pool(), format!("UPDATE apalis.jobs SET last_result = {old}")).await;
        let c = &mut test.connect().await;
        let leases = claim(c, "w", 1).await;
        assert_eq!(lease::finish(c, "w", &[leases[0].finished(retry("new"))]).await.unwrap(), 1, "{old}");
        let last: Value =
            scalar(test.pool(), "SELECT last_result -> 'attempts' -> -1 -> 'error' FROM apalis.jobs").await;
        assert_eq!(last, "new", "{old}");
    }
}

#[tokio::test]
async fn handing_back_does_not_count_as_an_attempt() {
    let test = TestDb::new().await;
    register(&test, &["w", "other"]).await;
    enqueue(&test, 2).await;
    let c = &mut test.connect().await;
    let leases = claim(c, "w", 2).await;
    let ids: Vec<LeaseKey> = leases.iter().map(Lease::key).collect();
    assert_eq!(lease::release(c, "other", &ids).await.unwrap(), 0, "the jobs belong to another worker");
    lease::finish(c, "w", &[leases[0].finished(retry("started"))]).await.unwrap();
    assert_eq!(lease::release(c, "w", &ids).await.unwrap(), 1, "the other has started");
    assert_eq!(lease::release(c, "w", &ids).await.unwrap(), 0, "a job is released once");
    make_due(&test).await;
    let mut attempts: Vec<i32> = claim(c, "other", 2).await.iter().map(|lease| lease.attempt).collect();
    attempts.sort_unstable();
    assert_eq!(attempts, [1, 2]);
    assert_eq!(lease::release(c, "w", &ids).await.unwrap(), 0, "they belong to another worker now");
}

#[tokio::test]
async fn a_snooze_waits_and_does_not_count_as_an_attempt() {
    let test = TestDb::new().await;
    register(&test, &["w"]).await;
    enqueue(&test, 1).await;
    let c = &mut test.connect().await;
    run(test.pool(), "UPDATE apalis.jobs SET attempts = max_attempts - 1").await;
    let leases = claim(c, "w", 1).await;
    let snooze = leases[0].finished(Outcome::Snooze { delay: Duration::from_mins(1) });
    assert_eq!(lease::finish(c, "w", &[snooze]).await.unwrap(), 1);
    assert_eq!(states(&test).await, [state("Pending", 24, None)]);
    assert_eq!(claim(c, "w", 1).await.len(), 0, "it is not due yet");
    make_due(&test).await;
    assert_eq!(claim(c, "w", 1).await[0].attempt, 25);
}

/// The response to a `finish` can be lost, so it is sent again. By then the same worker may hold the same job again, in
/// the same attempt.
#[tokio::test]
async fn the_end_of_an_earlier_hold_does_not_end_a_later_one() {
    let test = TestDb::new().await;
    register(&test, &["w"]).await;
    enqueue(&test, 1).await;
    let c = &mut test.connect().await;
    let first = claim(c, "w", 1).await.remove(0);
    let snooze = || first.finished(Outcome::Snooze { delay: Duration::ZERO });
    assert_eq!(lease::finish(c, "w", &[snooze()]).await.unwrap(), 1);
    let second = claim(c, "w", 1).await.remove(0);
    assert_eq!((first.attempt, second.attempt), (1, 1));
    assert_eq!(lease::finish(c, "w", &[snooze()]).await.unwrap(), 0);
    assert_eq!(states(&test).await, [state("Running", 1, Some("w"))]);
    assert_eq!(lease::finish(c, "w", &[second.finished(Outcome::Done)]).await.unwrap(), 1);
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_is_given_back() {
    let test = TestDb::new().await;
    register(&test, &["w", "other"]).await;
    enqueue(&test, 4).await;
    let c = &mut test.connect().await;
    let known = claim(c, "w", 1).await;
    let lost = claim(c, "w", 1).await;
    claim(c, "other", 1).await;
    let in_hand = || vec![known[0].key()];
    let grace = Duration::from_mins(1);
    assert_eq!(
        lease::release_unacknowledged(c, "w", in_hand, grace).await.unwrap(),
        0,
        "the response may still arrive"
    );
    // The job that it knows of is as old, but another lease of it.
    run(
        test.pool(),
        format!("UPDATE apalis.jobs SET lock_at = lock_at - interval '2 minutes' WHERE id <> '{}'", known[0].id),
    )
    .await;
    claim(c, "w", 1).await;
    assert_eq!(lease::release_unacknowledged(c, "w", in_hand, grace).await.unwrap(), 1);
    let given_back: Vec<(String, i32)> =
        rows(test.pool(), "SELECT id, attempts FROM apalis.jobs WHERE status = 'Pending'").await;
    assert_eq!(given_back, [(lost[0].id.clone(), 0)], "it never ran, so the attempt does not count");
    assert_eq!(
        lease::finish(c, "w", &[lost[0].finished(Outcome::Done)]).await.unwrap(),
        0,
        "a late response changes nothing"
    );
}

#[tokio::test]
async fn what_a_worker_leaves_at_its_end_is_taken_at_once() {
    let test = TestDb::new().await;
    register(&test, &["ended", "alive"]).await;
    enqueue(&test, 2).await;
    let c = &mut test.connect().await;
    claim(c, "ended", 1).await;
    claim(c, "alive", 1).await;
    lease::deregister(c, &[("ended".to_owned(), Queue::Likes)]).await.unwrap();
    assert_eq!(lease::rescue(c, HEARTBEAT_TIMEOUT).await.unwrap(), 1);
    let held: Vec<String> = rows::<(String,)>(test.pool(), "SELECT lock_by FROM apalis.jobs WHERE status = 'Running'")
        .await
        .into_iter()
        .map(|row| row.0)
        .collect();
    assert_eq!(held, ["alive"]);
}

/// Makes the last heartbeat of the worker `seconds` old.
async fn silence(test: &TestDb, worker: &str, seconds: u32) {
    run(
        test.pool(),
        format!("UPDATE apalis.workers SET last_seen = now() - interval '{seconds} seconds' WHERE id = '{worker}'"),
    )
    .await;
}

const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn jobs_of_a_lost_worker_come_back_and_are_dead_at_the_cap() {
    let test = TestDb::new().await;
    register(&test, &["lost", "alive"]).await;
    enqueue(&test, 3).await;
    let c = &mut test.connect().await;
    let lost = claim(c, "lost", 2).await;
    let alive = claim(c, "alive", 1).await;
    run(test.pool(), format!("UPDATE apalis.jobs SET attempts = 25 WHERE id = '{}'", lost[1].id)).await;
    silence(&test, "lost", 29).await;
    assert_eq!(lease::rescue(c, HEARTBEAT_TIMEOUT).await.unwrap(), 0);
    silence(&test, "lost", 31).await;
    silence(&test, "alive", 29).await;
    assert_eq!(lease::rescue(c, HEARTBEAT_TIMEOUT).await.unwrap(), 2);
    assert_eq!(lease::rescue(c, HEARTBEAT_TIMEOUT).await.unwrap(), 0);
    let found = |id: &str| {
        let query = "SELECT status, attempts, lock_by, done_at IS NOT NULL, last_result ->> 'Err' FROM apalis.jobs WHERE id = '";
        let query = format!("{query}{id}'");
        let pool = test.pool();
        async move { rows::<(String, i32, Option<String>, bool, Option<String>)>(pool, query).await.remove(0) }
    };
    let error = || Some("the worker was lost".to_owned());
    assert_eq!(found(&lost[0].id).await, ("Failed".to_owned(), 1, None, false, error()));
    assert_eq!(found(&lost[1].id).await, ("Killed".to_owned(), 25, None, true, error()));
    assert_eq!(found(&alive[0].id).await, ("Running".to_owned(), 1, Some("alive".to_owned()), false, None));
    // Soon, according to the database's clock.
    let query = format!(
        "SELECT run_at BETWEEN now() - interval '10 seconds' AND now() + interval '2 seconds' FROM apalis.jobs WHERE id = '{}'",
        lost[0].id
    );
    assert!(scalar::<bool>(test.pool(), query).await);

    // The lost worker was only slow. Its outcome no longer counts, whether or not another worker has the job by now.
    let late = [lost[0].finished(Outcome::Done), lost[1].finished(retry("late"))];
    assert_eq!(lease::finish(c, "lost", &late).await.unwrap(), 0);
    make_due(&test).await;
    assert_eq!(claim(c, "alive", 5).await[0].attempt, 2);
    assert_eq!(lease::finish(c, "lost", &late).await.unwrap(), 0);
    assert_eq!(lease::release(c, "lost", &[lost[0].key()]).await.unwrap(), 0);
    assert_eq!(found(&lost[0].id).await.0, "Running");
    // Even if it claims the job again itself, because that is another attempt.
    silence(&test, "alive", 31).await;
    lease::rescue(c, HEARTBEAT_TIMEOUT).await.unwrap();
    make_due(&test).await;
    let again = claim(c, "lost", 5).await;
    assert_eq!(lease::finish(c, "lost", &late).await.unwrap(), 0);
    let finished: Vec<_> = again.iter().map(|lease| lease.finished(Outcome::Done)).collect();
    assert_eq!(lease::finish(c, "lost", &finished).await.unwrap(), 2);
}

#[tokio::test]
async fn jobs_that_nobody_holds_are_rescued_too() {
    let test = TestDb::new().await;
    register(&test, &["w"]).await;
    enqueue(&test, 3).await;
    let c = &mut test.connect().await;
    claim(c, "w", 1).await;
    // Written by another program: jobs without a worker, one of them with more attempts than this program would allow.
    run(
        test.pool(),
        "UPDATE apalis.jobs SET status = 'Running', attempts = 2000, max_attempts = 3000 WHERE id = (
             SELECT min(id) FROM apalis.jobs WHERE status = 'Pending');
         UPDATE apalis.jobs SET status = 'Queued' WHERE status = 'Pending'",
    )
    .await;
    assert_eq!(lease::rescue(c, HEARTBEAT_TIMEOUT).await.unwrap(), 2);
    let mut found = states(&test).await;
    found.sort();
    assert_eq!(found, [state("Failed", 0, None), state("Failed", 2000, None), state("Running", 1, Some("w"))]);
}

/// Every kind of invalid row that the table accepts.
#[tokio::test]
async fn rows_that_cannot_be_read_are_claimed_like_others() {
    let test = TestDb::new().await;
    register(&test, &["w"]).await;
    run(
        test.pool(),
        r"INSERT INTO apalis.jobs (id, job_type, job, metadata, priority, run_at) VALUES
            ('not a ulid', 'likes', '\xff00', NULL, NULL, '-infinity'),
            ('', 'likes', '', NULL, 0, '2000-01-01'),
            ('01ARZ3NDEKTSV4RRFFQ69G5FAV', 'likes', '{}', 'a=>NULL', -1, '2000-01-01')",
    )
    .await;
    enqueue(&test, 1).await;
    let c = &mut test.connect().await;
    let leases = claim(c, "w", 10).await;
    assert_eq!(leases.len(), 4);
    let finished: Vec<_> =
        leases.iter().map(|lease| lease.finished(Outcome::Dead { error: "unreadable".into() })).collect();
    assert_eq!(lease::finish(c, "w", &finished).await.unwrap(), 4);
}

/// A heartbeat registers a worker, or revives one that was silent. Without it the worker cannot claim jobs.
#[tokio::test]
async fn only_registered_workers_can_claim() {
    let test = TestDb::new().await;
    enqueue(&test, 1).await;
    let c = &mut test.connect().await;
    assert!(claim::claim(c, Queue::Likes, "nobody", 1).await.is_err());
    assert_eq!(states(&test).await, [state("Pending", 0, None)]);
    register(&test, &["w"]).await;
    silence(&test, "w", 3600).await;
    claim(c, "w", 1).await;
    register(&test, &["w", "new"]).await;
    assert_eq!(lease::rescue(c, HEARTBEAT_TIMEOUT).await.unwrap(), 0);
    let workers: Vec<(String, String)> =
        rows(test.pool(), "SELECT id, worker_type FROM apalis.workers ORDER BY id").await;
    assert_eq!(workers, [("new".to_owned(), "likes".to_owned()), ("w".to_owned(), "likes".to_owned())]);
}

/// Rescues, claims and finishes run concurrently, and every job finishes exactly once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rescues_under_way_lose_and_double_nothing() {
    let test = TestDb::with_connections(20).await;
    enqueue(&test, JOBS).await;
    run(test.pool(), "UPDATE apalis.jobs SET max_attempts = 1000000").await;
    let names: Vec<String> = (0..8).map(|n| format!("w{n}")).collect();
    register(&test, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let barrier = Arc::new(Barrier::new(names.len() + 1));
    let mut tasks = JoinSet::new();
    for name in names {
        let (pool, barrier) = (test.pool().clone(), barrier.clone());
        tasks.spawn(async move {
            let mut counted = 0;
            barrier.wait().await;
            let query = "SELECT EXISTS (SELECT FROM apalis.jobs WHERE status <> 'Done')";
            while scalar::<bool>(&pool, query).await {
                let mut c = pool.acquire().await.unwrap();
                let leases = claim(&mut c, &name, 10).await;
                let finished: Vec<_> = leases.iter().map(|lease| lease.finished(Outcome::Done)).collect();
                counted += lease::finish(&mut c, &name, &finished).await.unwrap();
            }
            counted
        });
    }
    let rescuer = tokio::spawn({
        let (pool, barrier) = (test.pool().clone(), barrier.clone());
        async move {
            barrier.wait().await;
            let query = "SELECT EXISTS (SELECT FROM apalis.jobs WHERE status <> 'Done')";
            while scalar::<bool>(&pool, query).await {
                // All workers have been silent for too long.
                lease::rescue(&mut pool.acquire().await.unwrap(), Duration::ZERO).await.unwrap();
                // Skips locked jobs, because this statement of the test must not deadlock with those of the workers.
                let due = "UPDATE apalis.jobs SET run_at = now() WHERE id IN (
                    SELECT id FROM apalis.jobs WHERE status = 'Failed' FOR UPDATE SKIP LOCKED)";
                run(&pool, due).await;
            }
        }
    });
    assert_eq!(tasks.join_all().await.into_iter().sum::<u64>(), JOBS as u64);
    rescuer.await.unwrap();
}
