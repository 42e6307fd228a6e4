//! No action of a worker or an operator reads the whole jobs table, however many finished jobs it contains.

use std::time::Duration;

use cairn_core::admin::jobs::{self, JobAction, Selection};
use cairn_core::admin::maintenance::{Housekeeping, Reconcile};
use cairn_core::admin::{health, housekeeping};
use cairn_core::db::{Purpose, lazy_pool};
use cairn_core::queue::inspect::{self, Filter, State};
use cairn_core::queue::lease::{self, Outcome};
use cairn_core::queue::{JobKind, Queue, claim, queues};
use cairn_core::{admin, learning, tools};
use sqlx::PgConnection;

use cairn_testing::database::{TestDb, run, scalar, until};

/// Mostly finished jobs, as in production: 50,000 are done, and there are a few hundred in each other state.
const FILL: &str = r#"
    INSERT INTO apalis.workers (id, worker_type, storage_name) VALUES ('w', 'likes', 'cairn'), ('lost', 'likes', 'cairn');
    UPDATE apalis.workers SET last_seen = '2000-01-01' WHERE id = 'lost';
    INSERT INTO apalis.jobs (id, job_type, job, status, attempts, run_at, lock_by, lock_at, done_at)
    SELECT to_char(n, 'FM0000000'), (ARRAY['likes', 'activity', 'maintenance'])[1 + n % 3],
        convert_to('{"kind":"count_likes","v":1,"data":{"project_id":"' || gen_random_uuid() || '"}}', 'UTF8'), status, 1,
        now() - n * interval '1 second', CASE WHEN status = 'Running' THEN (ARRAY['w', 'lost'])[1 + n / 4 % 2] END, now(),
        CASE WHEN status IN ('Done', 'Killed') THEN now() - n * interval '1 second' END
    FROM (SELECT n, CASE WHEN n <= 50000 THEN 'Done' ELSE (ARRAY['Killed', 'Pending', 'Failed', 'Running'])[1 + n % 4] END
              AS status FROM generate_series(1, 50800) n) j;
    VACUUM ANALYZE apalis.jobs
"#;

/// The number of sequential scans of the table that this transaction has started.
async fn scans(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT seq_scan FROM pg_stat_xact_all_tables WHERE relid = 'apalis.jobs'::regclass")
        .fetch_one(connection)
        .await
        .unwrap()
}

/// The number of rows of the table that this connection has read so far.
async fn rows_read(connection: &mut PgConnection) -> i64 {
    let query =
        "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_all_tables WHERE relid = 'apalis.jobs'::regclass";
    sqlx::query_scalar(query).fetch_one(connection).await.unwrap()
}

