//! The process: one apalis worker for each queue, watched over, and an orderly end.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apalis::prelude::{ParallelizeExt, Task, WorkerBuilder};
use cairn_core::clock::Clock;
use cairn_core::config::Config;
use cairn_core::db::{Db, lazy_pool};
use cairn_core::jobs::Queue;
use cairn_core::jobs::lease::{self, Lease};
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use crate::bells::Bells;
use crate::providers::Provider;
use crate::queue::{Desk, QueueBackend};
use crate::{Context, adapter, schedule};

/// How long running jobs may go on after the worker was told to stop. Longer than any job's deadline, shorter than
/// the silence after which a worker is lost, so that no job is taken from a worker that is still draining.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(25);

/// A worker that has not been heard of for so long is lost, and its jobs are taken from it.
const SILENCE: Duration = Duration::from_secs(30);

const HEARTBEAT: Duration = Duration::from_secs(5);

/// Pause before a queue's worker that ended by itself is started again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// The names under which this process holds jobs.
type Names = Arc<Mutex<Vec<(String, Queue)>>>;

/// Works the configured queues until `shutdown`, then drains and returns. Database errors never end it.
pub async fn run(config: &Config, db: Db, shutdown: CancellationToken) -> cairn_core::Result<()> {
    let url = config.require_direct_url().map_err(|error| cairn_core::Error::message(error.to_string()))?;
    // Claims, acknowledgements and heartbeats have connections of their own: jobs that use up the pool cannot stop them.
    let leases = lazy_pool(url.expose(), 6)?;
    let listening = lazy_pool(url.expose(), 1)?;
    let bells = Bells::listen(listening.clone(), shutdown.clone());
    let provider = Provider::from_config(config)?;
    tracing::info!(ai.provider = provider.name(), "replies are written by this provider");
    let context = Context::new(db.clone(), Clock::default()).answering(provider, shutdown.clone());
    let names = Names::default();
    let boot = Ulid::generate();

    let mut queues = JoinSet::new();
    for &(queue, places) in &config.worker_queues {
        let (context, names, leases, bells) = (context.clone(), names.clone(), leases.clone(), bells.clone());
        let shutdown = shutdown.clone();
        queues.spawn(async move {
            watch(queue, places, boot, &leases, &names, &shutdown, |worker| {
                let desk = Desk::open(queue, worker.clone(), places, leases.clone(), bells.of(queue), shutdown.clone());
                work(worker, desk, context.clone(), shutdown.clone())
            })
            .await;
        });
    }
    // Heartbeats go on while jobs drain.
    let heartbeats = CancellationToken::new();
    let beating = tokio::spawn(beat(leases.clone(), names.clone(), heartbeats.clone()));
    if config.worker_queues.iter().any(|(queue, _)| *queue == Queue::Maintenance) {
        tokio::spawn(schedule::run(db.clone(), shutdown.clone()));
    }
    tracing::info!(worker.boot = %boot, queues = config.worker_queues.len(), "the worker is running");

    shutdown.cancelled().await;
    let drained = tokio::time::timeout(DRAIN_LIMIT, async { while queues.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::warn!("jobs are still running after the drain limit; they will be rescued");
        queues.abort_all();
    }
    heartbeats.cancel();
    let _ = beating.await;
    listening.close().await;
    leases.close().await;
    tracing::info!("the worker has stopped");
    Ok(())
}

/// Runs a queue's worker; should it ever end by itself, starts another under a new name.
async fn watch<F>(
    queue: Queue,
    places: usize,
    boot: Ulid,
    pool: &PgPool,
    names: &Names,
    shutdown: &CancellationToken,
    start: impl Fn(String) -> F,
) where
    F: Future<Output = Result<(), String>> + Send + 'static,
{
    for restart in 0.. {
        // A name is never used twice: whoever waits for the old one to fall silent must not be misled by the new.
        let worker = format!("{}-{boot}-{restart}", queue.name());
        // Jobs refer to the worker that holds them, so it is there before it claims any.
        while !beat_logged(pool, &[(worker.clone(), queue)]).await {
            tokio::select! {
                () = tokio::time::sleep(RESTART_PAUSE) => {}
                () = shutdown.cancelled() => return,
            }
        }
        let register = |names: &mut Vec<(String, Queue)>| {
            names.retain(|(_, other)| *other != queue);
            names.push((worker.clone(), queue));
        };
        register(&mut names.lock().unwrap_or_else(PoisonError::into_inner));
        tracing::debug!(queue.name = queue.name(), queue.places = places, worker.name = %worker, "a queue is worked");
        // In a task of its own: a panic in the loop ends the task, not the watch.
        let ended = tokio::spawn(start(worker.clone())).await;
        if shutdown.is_cancelled() {
            return;
        }
        tracing::warn!(queue.name = queue.name(), worker.name = %worker, result = ?ended, "a queue's worker ended; starting another");
        tokio::time::sleep(RESTART_PAUSE).await;
    }
}

/// The apalis worker of one queue.
async fn work(worker: String, desk: Arc<Desk>, context: Context, shutdown: CancellationToken) -> Result<(), String> {
    let service = {
        let desk = desk.clone();
        tower::service_fn(move |task: Task<Lease>| {
            let (desk, context) = (desk.clone(), context.clone());
            async move {
                let outcome = adapter::run(&context, &task.args).await;
                desk.finish(&task.args, outcome);
                Ok::<(), Infallible>(())
            }
        })
    };
    let watched = desk.clone();
    WorkerBuilder::new(&*worker)
        .backend(QueueBackend::new(desk))
        .parallelize(tokio::spawn)
        .build(service)
        .run_until(async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = watched.broken() => {}
            }
            Ok::<(), apalis::prelude::WorkerError>(())
        })
        .await
        .map_err(|error| error.to_string())
}

/// Says that this process is alive and takes the jobs of those that are not.
async fn beat(pool: PgPool, names: Names, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let alive = names.lock().unwrap_or_else(PoisonError::into_inner).clone();
        beat_logged(&pool, &alive).await;
        tokio::select! {
            () = tokio::time::sleep(HEARTBEAT) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Whether the heartbeat was stored.
async fn beat_logged(pool: &PgPool, alive: &[(String, Queue)]) -> bool {
    match beat_once(pool, alive).await {
        Ok(0) => true,
        Ok(rescued) => {
            tracing::warn!(jobs.count = rescued, "took jobs from workers that were lost");
            true
        }
        Err(error) => {
            tracing::warn!(error = %error, "the heartbeat failed, trying again");
            false
        }
    }
}

async fn beat_once(pool: &PgPool, alive: &[(String, Queue)]) -> cairn_core::Result<u64> {
    let mut connection = pool.acquire().await?;
    lease::heartbeat(&mut connection, alive).await?;
    lease::rescue(&mut connection, SILENCE).await
}
