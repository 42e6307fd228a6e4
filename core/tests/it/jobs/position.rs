//! Claims that begin where earlier ones have come to, and what they would otherwise miss.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use cairn_core::db::{Purpose, lazy_pool};
use cairn_core::queue::Queue;
use cairn_core::queue::claim::{self, Position};
use cairn_core::queue::lease::{self, Lease, Outcome};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use serde_json::Value;
use sqlx::{Connection, PgConnection, Row};

use cairn_testing::database::{TestDb, run, scalar};

/// What can happen to a queue.
#[derive(Clone, Debug)]
enum Step {
    /// A transaction enqueues a job that is due since so many seconds, with this priority, and stays open.
    Enqueue { due: u8, priority: Option<i32> },
    /// One of the open transactions ends.
    End { which: prop::sample::Index, commits: bool },
    /// A worker claims.
    Claim { worker: bool, limit: u8 },
    /// A worker looks for late jobs.
    FindLate { worker: bool },
    /// A run ends.
    Finish { which: prop::sample::Index, outcome: u8 },
    /// A job that has not started is released.
    Release { which: prop::sample::Index },
    /// All that a worker has claimed is taken from it.
    Rescue { worker: bool },
    /// An operator changes when a job is due, in SQL.
    Move { seconds: u8 },
    /// The queue is paused or resumed.
    Pause { paused: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let which = any::<prop::sample::Index>;
    prop_oneof![
        6 => (0..90_u8, prop_oneof![8 => Just(Some(0)), 1 => Just(None), 2 => (-2..3).prop_map(Some)])
            .prop_map(|(due, priority)| Step::Enqueue { due, priority }),
        5 => (which(), prop::bool::weighted(0.9)).prop_map(|(which, commits)| Step::End { which, commits }),
        5 => (any::<bool>(), 1..6_u8).prop_map(|(worker, limit)| Step::Claim { worker, limit }),
        2 => any::<bool>().prop_map(|worker| Step::FindLate { worker }),
        4 => (which(), 0..3_u8).prop_map(|(which, outcome)| Step::Finish { which, outcome }),
        1 => which().prop_map(|which| Step::Release { which }),
        1 => any::<bool>().prop_map(|worker| Step::Rescue { worker }),
        1 => (0..90_u8).prop_map(|seconds| Step::Move { seconds }),
        1 => any::<bool>().prop_map(|paused| Step::Pause { paused }),
    ]
}

const WORKERS: [&str; 2] = ["one", "two"];

struct Model<'a> {
    test: &'a TestDb,
    connection: PgConnection,
    open: Vec<(String, PgConnection)>,
    positions: [(Position, Vec<String>); 2],
    leases: Vec<Lease>,
    committed: HashSet<String>,
    ended: HashMap<String, u32>,
}

