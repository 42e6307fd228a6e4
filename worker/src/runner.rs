//! The process: one apalis worker for each queue, watched over, and an orderly end.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use apalis::prelude::{ParallelizeExt, Task, WorkerBuilder};
use cairn_core::clock::Clock;
use cairn_core::config::Config;
use cairn_core::db::{Db, lazy_pool};
use cairn_core::jobs::Queue;
use cairn_core::jobs::lease::{self, Lease};
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use crate::bells::Bells;
use crate::queue::{Desk, QueueBackend};
use crate::vitals::Vitals;
use crate::{Context, adapter, ops, schedule};

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
    let (leases, vitals) = prepare(config, &db, &shutdown)?;
    work_queues(config, db, leases, vitals, shutdown).await
}

/// The same, with health, metrics and the board served on `ops` until the last job is done.
pub async fn serve(config: &Config, db: Db, ops: TcpListener, shutdown: CancellationToken) -> cairn_core::Result<()> {
    let (leases, vitals) = prepare(config, &db, &shutdown)?;
    let drained = CancellationToken::new();
    let serving = tokio::spawn(ops::serve(ops, vitals.clone(), drained.clone()));
    work_queues(config, db, leases, vitals, shutdown).await?;
    drained.cancel();
    serving.await?.map_err(|error| cairn_core::Error::message(format!("the ops port: {error}")))
}

fn prepare(config: &Config, db: &Db, shutdown: &CancellationToken) -> cairn_core::Result<(PgPool, Arc<Vitals>)> {
    // Claims, acknowledgements and heartbeats have connections of their own: jobs that use up the pool cannot stop them.
    let leases = direct_pool(config, 6)?;
    let vitals = Arc::new(Vitals::new(config, db, &leases, shutdown.clone())?);
    Ok((leases, vitals))
}

fn direct_pool(config: &Config, connections: u32) -> cairn_core::Result<PgPool> {
    let url = config.require_direct_url().map_err(|error| cairn_core::Error::message(error.to_string()))?;
    lazy_pool(url.expose(), connections)
}

async fn work_queues(
    config: &Config,
    db: Db,
    leases: PgPool,
    vitals: Arc<Vitals>,
    shutdown: CancellationToken,
) -> cairn_core::Result<()> {
    let listening = direct_pool(config, 1)?;
    let bells = Bells::listen(listening.clone(), vitals.clone(), shutdown.clone());
    let context = Context::new(db.clone(), Clock::default());
    let names = Names::default();
    let boot = Ulid::generate();

    let mut queues = JoinSet::new();
    for queue in vitals.queues().cloned() {
        let (context, names, leases, bells) = (context.clone(), names.clone(), leases.clone(), bells.clone());
        let (vitals, shutdown) = (vitals.clone(), shutdown.clone());
        queues.spawn(async move {
            watch(queue.queue, boot, &leases, &names, &vitals, &shutdown, |worker| {
                let desk =
                    Desk::open(queue.clone(), worker.clone(), leases.clone(), bells.of(queue.queue), shutdown.clone());
                work(worker, desk, context.clone(), shutdown.clone())
            })
            .await;
        });
    }
    // Heartbeats go on while jobs drain.
    let heartbeats = CancellationToken::new();
    let beating = tokio::spawn(beat(leases.clone(), names.clone(), vitals, heartbeats.clone()));
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
    boot: Ulid,
    pool: &PgPool,
    names: &Names,
    vitals: &Vitals,
    shutdown: &CancellationToken,
    start: impl Fn(String) -> F,
) where
    F: Future<Output = Result<(), String>> + Send + 'static,
{
    for restart in 0.. {
        // A name is never used twice: whoever waits for the old one to fall silent must not be misled by the new.
        let worker = format!("{}-{boot}-{restart}", queue.name());
        // Jobs refer to the worker that holds them, so it is there before it claims any.
        while !beat_logged(pool, &[(worker.clone(), queue)], vitals).await {
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
        tracing::debug!(queue.name = queue.name(), worker.name = %worker, "a queue is worked");
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
                let begun = Instant::now();
                let (kind, outcome) = adapter::run(&context, desk.queue(), &task.args).await;
                desk.finish(&task.args, kind, outcome, begun.elapsed());
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
async fn beat(pool: PgPool, names: Names, vitals: Arc<Vitals>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let alive = names.lock().unwrap_or_else(PoisonError::into_inner).clone();
        beat_logged(&pool, &alive, &vitals).await;
        tokio::select! {
            () = tokio::time::sleep(HEARTBEAT) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Whether the heartbeat was stored.
async fn beat_logged(pool: &PgPool, alive: &[(String, Queue)], vitals: &Vitals) -> bool {
    match beat_once(pool, alive, vitals).await {
        Ok(0) => true,
        Ok(rescued) => {
            vitals.rescued(rescued);
            tracing::warn!(jobs.count = rescued, "took jobs from workers that were lost");
            true
        }
        Err(error) => {
            tracing::warn!(error = %error, "the heartbeat failed, trying again");
            false
        }
    }
}

async fn beat_once(pool: &PgPool, alive: &[(String, Queue)], vitals: &Vitals) -> cairn_core::Result<u64> {
    let mut connection = pool.acquire().await?;
    lease::heartbeat(&mut connection, alive).await?;
    vitals.beaten();
    lease::rescue(&mut connection, SILENCE).await
}
