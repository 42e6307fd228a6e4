//! One queue as a source of work for an apalis worker: apalis' own [`Backend`] trait over the jobs table.
//!
//! `apalis-postgres` brings a backend of its own; docs/JOBS.md says what it does that ours must not: heartbeats stop
//! while jobs wait in memory, one database error ends the worker and drops what runs, a failed flush loses
//! acknowledgements, and handing a job back counts as an attempt. Here claiming, acknowledging and heartbeats are tasks
//! of their own ([`desk`]) that outlive any database error, and the backend only passes on what was claimed.

mod desk;

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use apalis::prelude::{Backend, Task, TaskBuilder, TaskId, WorkerContext};
use apalis_core::backend::BackendConfig;
use apalis_core::backend::finalize::Ephemeral;
use apalis_core::backend::future::BoxSyncFuture;
use cairn_core::queue::lease::Lease;
use futures_util::FutureExt;
use tower::layer::util::Identity;

pub(crate) use self::desk::Desk;

/// The backend of one queue's worker.
pub(crate) struct QueueBackend {
    desk: Arc<Desk>,
    closing: Option<BoxSyncFuture<()>>,
}

impl QueueBackend {
    pub(crate) fn new(desk: Arc<Desk>) -> Self {
        Self { desk, closing: None }
    }
}

impl Backend for QueueBackend {
    type Task = Task<Lease>;
    type Error = Infallible;

    fn poll_ready(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, _: &WorkerContext) -> Poll<Option<Result<Task<Lease>, Infallible>>> {
        self.desk.poll_take(cx).map(|lease| {
            let id = TaskId::from_string(lease.id.clone());
            let attempt = usize::try_from(lease.attempt - 1).unwrap_or(0);
            Some(Ok(TaskBuilder::new(lease).task_id(id).attempt(attempt).build()))
        })
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        let desk = &self.desk;
        let closing = self.closing.get_or_insert_with(|| {
            let desk = desk.clone();
            async move { desk.settled().await }.boxed().into()
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
