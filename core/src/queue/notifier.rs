//! Tells workers that jobs were committed, and readers that replies changed, outside the transactions that wrote them.
//!
//! `NOTIFY` inside a transaction takes a lock on the whole cluster's notification queue at commit and so ends group
//! commit. The bell instead sends at most one statement every [`GAP`], naming the queues that got work and the replies
//! that changed, on a connection of its own with asynchronous commit. It is a hint: who listens polls too.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};
use tokio::sync::Notify;
use uuid::Uuid;

use super::Queue;

/// The channel of the queues. The payload is a comma-separated list of queue names.
pub const CHANNEL: &str = "cairn_jobs";

/// The channel of the replies. The payload is a comma-separated list of reply ids: of those that have new text, a new
/// attempt or a new state.
pub const REPLIES_CHANNEL: &str = "cairn_replies";

/// Most ids of one payload, which must stay below 8000 bytes.
const IDS: usize = 200;

/// How often workers look for due jobs by themselves.
const POLL: Duration = Duration::from_secs(1);

/// Shortest time between two notifications of one process.
const GAP: Duration = Duration::from_millis(3);

/// Rings for queues and replies. Cheap to clone; ringing never waits and never fails.
#[derive(Clone, Debug)]
pub struct Bell {
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// One bit per queue of [`Queue::ALL`].
    rung: AtomicU32,
    changed: Mutex<BTreeSet<Uuid>>,
    wake: Notify,
}

impl State {
    /// What there is to send, by channel.
    fn take(&self) -> Vec<(&'static str, String)> {
        let rung = self.rung.swap(0, Ordering::AcqRel);
        let queues: Vec<&str> =
            Queue::ALL.into_iter().filter(|queue| rung & (1 << *queue as u32) != 0).map(Queue::name).collect();
        let changed = std::mem::take(&mut *self.changed.lock().unwrap_or_else(PoisonError::into_inner));
        let ids: Vec<String> = changed.into_iter().map(|id| id.to_string()).collect();
        let replies = ids.chunks(IDS).map(|ids| (REPLIES_CHANNEL, ids.join(",")));
        let queues = Some((CHANNEL, queues.join(","))).filter(|(_, names)| !names.is_empty());
        queues.into_iter().chain(replies).collect()
    }
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
                let news = state.take();
                drop(state);
                if !news.is_empty() {
                    if let Err(error) = send(&mut connection, &options, news).await {
                        connection = None;
                        tracing::warn!(error = %error, "could not notify workers and readers; they poll meanwhile");
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

    /// Tells them after `delay`, if that is sooner than they look by themselves.
    pub(crate) fn ring_in(&self, queue: Queue, delay: Duration) {
        if delay.is_zero() {
            self.ring(queue);
        } else if delay < POLL {
            let bell = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                bell.ring(queue);
            });
        }
    }

    /// Tells the readers of a reply that it changed.
    pub fn announce(&self, reply_id: Uuid) {
        self.state.changed.lock().unwrap_or_else(PoisonError::into_inner).insert(reply_id);
        self.state.wake.notify_one();
    }
}

async fn send(
    connection: &mut Option<PgConnection>,
    options: &PgConnectOptions,
    news: Vec<(&'static str, String)>,
) -> Result<(), sqlx::Error> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(options.clone().options([("synchronous_commit", "off")]).connect().await?),
    };
    let (channels, payloads): (Vec<&str>, Vec<String>) = news.into_iter().unzip();
    sqlx::query("SELECT pg_notify(channel, payload) FROM unnest($1::text[], $2::text[]) AS n (channel, payload)")
        .bind(channels)
        .bind(payloads)
        .execute(connection)
        .await?;
    Ok(())
}
