//! The API as a separate process.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use cairn_testing::processes::{Process, Program, free_port};

use crate::database::BenchDatabase;

/// The key of the access tokens.
pub(crate) const JWT_SECRET: &str = "a key for benchmarks only, which protects nothing";

/// A running API.
pub(crate) struct Api {
    process: Process,
    /// Its address, such as `127.0.0.1:1234`.
    pub(crate) address: String,
    ops: String,
}

impl Api {
    /// Starts an API and waits until it is ready.
    pub(crate) async fn start(database: &BenchDatabase) -> anyhow::Result<Self> {
        let (address, ops) = (format!("127.0.0.1:{}", free_port()?), format!("127.0.0.1:{}", free_port()?));
        let environment = vec![
            ("DATABASE_URL", database.config.require_database_url()?.expose().to_owned()),
            ("CAIRN_JWT_SECRET", JWT_SECRET.to_owned()),
            ("CAIRN_API_ADDR", address.clone()),
            ("CAIRN_OPS_ADDR", ops.clone()),
            ("CAIRN_LOG", "warn".to_owned()),
            // What is measured is the platform, not the budget of one client, which asks for all that it can get.
            ("CAIRN_RATE_LIMIT_USER_PER_SECOND", "1000000".to_owned()),
            ("CAIRN_RATE_LIMIT_USER_BURST", "1000000".to_owned()),
            ("CAIRN_RATE_LIMIT_USER_CONCURRENT", "1000000".to_owned()),
        ];
        let mut process = Program::new("cairn-api", environment, log()).start(None)?;
        let (http, started) = (client()?, Instant::now());
        while http.get(format!("http://{ops}/health/ready")).send().await.is_err() {
            ensure!(process.is_running()?, "the API has ended: see {}", log().display());
            ensure!(started.elapsed() < Duration::from_mins(1), "the API did not become ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Self { process, address, ops: format!("http://{ops}") })
    }

    /// Waits until this many streams are open.
    pub(crate) async fn wait_for_streams(&self, http: &reqwest::Client, streams: u32) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            let metrics = http.get(format!("{}/metrics", self.ops)).send().await?.text().await?;
            let open = metrics.lines().find_map(|line| line.strip_prefix("cairn_reply_streams ")?.parse().ok());
            if open == Some(streams) {
                return Ok(());
            }
            ensure!(started.elapsed() < Duration::from_mins(1), "{open:?} of {streams} streams are open");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The current and the peak resident memory, in kilobytes.
    pub(crate) fn memory(&self) -> anyhow::Result<(u64, u64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let figure = |name: &str| -> anyhow::Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
            Ok(line.trim().trim_end_matches(" kB").parse()?)
        };
        Ok((figure("VmRSS:")?, figure("VmHWM:")?))
    }
}

/// Where the processes write their logs.
pub(crate) fn log() -> std::path::PathBuf {
    std::env::temp_dir().join(format!("cairn-bench-{}.log", std::process::id()))
}

/// A client for a few requests.
pub(crate) fn client() -> anyhow::Result<reqwest::Client> {
    // Fails if a provider is installed already, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(reqwest::Client::builder().no_proxy().build()?)
}
