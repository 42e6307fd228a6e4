//! Benchmarks of the platform on a throw-away Postgres with fsync on. Build with `cargo build --release --workspace`, then
//! run `target/release/cairn-bench [NAME…] [--minutes=N]` (how long `snapshot` holds one; 1 by default). It prints the figures beside their targets and writes them to
//! `bench/out/results.json`. The comparison is left to people: nothing fails because a machine is slow.

mod api;
mod content_change;
mod database;
mod drain;
mod http;
mod latency;
mod meaning;
mod measured;
mod operate;
mod platform;
mod reads;
mod scaling;
mod snapshot;
mod streams;
mod worker;

use anyhow::Context as _;
use cairn_postgres::Durability;
use cairn_postgres::testing::throw_away_server;

use crate::database::BenchDatabase;
use crate::measured::{Measured, print};

/// The benchmarks, in the order in which they run.
const ALL: [&str; 10] =
    ["drain", "latency", "snapshot", "scaling", "content-change", "operate", "streams", "reads", "meaning", "platform"];

/// The settings of Postgres that docs/OPERATIONS.md recommends: the working set fits into memory, and checkpoints are rare.
const SETTINGS: [(&str, &str); 2] = [("shared_buffers", "1GB"), ("max_wal_size", "4GB")];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (options, names): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let minutes = match options.as_slice() {
        [] => 1.0,
        [option] => option
            .strip_prefix("--minutes=")
            .and_then(|minutes| minutes.parse().ok())
            .filter(|minutes| (0.1..=60.0).contains(minutes))
            .context("the only option is --minutes=N, from 0.1 to 60")?,
        _ => anyhow::bail!("the only option is --minutes=N"),
    };
    if let Some(unknown) = names.iter().find(|name| !ALL.contains(&name.as_str())) {
        anyhow::bail!("`{unknown}` is not a benchmark: choose from {}", ALL.join(", "));
    }
    let server = throw_away_server(Durability::Full, &SETTINGS).await?;
    let mut results: Vec<Measured> = Vec::new();
    for name in ALL.into_iter().filter(|name| names.is_empty() || names.iter().any(|chosen| chosen == name)) {
        eprintln!("{name} …");
        let database = BenchDatabase::new(&server, name).await?;
        results.extend(match name {
            "drain" => drain::run(&database).await?,
            "latency" => latency::run(&database).await?,
            "snapshot" => snapshot::run(&database, minutes).await?,
            "scaling" => scaling::run(&database).await?,
            "content-change" => Box::pin(content_change::run(&database)).await?,
            "operate" => operate::run(&database).await?,
            "streams" => streams::run(&database).await?,
            "reads" => reads::run(&database).await?,
            "meaning" => meaning::run(&database).await?,
            _ => platform::run(&database).await?,
        });
        database.db.close().await;
    }
    print(&results)?;
    server.stop().await.context("stopping Postgres")
}
