//! How operators inspect and manage jobs.

use std::time::Duration;

use cairn_core::activity::Event;
use cairn_core::activity::RecordActivity;
use cairn_core::actor::Actor;
use cairn_core::actor::{Caller, Origin, Role};
use cairn_core::admin::jobs::{self, Batch, JobAction, JobRefusal, Selection};
use cairn_core::admin::maintenance::Housekeeping;
use cairn_core::admin::queues::{pause, resume};
use cairn_core::clock::{Clock, new_id};
use cairn_core::community::jobs::CountLikes;
use cairn_core::noun::Noun;
use cairn_core::queue::inspect::{self, Filter, JobDetails, JobSummary, Payload, State};
use cairn_core::queue::lease::{self, Lease, Outcome};
use cairn_core::queue::queues::{self, QueueState};
use cairn_core::queue::{Job, JobKind, Queue, claim};
use cairn_core::refusal::{NotFound, Rejected};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use cairn_testing::database::{TestDb, jobs, rows, run, scalar, until_waiting};
use cairn_testing::rows::add_user;

/// One job in each state, named after it, and more jobs that reached their state in another way.
const ONE_OF_EACH: &str = r#"
    INSERT INTO apalis.workers (id, worker_type, storage_name, started_at) VALUES ('w', 'likes', 'cairn', now());
    INSERT INTO apalis.jobs (id, job_type, job, status, attempts, run_at, lock_by, lock_at, done_at, metadata) VALUES
        ('due', 'likes', '{"kind":"count_likes","v":1}', 'Pending', 0, now() - interval '7 seconds', NULL, NULL, NULL, ''),
        ('due-again', 'likes', 'x', 'Failed', 3, now() - interval '1 second', NULL, NULL, NULL, NULL),
        ('scheduled', 'likes', 'x', 'Pending', 0, now() + interval '1 hour', NULL, NULL, NULL, ''),
        ('retrying', 'likes', 'x', 'Failed', 3, now() + interval '2 hours', NULL, NULL, NULL, ''),
        ('running', 'likes', 'x', 'Running', 1, now() - interval '3 seconds', 'w', now(), NULL, ''),
        ('queued', 'likes', 'x', 'Queued', 1, now() - interval '4 seconds', 'w', now(), NULL, NULL),
        ('done', 'likes', 'x', 'Done', 1, now() - interval '1 hour', NULL, now(), now() - interval '5 seconds', ''),
        ('dead', 'likes', 'x', 'Killed', 1, now() - interval '1 hour', NULL, now(), now() - interval '6 seconds', ''),
        ('dead-at-cap', 'likes', 'x', 'Failed', 25, now() - interval '1 hour', NULL, now(), NULL, NULL),
        ('discarded', 'likes', 'x', 'Killed', 1, now() - interval '1 hour', NULL, NULL, now() - interval '8 seconds', 'discarded=>""')
"#;

const STATES: [(&str, State); 10] = [
    ("due", State::Due),
    ("due-again", State::Due),
    ("scheduled", State::Scheduled),
    ("retrying", State::Retrying),
    ("running", State::Running),
    ("queued", State::Running),
    ("done", State::Done),
    ("dead", State::Dead),
    ("dead-at-cap", State::Dead),
    ("discarded", State::Discarded),
];

async fn of_each() -> TestDb {
    let test = TestDb::new().await;
    run(test.pool(), ONE_OF_EACH).await;
    test
}

