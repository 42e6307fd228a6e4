//! Hears the bell: one LISTEN connection for all queues of the process.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cairn_core::queue::{CHANNEL, Queue};
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::vitals::Vitals;

/// One bell for each queue.
#[derive(Clone)]
pub(crate) struct Bells {
    by_queue: Arc<HashMap<Queue, Arc<Notify>>>,
}

impl Bells {
    /// Starts listening, until `stop`.
    pub(crate) fn listen(pool: PgPool, vitals: Arc<Vitals>, stop: CancellationToken) -> Self {
        let bells = Self { by_queue: Arc::new(Queue::ALL.into_iter().map(|queue| (queue, Arc::default())).collect()) };
        let this = bells.clone();
        tokio::spawn(async move {
            while !stop.is_cancelled() {
                tokio::select! {
                    () = stop.cancelled() => return,
                    result = this.hear(&pool, &vitals) => if let Err(error) = result {
                        vitals.listens(false);
                        tracing::warn!(error = %error, "the bell cannot be heard; queues poll once a second meanwhile");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    },
                }
            }
        });
        bells
    }

    /// The bell of a queue.
    pub(crate) fn of(&self, queue: Queue) -> Arc<Notify> {
        self.by_queue.get(&queue).cloned().unwrap_or_default()
    }

    async fn hear(&self, pool: &PgPool, vitals: &Vitals) -> Result<(), sqlx::Error> {
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen(CHANNEL).await?;
        vitals.listens(true);
        loop {
            match listener.try_recv().await? {
                Some(notification) => {
                    notification.payload().split(',').filter_map(Queue::from_name).for_each(|queue| self.ring(queue));
                }
                // The connection was lost and made again: whatever was rung meanwhile was not heard.
                None => Queue::ALL.into_iter().for_each(|queue| self.ring(queue)),
            }
        }
    }

    fn ring(&self, queue: Queue) {
        if let Some(bell) = self.by_queue.get(&queue) {
            bell.notify_one();
        }
    }
}