impl Model<'_> {
    async fn claim(&mut self, worker: usize, limit: i64) -> usize {
        let (position, late) = self.positions[worker].clone();
        let (c, name) = (&mut self.connection, WORKERS[worker]);
        let claimed = claim::claim_from(c, Queue::Likes, name, limit, position, &late).await.unwrap();
        self.positions[worker] = (claimed.next, Vec::new());
        let count = claimed.leases.len();
        self.leases.extend(claimed.leases);
        count
    }

    async fn find_late(&mut self, worker: usize) -> usize {
        let late = claim::find_late(&mut self.connection, Queue::Likes, self.positions[worker].0).await.unwrap();
        let count = late.len();
        self.positions[worker].1 = late;
        count
    }

    async fn finish(&mut self, lease: Lease, outcome: Outcome) {
        let is_done = outcome == Outcome::Done;
        let worker = lease.worker.clone();
        let stored = lease::finish(&mut self.connection, &worker, &[lease.finished(outcome)]).await.unwrap();
        if is_done && stored == 1 {
            *self.ended.entry(lease.id).or_default() += 1;
        }
    }

    async fn end(&mut self, which: usize, commits: bool) {
        let (id, mut connection) = self.open.swap_remove(which);
        sqlx::query(if commits { "COMMIT" } else { "ROLLBACK" }).execute(&mut connection).await.unwrap();
        if commits {
            self.committed.insert(id);
        }
    }

    async fn enqueue(&mut self, due: u8, priority: Option<i32>) {
        let mut connection = self.test.connect().await;
        sqlx::query("BEGIN").execute(&mut connection).await.unwrap();
        let id = cairn_core::clock::new_id().to_string();
        sqlx::query(
            "INSERT INTO apalis.jobs (id, job_type, job, run_at, priority, max_attempts)
             VALUES ($1, 'likes', 'x', now() - $2 * interval '1 second', $3, 1000)",
        )
        .bind(&id)
        .bind(i32::from(due))
        .bind(priority)
        .execute(&mut connection)
        .await
        .unwrap();
        self.open.push((id, connection));
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Enqueue { due, priority } if self.open.len() < 4 => self.enqueue(due, priority).await,
            Step::End { which, commits } if !self.open.is_empty() => {
                self.end(which.index(self.open.len()), commits).await;
            }
            Step::Claim { worker, limit } => drop(self.claim(worker.into(), limit.into()).await),
            Step::FindLate { worker } => drop(self.find_late(worker.into()).await),
            Step::Finish { which, outcome } if !self.leases.is_empty() => {
                let lease = self.leases.swap_remove(which.index(self.leases.len()));
                let outcome = match outcome {
                    0 => Outcome::Done,
                    1 => Outcome::Retry { delay: Duration::ZERO, error: "again".to_owned() },
                    _ => Outcome::Snooze { delay: Duration::ZERO },
                };
                self.finish(lease, outcome).await;
            }
            Step::Release { which } if !self.leases.is_empty() => {
                let lease = self.leases.swap_remove(which.index(self.leases.len()));
                lease::release(&mut self.connection, &lease.worker, &[lease.key()]).await.unwrap();
            }
            Step::Rescue { worker } => {
                let name = WORKERS[usize::from(worker)];
                let lost = format!("UPDATE apalis.workers SET last_seen = to_timestamp(0) WHERE id = '{name}'");
                run(self.test.pool(), lost).await;
                lease::rescue(&mut self.connection, Duration::from_secs(15)).await.unwrap();
                run(self.test.pool(), "UPDATE apalis.workers SET last_seen = now()").await;
                run(self.test.pool(), "UPDATE apalis.jobs SET run_at = now() WHERE run_at > now()").await;
            }
            Step::Move { seconds } => {
                let moved = format!(
                    "UPDATE apalis.jobs SET run_at = now() - interval '{seconds} seconds'
                     WHERE id = (SELECT min(id) FROM apalis.jobs WHERE status IN ('Pending', 'Failed'))"
                );
                run(self.test.pool(), moved).await;
            }
            Step::Pause { paused: true } => {
                let pause = "INSERT INTO paused_queues (queue) VALUES ('likes') ON CONFLICT DO NOTHING";
                run(self.test.pool(), pause).await;
            }
            Step::Pause { paused: false } => run(self.test.pool(), "DELETE FROM paused_queues").await,
            _ => {}
        }
    }

    /// Everything comes to rest: one of the workers does what is left.
    async fn settle(&mut self) {
        run(self.test.pool(), "DELETE FROM paused_queues").await;
        while !self.open.is_empty() {
            self.end(0, true).await;
        }
        loop {
            while let Some(lease) = self.leases.pop() {
                self.finish(lease, Outcome::Done).await;
            }
            if self.claim(0, 3).await == 0 && self.find_late(0).await == 0 {
                return;
            }
        }
    }
}

/// Whatever commits late, is released, rescued, tried again or moved, behind the position of every worker: nothing is left.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_skipped_for_good() {
    let test = TestDb::new().await;
    let workers = WORKERS.map(|name| (name.to_owned(), Queue::Likes));
    lease::heartbeat(&mut test.connect().await, &workers).await.unwrap();
    let runtime = tokio::runtime::Handle::current();
    let strategy = prop::collection::vec(step(), 1..60);
    let mut runner = TestRunner::new(ProptestConfig { cases: 40, max_shrink_iters: 50, ..ProptestConfig::default() });
    let result = tokio::task::block_in_place(|| {
        runner.run(&strategy, |steps| {
            runtime.block_on(async {
                run(test.pool(), "DELETE FROM apalis.jobs").await;
                let mut model = Model {
                    test: &test,
                    connection: test.connect().await,
                    open: Vec::new(),
                    positions: <[(Position, Vec<String>); 2]>::default(),
                    leases: Vec::new(),
                    committed: HashSet::new(),
                    ended: HashMap::new(),
                };
                for step in steps {
                    model.take(step).await;
                }
                model.settle().await;
                let left: i64 = scalar(test.pool(), "SELECT count(*) FROM apalis.jobs WHERE status <> 'Done'").await;
                prop_assert_eq!(left, 0, "jobs are left");
                prop_assert_eq!(model.ended.keys().cloned().collect::<HashSet<_>>(), model.committed);
                prop_assert!(model.ended.values().all(|&ends| ends == 1), "{:?}", model.ended);
                Ok::<(), TestCaseError>(())
            })
        })
    });
    result.unwrap();
}