#[tokio::test]
async fn no_statement_of_workers_or_operators_reads_the_whole_table() {
    let test = TestDb::new().await;
    for statement in FILL.split_inclusive(";\n") {
        run(test.owner(), statement).await;
    }
    let mut tx = test.db.begin().await.unwrap();
    assert_eq!(scans(&mut tx).await, 0);
    macro_rules! indexed {
        ($what:expr) => {{
            let result = $what.await.unwrap();
            assert_eq!(scans(&mut tx).await, 0, "{}", stringify!($what));
            result
        }};
    }
    let leases = indexed!(claim::claim(&mut tx, Queue::Likes, "w", 10));
    assert_eq!(leases.len(), 10);
    let finished: Vec<_> = leases.iter().map(|lease| lease.finished(Outcome::Done)).collect();
    assert_eq!(indexed!(lease::finish(&mut tx, "w", &finished)), 10);
    assert_eq!(indexed!(lease::release(&mut tx, "w", &[])), 0);
    assert!(indexed!(lease::release_unacknowledged(&mut tx, "w", Vec::new, Duration::ZERO)) > 50);
    assert!(indexed!(lease::rescue(&mut tx, Duration::from_secs(30))) > 50);
    indexed!(admin::schedule::enqueue_scheduled(&mut tx, &Reconcile {}, Duration::ZERO));
    indexed!(admin::schedule::enqueue_scheduled(&mut tx, &Housekeeping {}, Duration::ZERO));
    indexed!(learning::jobs::stale_progress(&mut tx));
    indexed!(learning::jobs::stale_roadmaps(&mut tx));
    indexed!(tools::jobs::dead_replies(&mut tx));
    indexed!(health::unsettled(&mut tx));
    assert_eq!(indexed!(queues::overview(&mut tx)).len(), 6);
    assert_eq!(indexed!(queues::workers(&mut tx, None, 100)).len(), 1);
    let states = State::ALL.into_iter().map(Some).chain([None]);
    for filter in states.flat_map(|state| {
        let kind = JobKind::from_name("housekeeping");
        [(None, None), (Some(Queue::Likes), None), (None, kind)].map(|(q, k)| Filter::new(state, q, k).unwrap())
    }) {
        let page = indexed!(inspect::list(&mut tx, &filter, None, 101));
        if let Some(key) = page.last().and_then(inspect::JobSummary::key) {
            indexed!(inspect::list(&mut tx, &filter, Some(&key), 101));
        }
    }
    let selection = |act, state| Selection::new(act, Queue::Activity, None, state).unwrap();
    let dead = selection(JobAction::Retry, State::Dead);
    assert!(indexed!(jobs::count(&mut tx, &dead)) > 20);
    assert!(indexed!(jobs::apply_batch(&mut tx, JobAction::Retry, &dead, None)).changed > 20);
    let due = selection(JobAction::Discard, State::Due);
    assert!(indexed!(jobs::apply_batch(&mut tx, JobAction::Discard, &due, None)).changed > 20);
    indexed!(inspect::find(&mut tx, "0000001"));
    indexed!(jobs::apply_one(&mut tx, JobAction::Retry, "0050004"));
    tx.rollback().await.unwrap();
}

#[tokio::test]
async fn done_jobs_of_a_rare_kind_are_found_without_reading_those_around_them() {
    let test = TestDb::new().await;
    for statement in FILL.split_inclusive(";\n") {
        run(test.owner(), statement).await;
    }
    let rare =
        r#"UPDATE apalis.jobs SET job = '{"kind":"housekeeping","v":1,"data":{}}' WHERE id IN ('0000002', '0049997')"#;
    run(test.pool(), rare).await;
    let filter = Filter::new(Some(State::Done), Some(Queue::Maintenance), JobKind::from_name("housekeeping")).unwrap();
    let mut tx = test.db.begin().await.unwrap();
    let before = rows_read(&mut tx).await;
    let jobs = inspect::list(&mut tx, &filter, None, 101).await.unwrap();
    let read = rows_read(&mut tx).await - before;
    assert_eq!(jobs.iter().map(|job| job.id.as_str()).collect::<Vec<_>>(), ["0000002", "0049997"]);
    assert!(read < 2000, "{read} rows were read, where 16,667 are done and 800 are not");
}

#[tokio::test]
async fn retention_reads_only_what_it_removes() {
    let test = TestDb::new().await;
    for statement in FILL.split_inclusive(";\n") {
        run(test.owner(), statement).await;
    }
    run(test.pool(), "UPDATE platform_settings SET value = '13' WHERE key = 'jobs.keep_done_hours'").await;
    // A connection reports its statistics at the latest when it ends.
    test.db.close().await;
    let stats = lazy_pool(test.url(), 1, Purpose::Maintenance).unwrap();
    let used = "SELECT idx_scan > 0 FROM pg_stat_all_indexes WHERE indexrelid = 'apalis.jobs_done_idx'::regclass";
    let scans = "SELECT seq_scan FROM pg_stat_all_tables WHERE relid = 'apalis.jobs'::regclass";
    let before: i64 = scalar(&stats, scans).await;
    let pool = lazy_pool(test.url(), 1, Purpose::Maintenance).unwrap();
    housekeeping::run(&pool, Duration::from_mins(1)).await.unwrap();
    pool.close().await;
    until(&stats, "the statistics are reported", used).await;
    assert_eq!(scalar::<i64>(&stats, scans).await, before);
    let kept: i64 = scalar(&stats, "SELECT count(*) FROM apalis.jobs WHERE status = 'Done'").await;
    assert!(
        (46_000..=46_800).contains(&kept),
        "one job per second for 13 hours, less the duration of the test: {kept}"
    );
}
