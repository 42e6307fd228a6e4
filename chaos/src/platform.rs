//! A Postgres, an API and some workers, and what is done to them.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use cairn_core::db::{Db, connect_options, lazy_pool, migrate};
use cairn_core::learning::course::import;
use cairn_postgres::testing::throw_away_server;
use cairn_postgres::{Durability, Server};
use rustix::process::Signal;
use sqlx::{ConnectOptions, PgConnection, PgPool};

use crate::blow::Blow;
use crate::course::course;
use crate::processes::{Process, Program, free_port};

/// Worker processes beside each other.
const WORKERS: usize = 3;

/// Longer than the silence after which a worker's jobs are given to others (15 s), and the beats around it.
const FROZEN: Duration = Duration::from_secs(22);

/// How long the database has no connection to give.
const EXHAUSTED: Duration = Duration::from_secs(3);

/// How long a process may take to come by its failpoint under load, to drain, or to answer after its start.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Platform {
    postgres: Server,
    api: Process,
    api_program: Program,
    api_port: u16,
    workers: Vec<Worker>,
    pool: PgPool,
    /// The next worker to be hit.
    turn: usize,
}

struct Worker {
    process: Process,
    program: Program,
    frozen_since: Option<Instant>,
}

impl Platform {
    /// Starts everything; logs go into `logs`.
    pub(crate) async fn start(logs: &Path) -> anyhow::Result<Self> {
        let postgres = throw_away_server(Durability::Full, &[]).await?;
        postgres.create_database_if_missing("cairn").await?;
        let url = postgres.url("cairn");
        migrate(&connect_options(&url)?).await?;
        furnish(&url).await?;
        let api_port = free_port()?;
        let environment = |ops_port: u16, connections: u32| {
            vec![
                ("DATABASE_URL", url.clone()),
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
            let program = Program::new("cairn-worker", environment(free_port()?, 8), log);
            workers.push(Worker { process: program.start(None)?, program, frozen_since: None });
        }
        let api = api_program.start(None)?;
        let pool = lazy_pool(&url, 4)?;
        let platform = Self { postgres, api, api_program, api_port, workers, pool, turn: 0 };
        platform.answers().await?;
        Ok(platform)
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.api_port)
    }

    /// Does it. Whatever is ended runs again when this returns, under the same configuration.
    pub(crate) async fn strike(&mut self, blow: Blow) -> anyhow::Result<()> {
        match blow {
            Blow::KillWorker => {
                let worker = self.next_worker();
                worker.process.kill()?;
                worker.process = worker.program.start(None)?;
            }
            Blow::KillApi => {
                self.api.kill()?;
                self.api = self.api_program.start(None)?;
                self.answers().await?;
            }
            Blow::WorkerAt(failpoint) => {
                let worker = self.next_worker();
                worker.process.kill()?;
                worker.process = worker.program.start(Some(failpoint))?;
                worker.process.ended(PATIENCE).await.with_context(|| format!("waiting at {failpoint}"))?;
                worker.process = worker.program.start(None)?;
            }
            Blow::ApiAt(failpoint) => {
                self.api.kill()?;
                self.api = self.api_program.start(Some(failpoint))?;
                self.api.ended(PATIENCE).await.with_context(|| format!("waiting at {failpoint}"))?;
                self.api = self.api_program.start(None)?;
                self.answers().await?;
            }
            Blow::StopWorker => {
                let worker = self.next_worker();
                worker.process.signal(Signal::TERM)?;
                let status = worker.process.ended(PATIENCE).await?;
                ensure!(status.success(), "a worker that was told to stop ended with {status}");
                worker.process = worker.program.start(None)?;
            }
            Blow::FreezeWorker => {
                let worker = self.next_worker();
                worker.process.signal(Signal::STOP)?;
                worker.frozen_since = Some(Instant::now());
            }
            Blow::CutConnections => {
                cut_connections(&mut self.connect().await?).await?;
            }
            Blow::RestartPostgres => {
                self.postgres.restart_immediate().await?;
                self.all_run()?;
            }
            Blow::ExhaustConnections => {
                self.exhaust_connections().await?;
                self.all_run()?;
            }
        }
        Ok(())
    }

    /// Wakes workers that have been frozen for long enough, or all.
    pub(crate) fn thaw(&mut self, all: bool) -> anyhow::Result<()> {
        for worker in &mut self.workers {
            if worker.frozen_since.is_some_and(|since| all || since.elapsed() >= FROZEN) {
                worker.process.signal(Signal::CONT)?;
                worker.frozen_since = None;
            }
        }
        Ok(())
    }

    /// For how long the latest freeze goes on.
    pub(crate) fn frozen_for(&self) -> Duration {
        let frozen = self.workers.iter().filter_map(|worker| worker.frozen_since);
        frozen.map(|since| FROZEN.saturating_sub(since.elapsed())).max().unwrap_or_default()
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        drop((self.api, self.workers));
        self.pool.close().await;
        Ok(self.postgres.stop().await?)
    }

    /// A worker that is awake, in turn.
    fn next_worker(&mut self) -> &mut Worker {
        let count = self.workers.len();
        let start = self.turn;
        let index = (start..start + count)
            .map(|n| n % count)
            .find(|&n| self.workers[n].frozen_since.is_none())
            .unwrap_or(start % count);
        self.turn = index + 1;
        &mut self.workers[index]
    }

    /// Nobody ends because the database is away.
    fn all_run(&mut self) -> anyhow::Result<()> {
        ensure!(self.api.is_running()?, "the API ended because of the database");
        for worker in &mut self.workers {
            ensure!(worker.process.is_running()?, "a worker ended because of the database");
        }
        Ok(())
    }

    /// Waits until the API takes connections.
    async fn answers(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", self.api_port)).await.is_err() {
            ensure!(begun.elapsed() < PATIENCE, "the API did not start");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    async fn connect(&self) -> anyhow::Result<PgConnection> {
        let begun = Instant::now();
        loop {
            match connect_options(&self.postgres.url("cairn"))?.connect().await {
                Ok(connection) => return Ok(connection),
                Err(error) if begun.elapsed() > PATIENCE => return Err(error.into()),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Takes every connection that is free, cuts everybody else's, and holds on for a while.
    async fn exhaust_connections(&self) -> anyhow::Result<()> {
        let mut first = self.connect().await?;
        let mut taken = Vec::new();
        let options = connect_options(&self.postgres.url("cairn"))?;
        while let Ok(connection) = options.connect().await {
            taken.push(connection);
        }
        sqlx::query(
            "SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a
             WHERE a.datname = current_database() AND a.backend_start < now() AND a.pid <> pg_backend_pid() LIMIT 20",
        )
        .fetch_all(&mut first)
        .await?;
        let begun = Instant::now();
        while begun.elapsed() < EXHAUSTED {
            match options.connect().await {
                Ok(connection) => taken.push(connection),
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

/// A course, open registration, and no limit on questions.
async fn furnish(url: &str) -> anyhow::Result<()> {
    let db = Db::connect(url, url, 4)?;
    let mut tx = db.begin().await?;
    import(&mut tx, &course()?, |_, _| {}).await?;
    sqlx::raw_sql(
        "UPDATE platform_settings SET value = '\"open\"' WHERE key = 'registration.mode';
         UPDATE platform_settings SET value = '100000' WHERE key = 'ai.daily_questions'",
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    db.close().await;
    Ok(())
}