const CLAIM: &str = include_str!("../../../src/queue/claim.sql");
const CLAIM_FROM: &str = include_str!("../../../src/queue/claim_from.sql");

/// Pages that a claim reads.
async fn pages(connection: &mut PgConnection, sql: &str, from: bool) -> i64 {
    let explain = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}");
    let query =
        sqlx::query_scalar::<_, Value>(sqlx::AssertSqlSafe(explain)).bind("likes").bind("w").bind(10_i64).bind(0.5);
    let query = if from {
        query.bind(cairn_core::clock::Clock::default().now() - chrono::TimeDelta::seconds(1)).bind(Vec::<String>::new())
    } else {
        query
    };
    let mut tx = connection.begin().await.unwrap();
    let plan = query.fetch_one(&mut *tx).await.unwrap();
    tx.rollback().await.unwrap();
    pages_in(&plan)
}

fn pages_in(plan: &Value) -> i64 {
    let root = &plan[0]["Plan"];
    root["Shared Hit Blocks"].as_i64().unwrap() + root["Shared Read Blocks"].as_i64().unwrap()
}

/// Pages that a claim reads that finds nothing, with the plan that was made when the statement was prepared. Sets the position to
/// the present.
async fn pages_of_prepared(connection: &mut PgConnection) -> i64 {
    let explain = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE claim('likes', 'w', 10, 0.5, now(), '{}')";
    let plan = sqlx::raw_sql(explain).fetch_one(connection).await.unwrap().get::<Value, _>(0);
    pages_in(&plan)
}

/// The index has an entry for every job that was claimed while somebody held an old snapshot.
#[tokio::test]
async fn a_claim_under_an_old_snapshot_reads_few_pages() {
    let test = TestDb::new().await;
    lease::heartbeat(&mut test.connect().await, &[("w".to_owned(), Queue::Likes)]).await.unwrap();
    let mut reader = test.connect().await;
    sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM users")
        .execute(&mut reader)
        .await
        .unwrap();
    // A worker plans its claims once, usually while few jobs wait.
    let leases = lazy_pool(test.url(), 1, Purpose::Leases).unwrap();
    let mut old = leases.acquire().await.unwrap();
    let prepare = format!("PREPARE claim (text, text, bigint, float8, timestamptz, text[]) AS {CLAIM_FROM}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(prepare)).execute(&mut *old).await.unwrap();
    pages_of_prepared(&mut old).await;
    run(
        test.pool(),
        "INSERT INTO apalis.jobs (id, job_type, job, priority, run_at)
         SELECT to_char(n, 'FM000000'), 'likes', 'x', 0, now() - n * interval '1 millisecond' - interval '5 seconds'
         FROM generate_series(1, 100000) n",
    )
    .await;
    run(test.pool(), "UPDATE apalis.jobs SET status = 'Running', lock_by = 'w', lock_at = now(), attempts = 1").await;
    run(test.pool(), "UPDATE apalis.jobs SET status = 'Done', lock_by = NULL, done_at = now()").await;
    let found_nothing = pages_of_prepared(&mut old).await;
    assert!(found_nothing < 100, "{found_nothing} pages are read by a plan that was made before");
    run(
        test.pool(),
        "INSERT INTO apalis.jobs (id, job_type, job, priority, run_at)
         SELECT 'new' || n, 'likes', 'x', 0, now() FROM generate_series(1, 10) n",
    )
    .await;
    run(test.owner(), "ANALYZE apalis.jobs").await;
    let c = &mut test.connect().await;
    let (whole, part) = (pages(c, CLAIM, false).await, pages(c, CLAIM_FROM, true).await);
    assert!(whole > 2000, "{whole} pages: the test does not make what it is about");
    // Ten jobs, each of which is written to several indexes.
    assert!(part < 400, "{part} pages are read, and {whole} from the beginning");
    let late = claim::claim_from(c, Queue::Likes, "w", 10, Position::default(), &[]).await.unwrap();
    assert_eq!(late.leases.len(), 10);
    sqlx::raw_sql("ROLLBACK").execute(&mut reader).await.unwrap();
}
