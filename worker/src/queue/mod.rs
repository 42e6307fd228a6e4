//! One queue as a source of work for an apalis worker: apalis' own [`Backend`] trait over the jobs table.
//!
//! ```text
//! jobs table ──claim──▶ Producer ──▶ LeasedJobs ──▶ QueueBackend ──▶ apalis worker
//!      ▲                                                                  │
//!      └──────────── batches of outcomes ──────────── Completer ◀─────────┘
//! ```
//!
//! `apalis-postgres` has a backend of its own. docs/JOBS.md lists what it does that ours must not do: heartbeats stop
//! while jobs wait in memory, one database error ends the worker and drops what runs, a failed flush loses
//! acknowledgements, and releasing a job counts as an attempt. Here claims, acknowledgements and heartbeats are tasks of
//! their own that survive any database error, and the backend only passes on what was claimed.

mod completer;
mod leased;
mod producer;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use apalis::prelude::{Backend, Task, TaskBuilder, TaskId, WorkerContext};
use apalis_core::backend::BackendConfig;
use apalis_core::backend::finalize::Ephemeral;
use apalis_core::backend::future::BoxSyncFuture;
use cairn_core::queue::lease::Lease;
use futures_util::FutureExt;
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tower::layer::util::Identity;

pub(crate) use self::completer::Completer;
pub(crate) use self::leased::LEASE_LIMIT;
use self::leased::LeasedJobs;
use self::producer::{CLAIM_ACK_TIMEOUT, Producer};
use crate::health::QueueHealth;

/// Starts claiming jobs of a queue under the name `worker`, until `stop` is cancelled. Returns the source of claimed
/// jobs, and what takes their outcomes.
pub(crate) fn open(
    health: Arc<QueueHealth>,
    worker: String,
    pool: PgPool,
    wake: Arc<Notify>,
    stop: CancellationToken,
) -> (QueueBackend, Completer) {
    let leased = Arc::new(LeasedJobs::new(health.clone()));
    let completer =
        Completer::start(health.clone(), worker.clone(), leased.clone(), pool.clone(), wake.clone(), stop.clone());
    let progress = Mutex::default();
    let ack_timeout = CLAIM_ACK_TIMEOUT;
    Producer { queue: health.queue, health, worker, leased: leased.clone(), pool, wake, stop, ack_timeout, progress }
        .start();
    (QueueBackend { leased, closing: None }, completer)
}

/// The backend of one queue's apalis worker.
pub(crate) struct QueueBackend {
    leased: Arc<LeasedJobs>,
    closing: Option<BoxSyncFuture<()>>,
}

impl Backend for QueueBackend {
    type Task = Task<Lease>;
    type Error = Infallible;

    fn poll_ready(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, _: &WorkerContext) -> Poll<Option<Result<Task<Lease>, Infallible>>> {
        self.leased.poll_start(cx).map(|lease| {
            let id = TaskId::from_string(lease.id.clone());
            let attempt = usize::try_from(lease.attempt - 1).unwrap_or(0);
            Some(Ok(TaskBuilder::new(lease).task_id(id).attempt(attempt).build()))
        })
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        let leased = &self.leased;
        let closing = self.closing.get_or_insert_with(|| {
            let leased = leased.clone();
            async move { leased.drained().await }.boxed().into()
        });
        closing.poll_unpin(cx).map(Ok)
    }
}

impl BackendConfig for QueueBackend {
    type Args = Lease;
    type Id = String;
    type Kind = Ephemeral;
    type Config = ();
    type Layer = Identity;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> Identity {
        Identity::new()
    }
}
