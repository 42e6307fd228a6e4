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
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use crate::bells::Bells;
use crate::queue::{Desk, QueueBackend};
use crate::{Context, adapter, schedule};

/// How long running jobs may go on after the worker was told to stop. Longer than any job's deadline
/// ([`crate::adapter::perform`] checks it), so that who stops in order repeats nothing.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(25);

/// A worker that has not been heard of for so long is lost, and its jobs are taken from it. Heartbeats go on while jobs
/// drain, so this need not exceed [`DRAIN_LIMIT`].
const SILENCE: Duration = Duration::from_secs(15);

const HEARTBEAT: Duration = Duration::from_secs(3);

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
    let names = Names::default();
    let boot = Ulid::generate();

    let mut queues = JoinSet::new();
    for (queue, places, connections) in shares(&config.worker_queues, config.database_connections) {
        let context = Context::new(db.share(connections), Clock::default());
        let (names, leases, bells) = (names.clone(), leases.clone(), bells.clone());
        let shutdown = shutdown.clone();
        queues.spawn(async move {
            watch(queue, places, boot, &leases, &names, &shutdown, |worker| {
                let stop = shutdown.child_token();
                let desk = Desk::open(queue, worker.clone(), places, leases.clone(), bells.of(queue), stop.clone());
                work(worker, desk, context.clone(), stop)
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
        tracing::warn!("jobs are still running after the drain limit; other workers take them over");
        queues.abort_all();
    }
    heartbeats.cancel();
    let _ = beating.await;
    sign_off(&leases, &names).await;
    listening.close().await;
    leases.close().await;
    tracing::info!("the worker has stopped");
    Ok(())
}

/// What each queue gets of the connections for jobs, one at least: jobs of one queue that hold on to theirs, waiting for
/// a lock or a slow disk, leave those of the others alone. Queues that write in groups need few.
fn shares(queues: &[(Queue, usize)], connections: u32) -> impl Iterator<Item = (Queue, usize, u32)> {
    let weight = |queue: Queue| match queue {
        Queue::Activity | Queue::ProgressBulk | Queue::Maintenance => 1,
        Queue::Progress => 2,
        Queue::Replies => 3,
        Queue::Likes => 4,
    };
    let all: u32 = queues.iter().map(|&(queue, _)| weight(queue)).sum();
    queues.iter().map(move |&(queue, places)| (queue, places, (connections * weight(queue) / all).max(1)))
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
        while !beat_logged(pool, &[(worker.clone(), queue)], false).await {
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

/// The apalis worker of one queue, until `stop`. However it ends, its desk closes with it: nothing is claimed that nobody
/// would run.
async fn work(worker: String, desk: Arc<Desk>, context: Context, stop: CancellationToken) -> Result<(), String> {
    let _closes_desk = stop.clone().drop_guard();
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
    WorkerBuilder::new(&*worker)
        .backend(QueueBackend::new(desk))
        .parallelize(tokio::spawn)
        .build(service)
        .run_until(async move {
            stop.cancelled().await;
            Ok::<(), apalis::prelude::WorkerError>(())
        })
        .await
        .map_err(|error| error.to_string())
}

/// Says that this process is alive and takes the jobs of those that are not.
async fn beat(pool: PgPool, names: Names, stop: CancellationToken) {
    let mut last_beat: Option<Instant> = None;
    while !stop.is_cancelled() {
        let alive = names.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // After an outage, or a sleep of this process, everybody looks lost who has not come to beat again: they are
        // given the time.
        let awake = last_beat.is_some_and(|beat| beat.elapsed() < SILENCE / 2);
        last_beat = (beat_logged(&pool, &alive, awake).await).then(Instant::now);
        tokio::select! {
            () = tokio::time::sleep(HEARTBEAT) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Whether the heartbeat was stored.
async fn beat_logged(pool: &PgPool, alive: &[(String, Queue)], rescue: bool) -> bool {
    match beat_once(pool, alive, rescue).await {
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

async fn beat_once(pool: &PgPool, alive: &[(String, Queue)], rescue: bool) -> cairn_core::Result<u64> {
    let mut connection = pool.acquire().await?;
    lease::heartbeat(&mut connection, alive).await?;
    if rescue { lease::rescue(&mut connection, SILENCE).await } else { Ok(0) }
}

/// Gives up the names, so that what could not be handed back is taken over at once.
async fn sign_off(pool: &PgPool, names: &Names) {
    let names = names.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let result = async { lease::sign_off(&mut *pool.acquire().await?, &names).await };
    if let Err(error) = result.await {
        tracing::warn!(error = %error, "could not sign off; what is left here is taken over after a silence");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_queue_has_connections_of_its_own() {
        let all: Vec<(Queue, usize)> = Queue::ALL.into_iter().map(|queue| (queue, 1)).collect();
        let of = |queues: &[(Queue, usize)], connections| -> Vec<u32> {
            shares(queues, connections).map(|(_, _, share)| share).collect()
        };
        assert_eq!(of(&all, 12), [1, 2, 1, 4, 3, 1]);
        assert_eq!(of(&all, 24), [2, 4, 2, 8, 6, 2]);
        assert_eq!(of(&all, 4), [1, 1, 1, 1, 1, 1]);
        assert_eq!(of(&[(Queue::Replies, 8)], 12), [12]);
    }
}
