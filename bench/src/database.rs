//! The databases that the benchmarks run on.

use std::collections::HashMap;

use cairn_core::config::Config;
use cairn_core::db::{Db, connect_options, migrate};
use cairn_postgres::Server;

/// The migrated database of one benchmark.
pub(crate) struct BenchDatabase {
    pub(crate) config: Config,
    pub(crate) db: Db,
}

impl BenchDatabase {
    pub(crate) async fn new(server: &Server, name: &str) -> anyhow::Result<Self> {
        server.create_database_if_missing(name).await?;
        let url = server.url(name);
        migrate(&connect_options(&url)?).await?;
        let config = Config::from_values(&HashMap::from([("DATABASE_URL".to_owned(), url.clone())]))?;
        Ok(Self { config, db: Db::connect(&url, &url, 24)? })
    }
}
