//! The platform under test: Postgres, an API and some workers, into which faults are injected.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use cairn_core::db::{Purpose, connect_options, lazy_pool};
use cairn_postgres::testing::throw_away_server;
use cairn_postgres::{Durability, Server};
use rustix::process::Signal;
use sqlx::{ConnectOptions, PgConnection, PgPool};

use crate::course::{World, seed};
use crate::fault::Fault;
use crate::provider::Provider;
use crate::trace;
use cairn_testing::database::set_up_on;
use cairn_testing::processes::{Process, Program, free_port};
use cairn_testing::proxy::Proxy;

/// Number of worker processes.
const WORKERS: usize = 3;

/// Longer than the heartbeat timeout after which a worker's jobs are given to others (15 s), plus the interval of the checks.
const FREEZE_TIME: Duration = Duration::from_secs(22);

/// How long a snapshot is held, unless the connection is lost.
const SNAPSHOT_TIME: Duration = Duration::from_secs(40);

/// How long the database has no free connections.
const EXHAUSTION_TIME: Duration = Duration::from_secs(3);

/// After which the server gives up silent connections, as with its keepalives, so that they do not use up its connections.
const SILENCE_TIME: Duration = Duration::from_secs(20);

/// How long a transaction is left open.
const HANG_TIME: Duration = Duration::from_secs(4);
/// How long the database refuses writes.
const REFUSAL_TIME: Duration = Duration::from_secs(3);

/// How long a process may take to drain, or to answer after its start.
const PROCESS_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a process may take to reach its failpoint. The one after an answer is reached only when this worker completes one, and
/// a provider that shows its faults keeps all workers waiting for up to 45 s at a time.
const FAILPOINT_TIMEOUT: Duration = Duration::from_mins(3);

pub(crate) struct Platform {
    postgres: Server,
    /// What the programs connect through.
    proxy: Arc<Proxy>,
    api: Process,
    api_program: Program,
    api_port: u16,
    workers: Vec<Worker>,
    pool: PgPool,
    world: Arc<World>,
    /// Index of the next worker to inject a fault into.
    next_worker: usize,
    /// Transactions with old snapshots, and since when.
    snapshots: Vec<(Instant, PgConnection)>,
}

struct Worker {
    process: Process,
    program: Program,
    frozen_since: Option<Instant>,
}

impl Platform {
    /// Starts everything, with the built-in provider unless there is another one. Logs are written to the folder `logs`.
    pub(crate) async fn start(logs: &Path, provider: Option<&Provider>) -> anyhow::Result<Self> {
        let postgres = throw_away_server(Durability::Full, &[]).await?;
        let url = set_up_on(&postgres, "cairn").await?;
        let proxy = Arc::new(Proxy::start(&url).await);
        trace::record(&mut connect_options(&postgres.url("cairn"))?.connect().await?).await?;
        let world = Arc::new(seed(&url).await?);
        if let Some(provider) = provider {
            provider.configure(&url).await?;
        }
        let api_port = free_port()?;
        let environment = |ops_port: u16, connections: u32| {
            vec![
                ("DATABASE_URL", proxy.url().to_owned()),
                ("CAIRN_DATABASE_CONNECTIONS", connections.to_string()),
                ("CAIRN_JWT_SECRET", "only-for-this-run-and-long-enough-for-it".to_owned()),
                ("CAIRN_API_ADDR", format!("127.0.0.1:{api_port}")),
                ("CAIRN_OPS_ADDR", format!("127.0.0.1:{ops_port}")),
                ("CAIRN_LOG", "warn,sqlx=error".to_owned()),
            ]
        };
        let api_program = Program::new("cairn-api", environment(free_port()?, 12), logs.join("api.log"));
        let mut workers = Vec::new();
        for n in 0..WORKERS {
            let log = logs.join(format!("worker-{n}.log"));
            let mut environment = environment(free_port()?, 8);
            environment.extend(provider.map(Provider::environment).unwrap_or_default());
            let program = Program::new("cairn-worker", environment, log);
            workers.push(Worker { process: program.start(None)?, program, frozen_since: None });
        }
        let api = api_program.start(None)?;
        let pool = lazy_pool(&url, 4, Purpose::Maintenance)?;
        let platform = Self {
            postgres,
            proxy,
            api,
            api_program,
            api_port,
            workers,
            pool,
            world,
            next_worker: 0,
            snapshots: Vec::new(),
        };
        platform.wait_for_api().await?;
        Ok(platform)
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// A pool of a superuser, who may read what was recorded.
    pub(crate) fn owner_pool(&self) -> anyhow::Result<PgPool> {
        Ok(lazy_pool(&self.postgres.url("cairn"), 1, Purpose::Maintenance)?)
    }

    pub(crate) fn world(&self) -> Arc<World> {
        Arc::clone(&self.world)
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.api_port)
    }

