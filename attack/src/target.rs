//! The API under attack, and the people who use it.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use cairn_core::actor::Role;
use cairn_core::clock::{Clock, new_id};
use cairn_core::config::Secret;
use cairn_core::db::{Purpose, lazy_pool};
use cairn_core::users::password_rules::Password;
use cairn_core::users::passwords::Passwords;
use cairn_core::users::tokens::{TokenSubject, Tokens};
use cairn_postgres::testing::throw_away_server;
use cairn_postgres::{Durability, Server};
use cairn_testing::database::set_up_on;
use cairn_testing::processes::{Process, Program, free_port};
use cairn_testing::rows::add_person;
use sqlx::PgPool;
use uuid::Uuid;

const JWT_SECRET: &str = "a key of attacks, which guards nothing";
/// The password of everybody.
pub(crate) const PASSWORD: &str = "seven green bicycles";

pub(crate) struct Target {
    postgres: Server,
    process: Process,
    pub(crate) pool: PgPool,
    pub(crate) api: u16,
    pub(crate) ops: u16,
    /// The address of the attacker.
    pub(crate) attacker: Ipv4Addr,
    log: PathBuf,
    /// The hash of [`PASSWORD`].
    hash: String,
}

/// Somebody with an account and a session.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) email: String,
    pub(crate) token: String,
    pub(crate) session_id: Uuid,
}

impl Target {
    /// Starts everything. The API writes its log to the folder `logs`.
    pub(crate) async fn start(logs: &Path) -> anyhow::Result<Self> {
        let postgres = throw_away_server(Durability::Relaxed, &[]).await?;
        let url = set_up_on(&postgres, "cairn").await?;
        let (api, ops, log) = (free_port()?, free_port()?, logs.join("api.log"));
        let environment = vec![
            ("DATABASE_URL", url.clone()),
            ("CAIRN_JWT_SECRET", JWT_SECRET.to_owned()),
            ("CAIRN_API_ADDR", format!("127.0.0.1:{api}")),
            ("CAIRN_OPS_ADDR", format!("127.0.0.1:{ops}")),
            ("CAIRN_LOG", "error".to_owned()),
        ];
        let process = Program::new("cairn-api", environment, log.clone()).start(None)?;
        let pool = lazy_pool(&url, 4, Purpose::Maintenance)?;
        let password = Password::parse(PASSWORD).ok().context("the password is refused")?;
        let hash = Passwords::default().hash(&password).await?;
        let mut target = Self { postgres, process, pool, api, ops, attacker: Ipv4Addr::LOCALHOST, log, hash };
        target.wait_until_ready().await?;
        Ok(target)
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", self.api)).await.is_err() {
            ensure!(self.process.is_running()?, "the API has ended: {}", self.log()?);
            ensure!(started.elapsed() < Duration::from_secs(30), "the API did not start");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Adds somebody, who is signed in.
    pub(crate) async fn person(&self, name: &str, role: Role) -> anyhow::Result<Person> {
        let id = add_person(&self.pool, name, role).await;
        let email: String = sqlx::query_scalar("UPDATE users SET password_hash = $2 WHERE id = $1 RETURNING email")
            .bind(id)
            .bind(&self.hash)
            .fetch_one(&self.pool)
            .await?;
        let (session_id, now) = (new_id(), Clock::default().now());
        sqlx::query("INSERT INTO sessions (id, user_id, expires_at) VALUES ($1, $2, $3)")
            .bind(session_id)
            .bind(id)
            .bind(now + chrono::TimeDelta::days(1))
            .execute(&self.pool)
            .await?;
        let subject = TokenSubject { user_id: id, session_id };
        Ok(Person { email, token: Tokens::new(&Secret::new(JWT_SECRET)).issue(subject, now)?, session_id })
    }

    /// The process's resident memory, in megabytes: now and, since [`Self::forget_peak`], at most.
    pub(crate) fn memory(&self) -> anyhow::Result<(u64, u64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let figure = |name: &str| -> anyhow::Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
            Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1024)
        };
        Ok((figure("VmRSS:")?, figure("VmHWM:")?))
    }

    /// Starts the measurement of the most memory anew.
    pub(crate) fn forget_peak(&self) -> anyhow::Result<()> {
        Ok(std::fs::write(format!("/proc/{}/clear_refs", self.process.id()), "5")?)
    }

    /// What the API logged, at most the last 4 kB of it.
    pub(crate) fn log(&self) -> anyhow::Result<String> {
        let log = std::fs::read_to_string(&self.log)?;
        Ok(log[log.floor_char_boundary(log.len().saturating_sub(4096))..].to_owned())
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        drop(self.process);
        self.pool.close().await;
        Ok(self.postgres.stop().await?)
    }
}
