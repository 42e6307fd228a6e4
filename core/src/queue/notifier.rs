//! Notifies workers of committed jobs, and readers of what they follow, outside the transactions that wrote it.
//!
//! `NOTIFY` in a transaction takes a lock on the notification queue of the whole cluster at commit, which prevents group
//! commit. The notifier instead sends at most one statement every [`MIN_INTERVAL`], with the queues that have new jobs and the ids
//! of what readers follow, on a separate connection with asynchronous commit. Notifications are only hints: listeners poll
//! as well.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};
use tokio::sync::Notify;
use tokio::time::timeout;
use uuid::Uuid;

use super::Queue;
use crate::hosts::{self, Moves};
use crate::{Error, Result};

/// The channel for queues. The payload is a comma-separated list of queue names.
pub const CHANNEL: &str = "cairn_jobs";

/// The channel for readers of streams. The payload is a comma-separated list of ids: of replies that have new text, a new
/// attempt or a new state, and of users who have new events.
pub const READERS_CHANNEL: &str = "cairn_readers";

/// Most ids in one payload, which must be shorter than 8000 bytes.
const MAX_IDS: usize = 200;

/// How often workers poll for due jobs.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Shortest time between two notifications from one process.
const MIN_INTERVAL: Duration = Duration::from_millis(3);

/// How long sending notifications may take, opening the connection included. Workers and readers have polled by then.
const SEND_LIMIT: Duration = Duration::from_secs(5);

/// Sends notifications to workers and readers. Cheap to clone; notifying never blocks and never fails.
#[derive(Clone, Debug)]
pub struct Notifier {
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The queues to notify, as one bit for each queue of [`Queue::ALL`].
    queues: AtomicU32,
    /// The replies and users whose readers to notify.
    followed: Mutex<BTreeSet<Uuid>>,
    wake: Notify,
}

impl State {
    /// Takes the pending notifications, as pairs of channel and payload.
    fn take(&self) -> Vec<(&'static str, String)> {
        let pending = self.queues.swap(0, Ordering::AcqRel);
        let queues: Vec<&str> =
            Queue::ALL.into_iter().filter(|queue| pending & (1 << *queue as u32) != 0).map(Queue::name).collect();
        let changed = std::mem::take(&mut *self.followed.lock().unwrap_or_else(PoisonError::into_inner));
        let ids: Vec<String> = changed.into_iter().map(|id| id.to_string()).collect();
        let readers = ids.chunks(MAX_IDS).map(|ids| (READERS_CHANNEL, ids.join(",")));
        let queues = Some((CHANNEL, queues.join(","))).filter(|(_, names)| !names.is_empty());
        queues.into_iter().chain(readers).collect()
    }
}

impl Notifier {
    /// Starts the task that sends notifications. It ends when the last clone is dropped.
    pub(crate) fn start(options: PgConnectOptions) -> Self {
        let state = Arc::new(State::default());
        let task_state = Arc::downgrade(&state);
        tokio::spawn(async move {
            let mut connection = None;
            let mut moves = Moves::of(&options);
            loop {
                let Some(state) = task_state.upgrade() else { return };
                // The task must not keep the state alive forever, so it releases it once a second.
                let _ = tokio::time::timeout(Duration::from_secs(1), state.wake.notified()).await;
                let pending = state.take();
                drop(state);
                if moves.have_happened() {
                    connection = None;
                }
                if !pending.is_empty() {
                    let sent = timeout(SEND_LIMIT, send(&mut connection, &options, pending)).await;
                    let sent = sent.unwrap_or_else(|_| Err(Error::too_slow("notifying", SEND_LIMIT)));
                    if let Err(error) = sent {
                        connection = None;
                        tracing::warn!(error = %error, "cannot notify workers and readers; they will notice by polling");
                    }
                    tokio::time::sleep(MIN_INTERVAL).await;
                }
            }
        });
        Self { state }
    }

    /// Notifies the workers of `queue` of new jobs.
    pub fn notify_queue(&self, queue: Queue) {
        self.state.queues.fetch_or(1 << queue as u32, Ordering::AcqRel);
        self.state.wake.notify_one();
    }

    /// Notifies them after `delay`, if that is sooner than they poll.
    pub(crate) fn notify_queue_in(&self, queue: Queue, delay: Duration) {
        if delay.is_zero() {
            self.notify_queue(queue);
        } else if delay < POLL_INTERVAL {
            let notifier = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                notifier.notify_queue(queue);
            });
        }
    }

    /// Notifies those who follow this reply, or the events of this user.
    pub fn notify_readers(&self, followed: Uuid) {
        self.state.followed.lock().unwrap_or_else(PoisonError::into_inner).insert(followed);
        self.state.wake.notify_one();
    }
}

async fn send(
    connection: &mut Option<PgConnection>,
    options: &PgConnectOptions,
    pending: Vec<(&'static str, String)>,
) -> Result<()> {
    let connection = if let Some(connection) = connection {
        connection
    } else {
        let options = hosts::writable(options).await.options([("synchronous_commit", "off")]);
        connection.insert(options.connect().await?)
    };
    let (channels, payloads): (Vec<&str>, Vec<String>) = pending.into_iter().unzip();
    sqlx::query("SELECT pg_notify(channel, payload) FROM unnest($1::text[], $2::text[]) AS n (channel, payload)")
        .bind(channels)
        .bind(payloads)
        .execute(connection)
        .await?;
    Ok(())
}