    /// Injects a fault. Processes that were ended have been started again, with the same configuration, when this returns.
    pub(crate) async fn inject(&mut self, fault: Fault) -> anyhow::Result<()> {
        self.snapshots.retain(|(since, _)| since.elapsed() < SNAPSHOT_TIME);
        match fault {
            Fault::KillWorker => {
                let worker = self.next_worker();
                worker.process.kill()?;
                worker.process = worker.program.start(None)?;
            }
            Fault::KillApi => {
                self.api.kill()?;
                self.api = self.api_program.start(None)?;
                self.wait_for_api().await?;
            }
            Fault::WorkerAt(failpoint) => {
                let worker = self.next_worker();
                worker.process.kill()?;
                worker.process = worker.program.start(Some(failpoint))?;
                worker.process.ended(FAILPOINT_TIMEOUT).await.with_context(|| format!("waiting at {failpoint}"))?;
                worker.process = worker.program.start(None)?;
            }
            Fault::ApiAt(failpoint) => {
                self.api.kill()?;
                self.api = self.api_program.start(Some(failpoint))?;
                self.api.ended(FAILPOINT_TIMEOUT).await.with_context(|| format!("waiting at {failpoint}"))?;
                self.api = self.api_program.start(None)?;
                self.wait_for_api().await?;
            }
            Fault::StopWorker => {
                let worker = self.next_worker();
                worker.process.signal(Signal::TERM)?;
                let status = worker.process.ended(PROCESS_TIMEOUT).await?;
                ensure!(status.success(), "a worker that was told to stop ended with {status}");
                worker.process = worker.program.start(None)?;
            }
            Fault::FreezeWorker => {
                let worker = self.next_worker();
                worker.process.signal(Signal::STOP)?;
                worker.frozen_since = Some(Instant::now());
            }
            Fault::CutConnections => {
                cut_connections(&mut self.connect().await?).await?;
            }
            Fault::RestartPostgres => {
                self.postgres.restart_immediate().await?;
                self.check_all_running()?;
            }
            Fault::OldSnapshot => {
                let mut holder = self.connect().await?;
                let hold = "SET idle_in_transaction_session_timeout = 0;
                            BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT FROM apalis.jobs LIMIT 1";
                sqlx::raw_sql(hold).execute(&mut holder).await?;
                self.snapshots.push((Instant::now(), holder));
            }
            Fault::ExhaustConnections => {
                self.exhaust_connections().await?;
                self.check_all_running()?;
            }
            Fault::SilenceConnections => {
                self.proxy.silence_existing();
                let proxy = Arc::clone(&self.proxy);
                tokio::spawn(async move {
                    tokio::time::sleep(SILENCE_TIME).await;
                    proxy.reset_silent();
                });
                self.check_all_running()?;
            }
            Fault::HangTransaction => self.hang_transaction().await?,
            Fault::RefuseWrites { ends_sessions } => {
                refuse_writes(&mut self.connect().await?, ends_sessions).await?;
                self.check_all_running()?;
            }
            Fault::SetClockBack => set_clock_back(&mut self.connect().await?).await?,
        }
        Ok(())
    }

    /// Resumes the workers that have been frozen for long enough, or all frozen workers.
    pub(crate) fn resume_frozen(&mut self, all: bool) -> anyhow::Result<()> {
        for worker in &mut self.workers {
            if worker.frozen_since.is_some_and(|since| all || since.elapsed() >= FREEZE_TIME) {
                worker.process.signal(Signal::CONT)?;
                worker.frozen_since = None;
            }
        }
        Ok(())
    }

    /// How long until the last frozen worker is to be resumed.
    pub(crate) fn frozen_for(&self) -> Duration {
        let frozen = self.workers.iter().filter_map(|worker| worker.frozen_since);
        frozen.map(|since| FREEZE_TIME.saturating_sub(since.elapsed())).max().unwrap_or_default()
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        drop((self.api, self.workers, self.snapshots));
        self.pool.close().await;
        Ok(self.postgres.stop().await?)
    }

    /// The next worker that is not frozen, in rotation.
    fn next_worker(&mut self) -> &mut Worker {
        let count = self.workers.len();
        let start = self.next_worker;
        let index = (start..start + count)
            .map(|n| n % count)
            .find(|&n| self.workers[n].frozen_since.is_none())
            .unwrap_or(start % count);
        self.next_worker = index + 1;
        &mut self.workers[index]
    }

    /// Checks that no process ended because the database was unavailable.
    fn check_all_running(&mut self) -> anyhow::Result<()> {
        ensure!(self.api.is_running()?, "the API ended because of the database");
        for worker in &mut self.workers {
            ensure!(worker.process.is_running()?, "a worker ended because of the database");
        }
        Ok(())
    }

