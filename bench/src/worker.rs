//! Runs a worker in this process.

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::BenchDatabase;

pub(crate) struct Worker {
    stop: CancellationToken,
    running: JoinHandle<cairn_core::Result<()>>,
}

impl Worker {
    pub(crate) fn start(database: &BenchDatabase) -> Self {
        let stop = CancellationToken::new();
        let (config, db, token) = (database.config.clone(), database.db.clone(), stop.clone());
        Self { stop, running: tokio::spawn(async move { cairn_worker::run(&config, db, token).await }) }
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        Ok(self.running.await??)
    }
}
