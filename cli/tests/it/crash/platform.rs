//! A Postgres, an API and a worker as processes of their own, to be killed.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use cairn_core::clock::Clock;
use cairn_core::db::{Db, connect_options, lazy_pool, migrate};
use cairn_core::learning::course;
use cairn_postgres::testing::throw_away_server;
use cairn_postgres::{Durability, Server};
use sqlx::PgPool;

pub(super) struct Platform {
    postgres: Server,
    api: Child,
    worker: Child,
    api_port: u16,
    ops_port: u16,
    worker_ops_port: u16,
    pool: PgPool,
}

/// Fourteen lessons in three stages, open to everybody at once.
fn course() -> course::Course {
    let lessons: Vec<String> = (0..14)
        .map(|n| {
            format!(
                "{{slug: lesson-{n}, title: Lesson {n}, summary: S, duration_minutes: 5, body: Text about servers.}}"
            )
        })
        .collect();
    let stages: Vec<String> = [0..5, 5..10, 10..14]
        .into_iter()
        .enumerate()
        .map(|(n, range)| {
            let entries: Vec<String> = range.map(|n| format!("{{lesson: lesson-{n}}}")).collect();
            format!("{{slug: stage-{n}, title: Stage {n}, summary: S, lessons: [{}]}}", entries.join(", "))
        })
        .collect();
    let text = format!(
        "version: 1\nmodules: [{{slug: module, title: Module, summary: S, lessons: [{}]}}]\nroadmaps: [{{slug: roadmap, title: Roadmap, summary: S, stages: [{}]}}]\n",
        lessons.join(", "),
        stages.join(", ")
    );
    course::parse(&text).unwrap()
}

impl Platform {
    pub(super) async fn start() -> Self {
        let postgres = throw_away_server(Durability::Full).await.unwrap();
        postgres.create_database_if_missing("cairn").await.unwrap();
        let url = postgres.url("cairn");
        migrate(&connect_options(&url).unwrap()).await.unwrap();
        let db = Db::connect(&url, &url, 4).unwrap();
        let mut tx = db.begin().await.unwrap();
        course::import(&mut tx, &Clock::default(), &course(), |_, _| {}).await.unwrap();
        sqlx::query("UPDATE platform_settings SET value = '\"open\"' WHERE key = 'registration.mode'")
            .execute(&mut *tx)
            .await
            .unwrap();
        sqlx::query("UPDATE platform_settings SET value = '100000' WHERE key = 'ai.daily_questions'")
            .execute(&mut *tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        db.close().await;
        let (api_port, ops_port, worker_ops_port) = (free_port(), free_port(), free_port());
        let api = spawn("cairn-api", &url, api_port, ops_port);
        let worker = spawn("cairn-worker", &url, api_port, worker_ops_port);
        Self { api, worker, api_port, ops_port, worker_ops_port, pool: lazy_pool(&url, 4).unwrap(), postgres }
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(super) fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.api_port)
    }

    /// SIGKILL, then a new one at once.
    pub(super) fn kill_worker(&mut self) {
        kill(&mut self.worker);
        self.worker = spawn("cairn-worker", &self.postgres.url("cairn"), self.api_port, self.worker_ops_port);
    }

    /// SIGKILL, then a new one on the same port at once.
    pub(super) fn kill_api(&mut self) {
        kill(&mut self.api);
        self.api = spawn("cairn-api", &self.postgres.url("cairn"), self.api_port, self.ops_port);
    }

    /// `-m immediate`: Postgres recovers from its log. The processes must live through it.
    pub(super) async fn restart_postgres(&mut self) {
        self.postgres.restart_immediate().await.unwrap();
        assert!(self.api.try_wait().unwrap().is_none(), "the API lives through a restart of Postgres");
        assert!(self.worker.try_wait().unwrap().is_none(), "the worker lives through a restart of Postgres");
    }

    pub(super) async fn stop(mut self) {
        kill(&mut self.api);
        kill(&mut self.worker);
        self.pool.close().await;
        self.postgres.stop().await.unwrap();
    }
}

fn kill(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Built beside the command under test, as `cargo test --workspace` does.
fn binary(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_BIN_EXE_cairn")).with_file_name(name);
    assert!(path.exists(), "{name} is not built: run `cargo build --workspace` first");
    path
}

fn spawn(name: &str, url: &str, api_port: u16, ops_port: u16) -> Child {
    Command::new(binary(name))
        .env_clear()
        .env("DATABASE_URL", url)
        .env("CAIRN_JWT_SECRET", "only-for-this-test-and-long-enough-for-it")
        .env("CAIRN_API_ADDR", format!("127.0.0.1:{api_port}"))
        .env("CAIRN_OPS_ADDR", format!("127.0.0.1:{ops_port}"))
        .env("CAIRN_LOG", "error")
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}