    /// Waits until the API accepts connections.
    async fn wait_for_api(&self) -> anyhow::Result<()> {
        let started = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", self.api_port)).await.is_err() {
            ensure!(started.elapsed() < PROCESS_TIMEOUT, "the API did not start");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    async fn connect(&self) -> anyhow::Result<PgConnection> {
        let started = Instant::now();
        loop {
            match connect_options(&self.postgres.url("cairn"))?.connect().await {
                Ok(connection) => return Ok(connection),
                Err(error) if started.elapsed() > PROCESS_TIMEOUT => return Err(error.into()),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Holds rows that learners, editors and rollups need, in the order in which they would be locked, and lets go of them.
    async fn hang_transaction(&self) -> anyhow::Result<()> {
        let mut connection = self.connect().await?;
        sqlx::raw_sql(
            "BEGIN;
             SELECT FROM lessons WHERE id = (SELECT id FROM lessons ORDER BY random() LIMIT 1) FOR UPDATE SKIP LOCKED;
             SELECT FROM progress_dirty
             WHERE (user_id, roadmap_id) = (SELECT user_id, roadmap_id FROM progress_dirty ORDER BY random() LIMIT 1)
             FOR UPDATE SKIP LOCKED;
             SELECT FROM users WHERE id = (SELECT user_id FROM progress_dirty ORDER BY random() LIMIT 1)
             FOR UPDATE SKIP LOCKED",
        )
        .execute(&mut connection)
        .await?;
        tokio::time::sleep(HANG_TIME).await;
        Ok(())
    }

    /// Takes all free connections, terminates those of the platform, and takes these as well, for a while.
    async fn exhaust_connections(&self) -> anyhow::Result<()> {
        let mut first = self.connect().await?;
        let mut held = Vec::new();
        let options = connect_options(&self.postgres.url("cairn"))?;
        while let Ok(connection) = options.connect().await {
            held.push(connection);
        }
        sqlx::query(
            "SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a
             WHERE a.datname = current_database() AND a.backend_start < now() AND a.pid <> pg_backend_pid() LIMIT 20",
        )
        .fetch_all(&mut first)
        .await?;
        let started = Instant::now();
        while started.elapsed() < EXHAUSTION_TIME {
            match options.connect().await {
                Ok(connection) => held.push(connection),
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
        Ok(())
    }
}

async fn cut_connections(connection: &mut PgConnection) -> anyhow::Result<()> {
    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .fetch_all(connection)
    .await?;
    Ok(())
}

/// Has the database refuse writes for a while. Sessions that are ended are replaced by ones that cannot write from their beginning.
async fn refuse_writes(connection: &mut PgConnection, ends_sessions: bool) -> anyhow::Result<()> {
    let [begin, end] = if ends_sessions {
        [
            "DO $$ BEGIN EXECUTE format(
                 'ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$",
            "DO $$ BEGIN EXECUTE format(
                 'ALTER DATABASE %I RESET default_transaction_read_only', current_database()); END $$",
        ]
    } else {
        ["ALTER SYSTEM SET default_transaction_read_only = on", "ALTER SYSTEM RESET default_transaction_read_only"]
    };
    // This session goes on writing.
    sqlx::raw_sql("SET default_transaction_read_only = off").execute(&mut *connection).await?;
    sqlx::raw_sql(begin).execute(&mut *connection).await?;
    if ends_sessions {
        cut_connections(connection).await?;
    } else {
        sqlx::raw_sql("SELECT pg_reload_conf()").execute(&mut *connection).await?;
    }
    tokio::time::sleep(REFUSAL_TIME).await;
    sqlx::raw_sql(end).execute(&mut *connection).await?;
    sqlx::raw_sql("SELECT pg_reload_conf()").execute(connection).await?;
    Ok(())
}

/// Leaves what has been stored ten minutes ahead, as if the clock had been set back by so much. Leases are not changed: their times
/// identify them.
async fn set_clock_back(connection: &mut PgConnection) -> anyhow::Result<()> {
    // One by one, and without those that somebody has locked, so that nobody waits for this in a circle.
    for statement in [
        "UPDATE apalis.jobs SET run_at = run_at + interval '10 minutes' WHERE id IN (
             SELECT id FROM apalis.jobs WHERE status = 'Pending' OR (status = 'Failed' AND attempts < max_attempts)
             FOR UPDATE SKIP LOCKED)",
        "UPDATE apalis.workers SET last_seen = last_seen + interval '10 minutes' WHERE id IN (
             SELECT id FROM apalis.workers WHERE last_seen > now() - interval '1 minute' FOR UPDATE SKIP LOCKED)",
        "UPDATE schedules SET last_enqueued_at = last_enqueued_at + interval '10 minutes' WHERE name IN (
             SELECT name FROM schedules FOR UPDATE SKIP LOCKED)",
        "UPDATE progress_dirty SET requested_at = requested_at + interval '10 minutes',
             queued_at = queued_at + interval '10 minutes' WHERE (user_id, roadmap_id) IN (
             SELECT user_id, roadmap_id FROM progress_dirty WHERE done_seq < requested_seq FOR UPDATE SKIP LOCKED)",
        "UPDATE likes_dirty SET marked_at = marked_at + interval '10 minutes', queued_at = queued_at + interval '10 minutes'
         WHERE project_id IN (SELECT project_id FROM likes_dirty FOR UPDATE SKIP LOCKED)",
        "UPDATE clock_mark SET seen_at = seen_at + interval '10 minutes'",
    ] {
        sqlx::raw_sql(statement).execute(&mut *connection).await?;
    }
    Ok(())
}
