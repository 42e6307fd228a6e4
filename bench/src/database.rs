//! The databases that the benchmarks run on.

use std::collections::HashMap;

use cairn_core::config::Config;
use cairn_core::db::{Db, Purpose, lazy_pool};
use cairn_postgres::Server;
use cairn_testing::database::set_up_on;
use sqlx::PgPool;

/// The migrated database of one benchmark.
pub(crate) struct BenchDatabase {
    pub(crate) config: Config,
    pub(crate) db: Db,
    /// A pool of a superuser, for what only the owner of tables may do.
    pub(crate) admin: PgPool,
}

impl BenchDatabase {
    pub(crate) async fn new(server: &Server, name: &str) -> anyhow::Result<Self> {
        let url = set_up_on(server, name).await?;
        let config = Config::from_values(&HashMap::from([("DATABASE_URL".to_owned(), url.clone())]))?;
        Ok(Self {
            config,
            db: Db::connect(&url, &url, 24)?,
            admin: lazy_pool(&server.url(name), 2, Purpose::Maintenance)?,
        })
    }
}