#[tokio::test]
async fn the_kind_of_a_job_is_told_from_any_payload() {
    let test = TestDb::new().await;
    let payloads: [(&[u8], Option<&str>); 9] = [
        (br#"{"kind":"count_likes","v":1,"data":{}}"#, Some("count_likes")),
        (br#"{"kind":"another-one_2""#, Some("another-one_2")),
        (br#"{"kind":"count_likes"#, None),
        (br#"{"kind":"","v":1}"#, None),
        (br#"{"v":1,"kind":"count_likes"}"#, None),
        (br#"{"kind":"with \\ and \" in it"}"#, None),
        (b"{\"kind\":\"\xc3\x28\"}", None),
        (b"\x00\xff\xfe", None),
        (b"", None),
    ];
    let bytes: Vec<&[u8]> = payloads.iter().map(|(payload, _)| *payload).collect();
    sqlx::query(
        "INSERT INTO apalis.jobs (id, job_type, job, status, run_at, done_at)
         SELECT n::text, 'likes', payload, 'Done', now(), now() - n * interval '1 second'
         FROM unnest($1::bytea[]) WITH ORDINALITY AS p (payload, n)",
    )
    .bind(bytes)
    .execute(test.pool())
    .await
    .unwrap();
    let all = inspect::list(&mut test.connect().await, &Filter::default(), None, 101).await.unwrap();
    let kinds: Vec<Option<&str>> = all.iter().map(|job| job.kind.as_deref()).collect();
    assert_eq!(kinds, payloads.map(|(_, kind)| kind));
    let likes = Filter::new(Some(State::Done), None, JobKind::from_name("count_likes")).unwrap();
    assert_eq!(list(&test, likes).await, ["1"]);
}

async fn find(test: &TestDb, id: &str) -> Option<JobDetails> {
    match inspect::find(&mut test.connect().await, id).await {
        Ok(found) => Some(found),
        Err(Rejected::Refused(NotFound(Noun::Job))) => None,
        Err(error) => panic!("{error}"),
    }
}

async fn state(test: &TestDb, id: &str) -> State {
    find(test, id).await.unwrap().job.state
}

async fn queue(test: &TestDb, name: &str) -> QueueState {
    let queues = queues::overview(&mut test.connect().await).await.unwrap();
    queues.into_iter().find(|queue| queue.name == name).unwrap()
}

async fn list(test: &TestDb, filter: Filter) -> Vec<String> {
    let jobs = inspect::list(&mut test.connect().await, &filter, None, 101).await.unwrap();
    jobs.into_iter().map(|job| job.id).collect()
}

fn in_state(state: State) -> Filter {
    Filter::new(Some(state), None, None).unwrap()
}

/// Applies an action to one job, as an admin or from the command line.
async fn act(test: &TestDb, operator: Option<&Caller>, act: JobAction, id: &str) -> Result<bool, JobRefusal> {
    let mut tx = test.db.begin_for(operator.map(Actor::from).unwrap_or_default()).await.unwrap();
    let changed = accepted(jobs::apply_one(&mut tx, act, id).await)?;
    tx.commit().await.unwrap();
    Ok(changed)
}

/// The result of a call that did not fail with an internal error.
fn accepted<T, R>(result: Result<T, Rejected<R>>) -> Result<T, R> {
    result.map_err(|rejected| match rejected {
        Rejected::Refused(refusal) => refusal,
        Rejected::Failed(error) => panic!("{error}"),
    })
}

/// Applies an action to a whole selection, chunk by chunk. Returns the sizes of the chunks.
async fn act_on_all(test: &TestDb, act: JobAction, selection: &Selection) -> Vec<usize> {
    let (mut sizes, mut after) = (Vec::new(), None);
    loop {
        let mut tx = test.db.begin().await.unwrap();
        let Batch { changed, next } = jobs::apply_batch(&mut tx, act, selection, after.as_ref()).await.unwrap();
        tx.commit().await.unwrap();
        sizes.push(changed);
        if next.is_none() {
            return sizes;
        }
        after = next;
    }
}

async fn admin(test: &TestDb) -> Caller {
    let user_id = add_user(test.pool()).await;
    Caller { user_id, session_id: new_id(), role: Role::Admin, origin: Origin::default() }
}

/// The events that are waiting to be recorded.
async fn events(test: &TestDb) -> Vec<Event> {
    jobs::<RecordActivity>(test.pool()).await.into_iter().map(|job| job.event).collect()
}

/// All rows in full, except those of events.
async fn snapshot(test: &TestDb) -> Vec<(String,)> {
    rows(test.pool(), "SELECT j::text FROM apalis.jobs j WHERE job_type <> 'activity' ORDER BY id").await
}

async fn enqueue(test: &TestDb, n: usize) {
    let mut tx = test.db.begin().await.unwrap();
    for _ in 0..n {
        tx.enqueue(&CountLikes { project_id: new_id() }).unwrap();
    }
    tx.commit().await.unwrap();
}

async fn claim(test: &TestDb, worker: &str, limit: i64) -> Vec<Lease> {
    let mut connection = test.connect().await;
    lease::heartbeat(&mut connection, &[(worker.to_owned(), Queue::Likes)]).await.unwrap();
    claim::claim(&mut connection, Queue::Likes, worker, limit).await.unwrap()
}

async fn finish(test: &TestDb, worker: &str, leases: &[Lease], outcome: &Outcome) {
    let finished: Vec<_> = leases.iter().map(|lease| lease.finished(outcome.clone())).collect();
    lease::finish(&mut test.connect().await, worker, &finished).await.unwrap();
}

#[tokio::test]
async fn every_job_is_in_one_state() {
    let test = of_each().await;
    for (id, expected) in STATES {
        assert_eq!(state(&test, id).await, expected, "{id}");
    }
    for listed in State::ALL {
        let mut expected: Vec<&str> = STATES.iter().filter(|(_, state)| *state == listed).map(|(id, _)| *id).collect();
        let mut ids = list(&test, in_state(listed)).await;
        ids.sort();
        expected.sort_unstable();
        assert_eq!(ids, expected, "{listed:?}");
    }
    let newest_first =
        ["retrying", "scheduled", "due-again", "running", "queued", "done", "dead", "due", "discarded", "dead-at-cap"];
    assert_eq!(list(&test, Filter::default()).await, newest_first);
}

#[tokio::test]
async fn the_overview_counts_each_queue() {
    let test = of_each().await;
    let likes = queue(&test, "likes").await;
    let counts = (likes.due, likes.scheduled, likes.retrying, likes.running, likes.dead, likes.workers);
    assert_eq!(counts, (2, 1, 1, 2, 2, 1));
    assert!((7.0..60.0).contains(&likes.oldest_due_seconds.unwrap()), "{likes:?}");
    assert_eq!((likes.paused_at, likes.paused_by), (None, None));
    let idle = queue(&test, "replies").await;
    assert_eq!((idle.due, idle.oldest_due_seconds, idle.workers), (0, None, 0));
    let names: Vec<String> =
        queues::overview(&mut test.connect().await).await.unwrap().into_iter().map(|queue| queue.name).collect();
    let mut known = Queue::ALL.map(Queue::name);
    known.sort_unstable();
    assert_eq!(names, known);
}

/// Jobs of a later or earlier release, or of a mistyped queue. No worker claims them, so operators must be able to see
/// them.
#[tokio::test]
async fn jobs_of_unknown_queues_are_seen() {
    let test = TestDb::new().await;
    for (n, status) in ["Pending", "Running", "Done", "Killed"].iter().enumerate() {
        let values = format!("'{n}', 'unknown-{n}', 'x', '{status}', now()");
        run(test.pool(), format!("INSERT INTO apalis.jobs (id, job_type, job, status, run_at) VALUES ({values})"))
            .await;
    }
    assert_eq!((queue(&test, "unknown-0").await.due, queue(&test, "unknown-0").await.workers), (1, 0));
    assert_eq!(queue(&test, "unknown-1").await.running, 1);
    assert_eq!(queue(&test, "unknown-3").await.dead, 1);
    assert_eq!(list(&test, Filter::default()).await.len(), 4);
    assert_eq!(act(&test, None, JobAction::Discard, "0").await, Ok(true));
    assert_eq!(act(&test, None, JobAction::Retry, "3").await, Ok(true));
}

#[tokio::test]
async fn runs_are_counted_as_they_end() {
    let test = TestDb::new().await;
    enqueue(&test, 7).await;
    let leases = claim(&test, "one", 3).await;
    finish(&test, "one", &leases, &Outcome::Done).await;
    finish(&test, "one", &leases, &Outcome::Done).await; // counts once
    let leases = claim(&test, "two", 2).await;
    finish(&test, "two", &leases[..1], &Outcome::Retry { delay: Duration::from_mins(1), error: "x".into() }).await;
    finish(&test, "two", &leases[1..], &Outcome::Dead { error: "x".into() }).await;
    claim(&test, "lost", 2).await;
    run(test.pool(), "UPDATE apalis.workers SET last_seen = '2000-01-01' WHERE id = 'lost'").await;
    assert_eq!(lease::rescue(&mut test.connect().await, Duration::from_secs(30)).await.unwrap(), 2);
    let likes = queue(&test, "likes").await;
    assert_eq!((likes.done_last_minute, likes.done_last_hour, likes.failed_last_hour), (3, 3, 4));
    run(test.pool(), "UPDATE job_counts SET slot = slot - interval '1 minute'").await;
    let likes = queue(&test, "likes").await;
    assert_eq!((likes.done_last_minute, likes.done_last_hour, likes.failed_last_hour), (0, 3, 4));
    run(test.pool(), "UPDATE job_counts SET slot = slot - interval '1 hour'").await;
    let likes = queue(&test, "likes").await;
    assert_eq!((likes.done_last_hour, likes.failed_last_hour), (0, 0));
}

#[tokio::test]
async fn workers_are_those_alive_and_those_that_still_hold_jobs() {
    let test = of_each().await;
    run(
        test.pool(),
        "INSERT INTO apalis.workers (id, worker_type, storage_name, last_seen) VALUES
             ('gone', 'likes', 'cairn', now() - interval '16 seconds'),
             ('idle', 'replies', 'cairn', now() - interval '14 seconds'),
             ('lost', 'likes', 'cairn', now() - interval '1 hour');
         INSERT INTO apalis.jobs (id, job_type, job, status, lock_by) VALUES ('its', 'likes', 'x', 'Running', 'lost')",
    )
    .await;
    let page = async |after: Option<&str>, limit| {
        let workers = queues::workers(&mut test.connect().await, after, limit).await.unwrap();
        workers.into_iter().map(|w| (w.name, w.queue, w.is_alive, w.held)).collect::<Vec<_>>()
    };
    let expected = [("idle", "replies", true, 0), ("lost", "likes", false, 1), ("w", "likes", true, 2)]
        .map(|(name, queue, alive, held)| (name.to_owned(), queue.to_owned(), alive, held));
    assert_eq!(page(None, 10).await, expected);
    assert_eq!(page(None, 1).await, expected[..1]);
    assert_eq!(page(Some("idle"), 10).await, expected[1..]);
}

#[tokio::test]
async fn lists_have_pages_without_gaps_or_repeats() {
    let test = TestDb::new().await;
    // Many have the same time, like jobs that finished in one batch.
    run(
        test.pool(),
        "INSERT INTO apalis.jobs (id, job_type, job, status, done_at, run_at)
           SELECT to_char(n, 'FM000'), (ARRAY['likes', 'replies', 'strange'])[1 + n % 3], 'x',
               (ARRAY['Done', 'Killed', 'Pending'])[1 + n % 3], CASE WHEN n % 3 < 2 THEN '2000-01-01'::timestamptz END,
               '2000-01-01'::timestamptz + n / 50 * interval '1 second'
           FROM generate_series(1, 300) n",
    )
    .await;
    for (filter, expected) in [(Filter::default(), 300), (in_state(State::Done), 100), (in_state(State::Due), 100)] {
        for limit in [1, 7, 100] {
            let (mut seen, mut after): (Vec<JobSummary>, _) = (Vec::new(), None);
            loop {
                let page = inspect::list(&mut test.connect().await, &filter, after.as_ref(), limit).await.unwrap();
                let Some(last) = page.last() else { break };
                after = last.key();
                seen.extend(page);
            }
            assert_eq!(seen.len(), expected);
            assert!(seen.windows(2).all(|pair| pair[0].key() > pair[1].key()), "in order, none twice");
        }
    }
}

#[tokio::test]
async fn lists_are_by_queue_and_kind() {
    let test = of_each().await;
    let mut tx = test.db.begin().await.unwrap();
    tx.enqueue(&Housekeeping {}).unwrap();
    tx.commit().await.unwrap();
    let kind = |name| JobKind::from_name(name).unwrap();
    assert_eq!(list(&test, Filter::new(None, None, Some(kind("count_likes"))).unwrap()).await, ["due"]);
    assert_eq!(list(&test, Filter::new(None, Some(Queue::Likes), None).unwrap()).await.len(), 10);
    assert_eq!(list(&test, Filter::new(None, None, Some(kind("housekeeping"))).unwrap()).await.len(), 1);
    assert_eq!(
        list(&test, Filter::new(None, Some(Queue::Maintenance), Some(kind("reconcile"))).unwrap()).await.len(),
        0
    );
    assert_eq!(list(&test, Filter::new(Some(State::Done), None, Some(kind("housekeeping"))).unwrap()).await.len(), 0);
    assert!(Filter::new(None, Some(Queue::Likes), Some(kind("housekeeping"))).is_none(), "it goes to another queue");
}

/// Jobs that this program stores can be found by their kind.
#[tokio::test]
async fn the_payload_begins_with_the_kind() {
    let test = TestDb::new().await;
    enqueue(&test, 1).await;
    let id: String = scalar(test.pool(), "SELECT id FROM apalis.jobs").await;
    let found = find(&test, &id).await.unwrap();
    assert_eq!(found.job.kind.as_deref(), Some(CountLikes::KIND));
    assert_eq!(list(&test, Filter::new(None, None, JobKind::from_name(CountLikes::KIND)).unwrap()).await, [id]);
    assert!(found.enqueued_at.unwrap() <= Clock::default().now());
    let Payload::Json(payload) = found.payload else { panic!("{found:?}") };
    assert_eq!(payload["kind"], "count_likes");
}

#[tokio::test]
async fn a_job_is_told_with_all_its_errors() {
    let test = TestDb::new().await;
    enqueue(&test, 1).await;
    for n in 1..=3 {
        let leases = claim(&test, "w", 1).await;
        finish(&test, "w", &leases, &Outcome::Retry { delay: Duration::ZERO, error: format!("error {n}") }).await;
    }
    let found = find(&test, &list(&test, Filter::default()).await[0]).await.unwrap();
    assert_eq!((found.job.attempts, found.job.max_attempts, found.job.state), (3, 25, State::Due));
    assert_eq!(found.job.error.as_deref(), Some("error 3"));
    assert!(found.job.started_at.is_some() && found.job.ended_at.is_none() && found.job.worker.is_none());
    let errors: Vec<_> = found.errors.iter().map(|e| (e.attempt, e.at.is_some(), e.error.as_str())).collect();
    assert_eq!(errors, [(Some(1), true, "error 1"), (Some(2), true, "error 2"), (Some(3), true, "error 3")]);
    assert_eq!(find(&test, "unknown").await, None);
}

/// The table accepts malformed jobs. Operators can nevertheless see them and discard them.
#[tokio::test]
async fn rows_that_cannot_be_read_can_be_looked_at_and_discarded() {
    let test = TestDb::new().await;
    run(
        test.pool(),
        r#"INSERT INTO apalis.jobs (id, job_type, job, metadata, priority, run_at, last_result) VALUES
            ('', 'likes', '\xff00', NULL, NULL, '-infinity', 'null'),
            ('never', 'likes', '', NULL, NULL, 'infinity', '7'),
            ('early', 'likes', convert_to('{"kind":"' || repeat('x', 90000), 'UTF8'), 'a=>NULL', -1, '4000-01-01 BC', '"text"'),
            ('late', 'likes', '{"kind":7}', '', 0, '290000-01-01', '{"Err": 5, "attempts": {"error": "x"}}'),
            ('nested', 'likes', repeat('[', 60000)::bytea, '', 0, now(), '{"attempts": [null, 7, "x", {"at": "yesterday"}]}')"#,
    )
    .await;
    assert_eq!(
        list(&test, Filter::default()).await,
        ["late", "nested", "early", ""],
        "except infinity, which is not a time"
    );
    assert_eq!(queue(&test, "likes").await.due, 3);
    assert!(queue(&test, "likes").await.oldest_due_seconds.unwrap() > 1e9);
    for (id, text) in [("", "\u{fffd}\0"), ("never", ""), ("nested", "[[[")] {
        let found = find(&test, id).await.unwrap();
        assert!(matches!(&found.payload, Payload::Unreadable(t) if t.starts_with(text)), "{found:?}");
    }
    let Payload::Unreadable(cut) = find(&test, "early").await.unwrap().payload else { panic!("it was cut") };
    assert_eq!(cut.len(), 65_536);
    assert_eq!(find(&test, "late").await.unwrap().payload, Payload::Json(json!({"kind": 7})));
    let errors: Vec<_> = find(&test, "nested").await.unwrap().errors.into_iter().map(|e| e.error).collect();
    assert_eq!(errors, ["null", "7", "\"x\"", "{\"at\":\"yesterday\"}"]);
    for id in ["", "never", "early", "late", "nested"] {
        assert_eq!(act(&test, None, JobAction::Discard, id).await, Ok(true), "{id}");
        assert_eq!(state(&test, id).await, State::Discarded, "{id}");
        assert_eq!(act(&test, None, JobAction::Retry, id).await, Ok(true), "{id}");
        assert_eq!(state(&test, id).await, State::Due, "{id}");
    }
}

#[tokio::test]
async fn a_retried_job_has_all_its_attempts_again_and_keeps_its_errors() {
    let test = TestDb::new().await;
    enqueue(&test, 1).await;
    let leases = claim(&test, "w", 1).await;
    run(test.pool(), "UPDATE apalis.jobs SET attempts = 25").await;
    finish(&test, "w", &leases, &Outcome::Dead { error: "for good".into() }).await;
    let id = leases[0].id.clone();
    let admin = admin(&test).await;
    assert_eq!(act(&test, Some(&admin), JobAction::Retry, &id).await, Ok(true));
    let found = find(&test, &id).await.unwrap();
    assert_eq!((found.job.state, found.job.attempts, found.job.ended_at), (State::Due, 0, None));
    assert_eq!(found.errors.len(), 1);
    assert!(
        queue(&test, "likes").await.oldest_due_seconds.unwrap() < 60.0,
        "due since the retry, not since it was enqueued"
    );

    let event = &events(&test).await[0];
    assert_eq!((event.action.as_str(), event.actor_id), ("job.retried", Some(admin.user_id)));
    assert_eq!(event.metadata["job_id"], id.as_str());
    assert_eq!(event.metadata["before"], json!({"state": "dead", "attempts": 25}));
    assert_eq!(event.metadata["after"], json!({"state": "due", "attempts": 0}));
    assert_eq!(event.target.as_ref().unwrap().id, Uuid::from_u128(ulid(&id)));

    assert_eq!(act(&test, Some(&admin), JobAction::Retry, &id).await, Ok(false));
    assert_eq!(events(&test).await.len(), 1, "nothing changed, so nothing is recorded");
    let again = claim(&test, "w", 1).await;
    assert_eq!((again[0].attempt, again[0].max_attempts), (1, 25));
    finish(&test, "w", &again, &Outcome::Retry { delay: Duration::ZERO, error: "again".into() }).await;
    let errors: Vec<_> = find(&test, &id).await.unwrap().errors.into_iter().map(|e| (e.attempt, e.error)).collect();
    assert_eq!(errors, [(Some(25), "for good".to_owned()), (Some(1), "again".to_owned())]);
}

/// The 128 bits of a ULID: 26 digits of Crockford's base 32.
fn ulid(text: &str) -> u128 {
    let digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    text.chars().fold(0, |bits, c| bits << 5 | digits.find(c).unwrap() as u128)
}

#[tokio::test]
async fn a_job_that_waits_can_be_brought_forward() {
    let test = of_each().await;
    for id in ["scheduled", "retrying", "due-again", "discarded", "dead", "dead-at-cap"] {
        let before: Value =
            scalar(test.pool(), format!("SELECT to_jsonb(run_at) FROM apalis.jobs WHERE id = '{id}'")).await;
        assert_eq!(act(&test, None, JobAction::Retry, id).await, Ok(true), "{id}");
        let found = find(&test, id).await.unwrap();
        assert_eq!((found.job.state, found.job.attempts, found.discarded_by), (State::Due, 0, None), "{id}");
        let after: Value =
            scalar(test.pool(), format!("SELECT to_jsonb(run_at) FROM apalis.jobs WHERE id = '{id}'")).await;
        assert_eq!(before == after, id == "due-again", "{id}: only what is due keeps its place");
    }
    assert_eq!(act(&test, None, JobAction::Retry, "due").await, Ok(false));
    assert_eq!(claim(&test, "w", 10).await.len(), 7);
}

#[tokio::test]
async fn a_discarded_job_stays_and_says_who_did_it() {
    let test = of_each().await;
    let admin = admin(&test).await;
    for id in ["due", "due-again", "scheduled", "retrying", "dead", "dead-at-cap"] {
        assert_eq!(act(&test, Some(&admin), JobAction::Discard, id).await, Ok(true), "{id}");
        let found = find(&test, id).await.unwrap();
        assert_eq!(found.job.state, State::Discarded, "{id}");
        assert_eq!(found.discarded_by, Some(admin.user_id.to_string()), "{id}");
        assert_eq!(found.job.error.as_deref(), Some("discarded by an operator"), "{id}");
        assert!(found.job.ended_at.is_some(), "{id}: it is kept as long as dead jobs");
        assert_eq!(act(&test, None, JobAction::Discard, id).await, Ok(false), "{id}");
        assert_eq!(
            find(&test, id).await.unwrap().discarded_by,
            Some(admin.user_id.to_string()),
            "the first operator is kept"
        );
    }
    let likes = queue(&test, "likes").await;
    assert_eq!((likes.due, likes.scheduled, likes.retrying, likes.dead), (0, 0, 0, 0));
    assert_eq!(claim(&test, "w", 10).await.len(), 0);
    let recorded = events(&test).await;
    assert_eq!(recorded.len(), 6);
    assert!(recorded.iter().all(|event| event.action == "job.discarded" && event.actor_id == Some(admin.user_id)));
    // Without an operator's account, as from the command line.
    assert_eq!(act(&test, None, JobAction::Retry, "due").await, Ok(true));
    assert_eq!(act(&test, None, JobAction::Discard, "due").await, Ok(true));
    assert_eq!(find(&test, "due").await.unwrap().discarded_by.as_deref(), Some(""));
}

#[tokio::test]
async fn what_runs_or_is_done_is_never_touched() {
    let test = of_each().await;
    let before = snapshot(&test).await;
    for act_ in [JobAction::Retry, JobAction::Discard] {
        for (id, expected) in [
            ("running", Err(JobRefusal::Running)),
            ("queued", Err(JobRefusal::Running)),
            ("done", Err(JobRefusal::Finished)),
            ("unknown", Err(JobRefusal::NotFound(NotFound(Noun::Job)))),
            ("", Err(JobRefusal::NotFound(NotFound(Noun::Job)))),
        ] {
            assert_eq!(act(&test, None, act_, id).await, expected, "{act_:?} {id}");
        }
    }
    assert_eq!(snapshot(&test).await, before);
    assert_eq!(events(&test).await.len(), 0);
}

/// The worker claims the job after the operator has seen it and before the action.
#[tokio::test]
async fn a_job_that_is_being_taken_is_the_workers() {
    let test = of_each().await;
    let mut open = test.connect().await;
    sqlx::raw_sql("BEGIN; UPDATE apalis.jobs SET status = 'Running', lock_by = 'w', lock_at = now() WHERE id = 'due'")
        .execute(&mut open)
        .await
        .unwrap();
    let mut acts = JoinSet::new();
    for operation in [JobAction::Retry, JobAction::Discard] {
        let db = test.db.clone();
        acts.spawn(async move {
            let mut tx = db.begin().await.unwrap();
            accepted(jobs::apply_one(&mut tx, operation, "due").await)
        });
    }
    until_waiting(test.pool(), 2).await;
    sqlx::raw_sql("COMMIT").execute(&mut open).await.unwrap();
    assert_eq!(acts.join_all().await, [Err(JobRefusal::Running); 2]);
}

async fn add_dead(test: &TestDb, n: i32) {
    run(
        test.pool(),
        format!(
            r#"INSERT INTO apalis.jobs (id, job_type, job, status, attempts, done_at)
               SELECT 'dead-' || n, 'maintenance',
                   ('{{"kind":"' || CASE n % 2 WHEN 0 THEN 'reconcile' ELSE 'housekeeping' END || '","v":1}}')::bytea,
                   'Killed', 3, now() - n / 10 * interval '1 second'
               FROM generate_series(1, {n}) n"#
        ),
    )
    .await;
}

fn selection(act: JobAction, kind: Option<&str>, state: State) -> Option<Selection> {
    Selection::new(act, Queue::Maintenance, kind.map(|name| JobKind::from_name(name).unwrap()), state)
}

#[tokio::test]
async fn many_are_acted_on_in_bounded_chunks() {
    let test = of_each().await;
    add_dead(&test, 450).await;
    let reconciles = selection(JobAction::Discard, Some("reconcile"), State::Dead).unwrap();
    assert_eq!(jobs::count(&mut test.connect().await, &reconciles).await.unwrap(), 225);
    assert_eq!(act_on_all(&test, JobAction::Discard, &reconciles).await, [100, 100, 25]);
    assert_eq!(jobs::count(&mut test.connect().await, &reconciles).await.unwrap(), 0);
    assert_eq!(act_on_all(&test, JobAction::Discard, &reconciles).await, [0]);
    let dead = selection(JobAction::Retry, None, State::Dead).unwrap();
    assert_eq!(act_on_all(&test, JobAction::Retry, &dead).await, [100, 100, 25]);
    let maintenance = queue(&test, "maintenance").await;
    assert_eq!((maintenance.due, maintenance.dead), (225, 0));
    // Jobs that were discarded by mistake can be retried.
    let discarded = selection(JobAction::Retry, None, State::Discarded).unwrap();
    assert_eq!(act_on_all(&test, JobAction::Retry, &discarded).await, [100, 100, 25]);
    assert_eq!(queue(&test, "maintenance").await.due, 450);
    assert_eq!(queue(&test, "likes").await.dead, 2, "the others are unchanged");

    let recorded = events(&test).await;
    let counts: Vec<_> = recorded.iter().map(|event| (event.action.as_str(), &event.metadata["count"])).collect();
    assert_eq!(counts.len(), 9);
    assert_eq!(counts.iter().filter(|count| **count == ("jobs.retried", &json!(100))).count(), 4);
    let first = recorded.iter().find(|event| event.action == "jobs.discarded").unwrap();
    assert_eq!((&first.metadata["queue"], &first.metadata["kind"]), (&json!("maintenance"), &json!("reconcile")));
    assert_eq!(
        (&first.metadata["before"], &first.metadata["after"]),
        (&json!({"state": "dead"}), &json!({"state": "discarded"}))
    );
}

/// Continuing after a chunk does not include jobs that have failed again meanwhile.
#[tokio::test]
async fn a_job_that_dies_again_at_once_is_retried_once() {
    let test = TestDb::new().await;
    add_dead(&test, 150).await;
    let dead = selection(JobAction::Retry, None, State::Dead).unwrap();
    let mut chunks = Vec::new();
    let mut after = None;
    for _ in 0..2 {
        let mut tx = test.db.begin().await.unwrap();
        let chunk = jobs::apply_batch(&mut tx, JobAction::Retry, &dead, after.as_ref()).await.unwrap();
        tx.commit().await.unwrap();
        run(
            test.pool(),
            "UPDATE apalis.jobs SET status = 'Killed', done_at = clock_timestamp() WHERE job_type = 'maintenance'
                 AND status = 'Pending'",
        )
        .await;
        chunks.push((chunk.changed, chunk.next.is_some()));
        after = chunk.next;
    }
    assert_eq!(chunks, [(100, true), (50, false)]);
}

#[tokio::test]
async fn acts_are_for_some_states_only() {
    for (act, state, fits) in [
        (JobAction::Retry, State::Due, false),
        (JobAction::Retry, State::Running, false),
        (JobAction::Retry, State::Done, false),
        (JobAction::Retry, State::Discarded, true),
        (JobAction::Discard, State::Due, true),
        (JobAction::Discard, State::Running, false),
        (JobAction::Discard, State::Done, false),
        (JobAction::Discard, State::Discarded, false),
    ] {
        assert_eq!(selection(act, None, state).is_some(), fits, "{act:?} {state:?}");
    }
    assert!(selection(JobAction::Retry, Some("count_likes"), State::Dead).is_none(), "it goes to another queue");
}

/// Several operators act on the same jobs. Each job is changed by one of them, and there are no deadlocks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_operators_change_each_job_once() {
    let test = TestDb::with_connections(20).await;
    add_dead(&test, 300).await;
    let mut operators = JoinSet::new();
    for _ in 0..8 {
        let db = test.db.clone();
        operators.spawn(async move {
            let dead = selection(JobAction::Discard, None, State::Dead).unwrap();
            let (mut changed, mut after) = (0, None);
            loop {
                let mut tx = db.begin().await.unwrap();
                let chunk = jobs::apply_batch(&mut tx, JobAction::Discard, &dead, after.as_ref()).await.unwrap();
                tx.commit().await.unwrap();
                changed += chunk.changed;
                if chunk.next.is_none() {
                    return changed;
                }
                after = chunk.next;
            }
        });
    }
    assert_eq!(operators.join_all().await.into_iter().sum::<usize>(), 300);
}

#[tokio::test]
async fn a_paused_queue_waits_and_the_others_go_on() {
    let test = TestDb::new().await;
    let admin = admin(&test).await;
    enqueue(&test, 3).await;
    let running = claim(&test, "w", 1).await;
    let mut tx = test.db.begin_as(&admin).await.unwrap();
    assert!(pause(&mut tx, Queue::Likes).await.unwrap());
    assert!(!pause(&mut tx, Queue::Likes).await.unwrap(), "it is paused already");
    tx.commit().await.unwrap();
    let likes = queue(&test, "likes").await;
    assert_eq!((likes.paused_by, likes.due), (Some(admin.user_id), 2));
    assert!(likes.paused_at.is_some());
    assert_eq!(claim(&test, "w", 5).await.len(), 0);
    finish(&test, "w", &running, &Outcome::Done).await;
    assert_eq!(queue(&test, "likes").await.done_last_hour, 1, "the running job finished normally");
    enqueue(&test, 1).await;
    let c = &mut test.connect().await;
    assert_eq!(claim::claim(c, Queue::Activity, "w", 5).await.unwrap().len(), 1, "the event of the pause");

    let mut tx = test.db.begin().await.unwrap();
    assert!(resume(&mut tx, Queue::Likes).await.unwrap());
    assert!(!resume(&mut tx, Queue::Likes).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(queue(&test, "likes").await.paused_at, None);
    assert_eq!(claim(&test, "w", 5).await.len(), 3);
    let recorded: Vec<_> =
        events(&test).await.into_iter().map(|event| (event.action, event.actor_id, event.metadata)).collect();
    let details = |before: bool| json!({"queue": "likes", "before": {"paused": before}, "after": {"paused": !before}});
    let expected = [
        ("queue.paused".to_owned(), Some(admin.user_id), details(false)),
        ("queue.resumed".to_owned(), None, details(true)),
    ];
    assert_eq!(recorded, expected);
}

/// The operator who paused the queue may be deleted; the pause remains.
#[tokio::test]
async fn a_pause_outlives_who_made_it() {
    let test = TestDb::new().await;
    let admin = admin(&test).await;
    let mut tx = test.db.begin_as(&admin).await.unwrap();
    pause(&mut tx, Queue::Replies).await.unwrap();
    tx.commit().await.unwrap();
    run(test.pool(), "DELETE FROM users").await;
    let replies = queue(&test, "replies").await;
    assert!(replies.paused_at.is_some() && replies.paused_by.is_none());
}
