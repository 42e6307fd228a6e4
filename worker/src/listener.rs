//! Listens for notifications about new jobs, on one LISTEN connection for all queues of the process.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use cairn_core::db::Listener;
use cairn_core::hosts::Moves;
use cairn_core::queue::{CHANNEL, Queue};
use sqlx::postgres::PgConnectOptions;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::health::WorkerHealth;

/// Pause before a lost connection is opened again.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// Wakes each queue's producer when there is work for it.
#[derive(Clone)]
pub(crate) struct JobListener {
    by_queue: Arc<HashMap<Queue, Arc<Notify>>>,
}

impl JobListener {
    /// Starts listening. Listening ends when `stop` is cancelled.
    pub(crate) fn start(options: PgConnectOptions, health: Arc<WorkerHealth>, stop: CancellationToken) -> Self {
        let by_queue = Queue::ALL.into_iter().map(|queue| (queue, Arc::default())).collect();
        let listener = Self { by_queue: Arc::new(by_queue) };
        let task = listener.clone();
        let mut moves = Moves::of(&options);
        tokio::spawn(async move {
            while !stop.is_cancelled() {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = moves.next() => {} // jobs are told on another host now
                    Err(error) = task.listen_once(&options, &health) => {
                        health.set_listening(false);
                        tracing::warn!(error = %error, "cannot listen for new jobs; queues poll once a second until the connection is back");
                        tokio::time::sleep(RECONNECT_PAUSE).await;
                    },
                }
            }
        });
        listener
    }

    /// What is notified when a queue has new jobs.
    pub(crate) fn subscribe(&self, queue: Queue) -> Arc<Notify> {
        self.by_queue.get(&queue).cloned().unwrap_or_default()
    }

    /// Listens until the connection is lost.
    async fn listen_once(&self, options: &PgConnectOptions, health: &WorkerHealth) -> cairn_core::Result<Infallible> {
        let mut listener = Listener::open(options, CHANNEL).await?;
        health.set_listening(true);
        // Notifications that were sent while nobody listened were missed.
        for queue in Queue::ALL {
            self.wake(queue);
        }
        loop {
            listener.next().await?.split(',').filter_map(Queue::from_name).for_each(|queue| self.wake(queue));
        }
    }

    fn wake(&self, queue: Queue) {
        if let Some(wake) = self.by_queue.get(&queue) {
            wake.notify_one();
        }
    }
}
