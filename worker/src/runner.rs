//! The process: one apalis worker for each queue, watched over, and an orderly end.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apalis::prelude::{ParallelizeExt, Task, WorkerBuilder};
use cairn_core::config::Config;
use cairn_core::db::{Db, lazy_pool};
use cairn_core::queue::Queue;
use cairn_core::queue::lease::{self, Lease, SILENCE};
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use crate::bells::Bells;
use crate::providers::Provider;
use crate::queue::{Desk, QueueBackend};
use crate::vitals::Vitals;
use crate::{Context, adapter, ops, schedule};

/// How long running jobs may go on after the worker was told to stop. Longer than any job's deadline
/// (`adapter::perform` checks it), so that who stops in order repeats nothing.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(25);

/// Well within [`SILENCE`]. Heartbeats go on while jobs drain, so that need not exceed [`DRAIN_LIMIT`].
const HEARTBEAT: Duration = Duration::from_secs(3);

/// Pause before a queue's worker that ended by itself is started again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// The names under which this process holds jobs.
type Names = Arc<Mutex<Vec<(String, Queue)>>>;

/// Works the configured queues until `shutdown`, then drains and returns. Database errors never end it.
pub async fn run(config: &Config, db: Db, shutdown: CancellationToken) -> cairn_core::Result<()> {
    Process::new(config, db, shutdown)?.work().await
}

/// The same, with health, metrics and the board served on `ops` until the last job is done.
pub async fn serve(config: &Config, db: Db, ops: TcpListener, shutdown: CancellationToken) -> cairn_core::Result<()> {
    let process = Process::new(config, db, shutdown)?;
    let drained = CancellationToken::new();
    let serving = tokio::spawn(ops::serve(ops, process.vitals.clone(), drained.clone()));
    process.work().await?;
    drained.cancel();
    serving.await?.map_err(|error| cairn_core::Error::message(format!("the ops port: {error}")))
}

/// What one process works with.
struct Process {
    db: Db,
    /// Claims, acknowledgements and heartbeats have connections of their own: jobs that use up theirs cannot stop them.
    leases: PgPool,
    listening: PgPool,
    /// Each queue's own connections for its jobs.
    shares: Vec<(Queue, Db)>,
    vitals: Arc<Vitals>,
    provider: Arc<Provider>,
    shutdown: CancellationToken,
}

impl Process {
    fn new(config: &Config, db: Db, shutdown: CancellationToken) -> cairn_core::Result<Self> {
        let url = config.require_direct_url().map_err(|error| cairn_core::Error::message(error.to_string()))?;
        let leases = lazy_pool(url.expose(), 6)?;
        let shares: Vec<(Queue, Db)> = shares(&config.worker_queues, config.database_connections)
            .map(|(queue, connections)| (queue, db.share(connections)))
            .collect();
        let mut pools: Vec<(&'static str, PgPool)> =
            shares.iter().map(|(queue, db)| (queue.name(), db.pool().clone())).collect();
        pools.push(("leases", leases.clone()));
        let vitals = Arc::new(Vitals::new(config, &leases, pools, shutdown.clone())?);
        let listening = lazy_pool(url.expose(), 1)?;
        let provider = Arc::new(Provider::from_config(config)?);
        tracing::info!(ai.provider = provider.name(), "replies are written by this provider");
        Ok(Self { db, leases, listening, shares, vitals, provider, shutdown })
    }

    /// Works until told to stop, then drains.
    async fn work(self) -> cairn_core::Result<()> {
        let Self { db, leases, listening, shares, vitals, provider, shutdown } = self;
        let bells = Bells::listen(listening.clone(), vitals.clone(), shutdown.clone());
        let names = Names::default();
        let boot = Ulid::generate();

        let mut queues = JoinSet::new();
        for (queue, (_, db)) in vitals.queues().cloned().zip(&shares) {
            let context = Context::new(db.clone());
            let context = context.answering(provider.clone(), vitals.replies.clone(), shutdown.clone());
            let (names, leases, bells) = (names.clone(), leases.clone(), bells.clone());
            let (vitals, shutdown) = (vitals.clone(), shutdown.clone());
            queues.spawn(async move {
                watch(queue.queue, boot, &leases, &names, &vitals, &shutdown, |worker| {
                    let stop = shutdown.child_token();
                    let bell = bells.of(queue.queue);
                    let desk = Desk::open(queue.clone(), worker.clone(), leases.clone(), bell, stop.clone());
                    work(worker, desk, context.clone(), stop)
                })
                .await;
            });
        }
        // Heartbeats go on while jobs drain.
        let heartbeats = CancellationToken::new();
        let beating = tokio::spawn(beat(leases.clone(), names.clone(), vitals, heartbeats.clone()));
        if shares.iter().any(|(queue, _)| *queue == Queue::Maintenance) {
            tokio::spawn(schedule::run(db, shutdown.clone()));
        }
        tracing::info!(worker.boot = %boot, queues = shares.len(), "the worker is running");

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
}

/// What each queue gets of the connections for jobs, one at least: jobs of one queue that hold on to theirs, waiting for
/// a lock or a slow disk, leave those of the others alone. Queues that write in groups need few.
fn shares(queues: &[(Queue, usize)], connections: u32) -> impl Iterator<Item = (Queue, u32)> {
    let weight = |queue: Queue| match queue {
        Queue::Activity | Queue::ProgressBulk | Queue::Maintenance => 1,
        Queue::Progress => 2,
        Queue::Replies => 3,
        Queue::Likes => 4,
    };
    let all: u32 = queues.iter().map(|&(queue, _)| weight(queue)).sum();
    queues.iter().map(move |&(queue, _)| (queue, (connections * weight(queue) / all).max(1)))
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
        while !beat_logged(pool, &[(worker.clone(), queue)], vitals, false).await {
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

/// The apalis worker of one queue, until `stop`. However it ends, its desk closes with it: nothing is claimed that nobody
/// would run.
async fn work(worker: String, desk: Arc<Desk>, context: Context, stop: CancellationToken) -> Result<(), String> {
    let _closes_desk = stop.clone().drop_guard();
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
async fn beat(pool: PgPool, names: Names, vitals: Arc<Vitals>, stop: CancellationToken) {
    let mut last_beat: Option<Instant> = None;
    while !stop.is_cancelled() {
        let alive = names.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // After an outage, or a sleep of this process, everybody looks lost who has not come to beat again: they are
        // given the time.
        let awake = last_beat.is_some_and(|beat| beat.elapsed() < SILENCE / 2);
        last_beat = (beat_logged(&pool, &alive, &vitals, awake).await).then(Instant::now);
        tokio::select! {
            () = tokio::time::sleep(HEARTBEAT) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Whether the heartbeat was stored.
async fn beat_logged(pool: &PgPool, alive: &[(String, Queue)], vitals: &Vitals, rescue: bool) -> bool {
    match beat_once(pool, alive, vitals, rescue).await {
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

async fn beat_once(pool: &PgPool, alive: &[(String, Queue)], vitals: &Vitals, rescue: bool) -> cairn_core::Result<u64> {
    let mut connection = pool.acquire().await?;
    lease::heartbeat(&mut connection, alive).await?;
    vitals.beaten();
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
            shares(queues, connections).map(|(_, share)| share).collect()
        };
        assert_eq!(of(&all, 12), [1, 2, 1, 4, 3, 1]);
        assert_eq!(of(&all, 24), [2, 4, 2, 8, 6, 2]);
        assert_eq!(of(&all, 4), [1, 1, 1, 1, 1, 1]);
        assert_eq!(of(&[(Queue::Replies, 8)], 12), [12]);
    }
}
