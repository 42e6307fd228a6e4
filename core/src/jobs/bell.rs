//! Tells workers that jobs were committed, outside the transactions that wrote them.
//!
//! `NOTIFY` inside a transaction takes a lock on the whole cluster's notification queue at commit and so ends group
//! commit. The bell instead sends at most one notification every [`GAP`], naming the queues that got work, on a
//! connection of its own with asynchronous commit. It is a hint: workers poll once a second without it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};
use tokio::sync::Notify;

use super::Queue;

/// The notification channel. The payload is a comma-separated list of queue names.
pub const CHANNEL: &str = "cairn_jobs";

/// Shortest time between two notifications of one process.
const GAP: Duration = Duration::from_millis(3);

/// Rings for queues. Cheap to clone; ringing never waits and never fails.
#[derive(Clone, Debug)]
pub struct Bell {
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// One bit per queue of [`Queue::ALL`].
    rung: AtomicU32,
    wake: Notify,
}

impl Bell {
    /// Starts the task that sends. It ends when the last clone is dropped.
    pub(crate) fn start(options: PgConnectOptions) -> Self {
        let state = Arc::new(State::default());
        let task_state = Arc::downgrade(&state);
        tokio::spawn(async move {
            let mut connection = None;
            loop {
                let Some(state) = task_state.upgrade() else { return };
                // The task must not keep the state alive while it waits, so it looks up now and then.
                let _ = tokio::time::timeout(Duration::from_secs(1), state.wake.notified()).await;
                let rung = state.rung.swap(0, Ordering::AcqRel);
                drop(state);
                if rung != 0 {
                    if let Err(error) = send(&mut connection, &options, rung).await {
                        connection = None;
                        tracing::warn!(error = %error, "could not notify workers; they poll once a second meanwhile");
                    }
                    tokio::time::sleep(GAP).await;
                }
            }
        });
        Self { state }
    }

    /// Tells the workers of `queue` that there is work.
    pub fn ring(&self, queue: Queue) {
        self.state.rung.fetch_or(1 << queue as u32, Ordering::AcqRel);
        self.state.wake.notify_one();
    }
}

async fn send(connection: &mut Option<PgConnection>, options: &PgConnectOptions, rung: u32) -> Result<(), sqlx::Error> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(options.clone().options([("synchronous_commit", "off")]).connect().await?),
    };
    let queues: Vec<&str> =
        Queue::ALL.into_iter().filter(|queue| rung & (1 << *queue as u32) != 0).map(Queue::name).collect();
    sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(queues.join(",")).execute(connection).await?;
    Ok(())
}
