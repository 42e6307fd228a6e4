//! `cargo build --release --workspace`, then `target/release/cairn-bench [NAME…]`, measures the platform on a throw-away
//! Postgres with fsync on, prints a table beside the bars, and writes `bench/out/results.json`. Figures are compared by
//! people; nothing fails because a machine was slow.

mod content_change;
mod drain;
mod latency;
mod measured;
mod operate;
mod scaling;
mod streams;
mod worker;

use std::collections::HashMap;

use anyhow::Context as _;
use cairn_core::config::Config;
use cairn_core::db::{Db, connect_options, migrate};
use cairn_postgres::testing::throw_away_server;
use cairn_postgres::{Durability, Server};

use crate::measured::{Measured, print};

/// What can be measured, in this order.
const ALL: [&str; 6] = ["drain", "latency", "scaling", "content-change", "operate", "streams"];

/// Of Postgres, as docs/OPERATIONS.md has operators set it: what is in use fits its memory, and checkpoints are rare.
const SETTINGS: [(&str, &str); 2] = [("shared_buffers", "1GB"), ("max_wal_size", "4GB")];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = names.iter().find(|name| !ALL.contains(&name.as_str())) {
        anyhow::bail!("`{unknown}` is no benchmark; there are {}", ALL.join(", "));
    }
    let server = throw_away_server(Durability::Full, &SETTINGS).await?;
    let mut results: Vec<Measured> = Vec::new();
    for name in ALL.into_iter().filter(|name| names.is_empty() || names.iter().any(|chosen| chosen == name)) {
        eprintln!("{name} …");
        let place = Place::new(&server, name).await?;
        results.extend(match name {
            "drain" => drain::run(&place).await?,
            "latency" => latency::run(&place).await?,
            "scaling" => scaling::run(&place).await?,
            "content-change" => content_change::run(&place).await?,
            "operate" => operate::run(&place).await?,
            _ => streams::run(&place).await?,
        });
        place.db.close().await;
    }
    print(&results)?;
    server.stop().await.context("stopping Postgres")
}

/// A migrated database of its own for each benchmark.
struct Place {
    config: Config,
    db: Db,
}

impl Place {
    async fn new(server: &Server, name: &str) -> anyhow::Result<Self> {
        server.create_database_if_missing(name).await?;
        let url = server.url(name);
        migrate(&connect_options(&url)?).await?;
        let config = Config::from_values(&HashMap::from([("DATABASE_URL".to_owned(), url.clone())]))?;
        Ok(Self { config, db: Db::connect(&url, &url, 24)? })
    }
}
