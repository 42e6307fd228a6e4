//! The process: one supervised apalis worker for each queue, and an orderly shutdown.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apalis::prelude::{ParallelizeExt, Task, WorkerBuilder};
use cairn_core::Error;
use cairn_core::admin::metrics::WatchedPool;
use cairn_core::config::{AiConfig, Config};
use cairn_core::db::{self, Db, Purpose, close, connect_options, lazy_pool, within};
use cairn_core::queue::Queue;
use cairn_core::queue::lease::{self, HEARTBEAT_TIMEOUT, Lease};
use cairn_core::tools::prices;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use crate::embeddings::Meaning;
use crate::health::WorkerHealth;
use crate::listener::JobListener;
use crate::mail_hook::MailHook;
use crate::providers::Provider;
use crate::queue::LEASE_LIMIT;
use crate::queue::{Completer, QueueBackend};
use crate::run::{DRAIN_LIMIT, purpose};
use crate::{Context, adapter, ops, queue, schedule};

/// How often a heartbeat is stored; well within [`HEARTBEAT_TIMEOUT`]. Heartbeats continue while jobs drain, so that
/// timeout need not exceed [`DRAIN_LIMIT`].
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(3);

/// How long deregistering may take. Without it, the jobs of this process are taken over after [`HEARTBEAT_TIMEOUT`].
const DEREGISTER_LIMIT: Duration = Duration::from_secs(3);

/// Pause before a queue's worker that ended unexpectedly is started again, and before a heartbeat that could not be stored is
/// tried again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// The names under which this process has leased jobs.
type Names = Arc<Mutex<Vec<(String, Queue)>>>;

/// Processes the configured queues until `shutdown`, then drains and returns. Database errors never end it.
pub async fn run(config: &Config, db: Db, shutdown: CancellationToken) -> cairn_core::Result<()> {
    Process::new(config, db, shutdown)?.run().await
}

/// Like [`run`], and serves health, metrics and the board on `ops` until the last job has ended.
pub async fn serve(config: &Config, db: Db, ops: TcpListener, shutdown: CancellationToken) -> cairn_core::Result<()> {
    let process = Process::new(config, db, shutdown)?;
    let drained = CancellationToken::new();
    let (ports, health, stop) = (config.ports.clone(), process.health.clone(), drained.clone());
    let serving = tokio::spawn(async move { ops::serve(ops, &ports, health, stop).await });
    process.run().await?;
    drained.cancel();
    serving.await?.map_err(|error| cairn_core::Error::message(format!("the ops port: {error}")))
}

/// The resources of one worker process.
struct Process {
    db: Db,
    /// Connections for claims, acknowledgements and heartbeats, which jobs cannot use up.
    leases: PgPool,
    /// Where the listener connects to.
    listening: PgConnectOptions,
    /// The connections that the jobs of each queue may use.
    shares: Vec<(Queue, Db)>,
    health: Arc<WorkerHealth>,
    provider: Arc<Provider>,
    meaning: Option<Arc<Meaning>>,
    mail: Option<Arc<MailHook>>,
    shutdown: CancellationToken,
}

impl Process {
    fn new(config: &Config, db: Db, shutdown: CancellationToken) -> cairn_core::Result<Self> {
        let url = config.require_direct_url().map_err(|error| cairn_core::Error::message(error.to_string()))?;
        let leases = lazy_pool(url.expose(), 6, Purpose::Leases)?;
        let shares: Vec<(Queue, Db)> = shares(&config.worker_queues, config.database_connections)
            .map(|(queue, connections)| (queue, db.share(connections).for_purpose(purpose(queue))))
            .collect();
        let mut pools: Vec<WatchedPool> = shares.iter().map(|(queue, db)| WatchedPool::of(queue.name(), db)).collect();
        pools.push(WatchedPool { name: "leases", pool: leases.clone(), waits: None });
        let health = Arc::new(WorkerHealth::new(config, &leases, pools, shutdown.clone())?);
        let listening = connect_options(url.expose())?;
        let provider = Arc::new(Provider::from_config(config)?);
        tracing::info!(ai.provider = provider.name(), "this provider generates replies");
        // Workers of other queues may be configured without a provider.
        let publishes = shares.iter().any(|(queue, _)| *queue == Queue::Replies);
        if publishes {
            tokio::spawn(publish_prices(db.clone(), config.ai.clone(), shutdown.clone()));
        }
        let registry = health.registry();
        let meaning = config.embeddings.as_ref().map(|embeddings| Meaning::new(embeddings, registry));
        let meaning = meaning.transpose()?.map(Arc::new);
        let mail = config.mail.as_ref().map(MailHook::new).transpose()?.map(Arc::new);
        Ok(Self { db, leases, listening, shares, health, provider, meaning, mail, shutdown })
    }

    /// Runs until told to stop, then drains.
    async fn run(self) -> cairn_core::Result<()> {
        let Self { db, leases, listening, shares, health, provider, meaning, mail, shutdown } = self;
        let listener = JobListener::start(listening, health.clone(), shutdown.clone());
        let names = Names::default();
        let boot = Ulid::generate();

        let mut queues = JoinSet::new();
        for (queue, (_, db)) in health.queues().cloned().zip(&shares) {
            let context = Context::new(db.clone()).with_mail(mail.clone()).counting(health.postponed());
            let context = context.with_meaning(meaning.clone()).with_replies(
                provider.clone(),
                health.replies.clone(),
                shutdown.clone(),
            );
            let (names, leases, listener) = (names.clone(), leases.clone(), listener.clone());
            let (health, shutdown) = (health.clone(), shutdown.clone());
            queues.spawn(async move {
                supervise(queue.queue, boot, &leases, &names, &health, &shutdown, |worker| {
                    let stop = shutdown.child_token();
                    let wake = listener.subscribe(queue.queue);
                    let (backend, completer) =
                        queue::open(queue.clone(), worker.clone(), leases.clone(), wake, stop.clone());
                    run_queue(worker, queue.queue, backend, completer, context.clone(), stop)
                })
                .await;
            });
        }
        // Heartbeats continue while jobs drain.
        let heartbeats = CancellationToken::new();
        let heartbeat = tokio::spawn(send_heartbeats(leases.clone(), names.clone(), health, heartbeats.clone()));
        if shares.iter().any(|(queue, _)| *queue == Queue::Maintenance) {
            tokio::spawn(schedule::run(db, meaning.is_some(), shutdown.clone()));
        }
        tracing::info!(worker.boot = %boot, queues = shares.len(), "the worker is running");

        shutdown.cancelled().await;
        let drained = tokio::time::timeout(DRAIN_LIMIT, async { while queues.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            tracing::warn!("jobs are still running at the drain limit; other workers will take them over");
            queues.abort_all();
        }
        heartbeats.cancel();
        let _ = heartbeat.await;
        deregister(&leases, &names).await;
        close(&leases).await;
        tracing::info!("the worker has stopped");
        Ok(())
    }
}

/// Divides the connections for jobs among the queues, at least one each, so that jobs of one queue that wait for a lock or
/// a slow disk leave the connections of the other queues alone. Queues that write in batches need few.
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

/// Stores what the models cost, as soon as the database answers.
async fn publish_prices(db: Db, ai: Option<AiConfig>, stop: CancellationToken) {
    let limit = Purpose::Requests.limits().hold;
    let publish = async || prices::publish(&mut *db.acquire().await?, ai.as_ref()).await;
    while let Some(Err(error)) = stop.run_until_cancelled(within(limit, publish())).await {
        tracing::warn!(error = %error, "cannot store the prices of models; trying again");
        stop.run_until_cancelled(tokio::time::sleep(HEARTBEAT_INTERVAL)).await;
    }
}

/// Runs a queue's worker. If it ends unexpectedly, starts another one under a new name.
async fn supervise<F>(
    queue: Queue,
    boot: Ulid,
    pool: &PgPool,
    names: &Names,
    health: &WorkerHealth,
    shutdown: &CancellationToken,
    start: impl Fn(String) -> F,
) where
    F: Future<Output = Result<(), String>> + Send + 'static,
{
    for restart in 0.. {
        // A name is never used twice. Otherwise the heartbeats of the new worker would keep alive the leases of the old one.
        let worker = format!("{}-{boot}-{restart}", queue.name());
        // Jobs refer to the worker that leases them, so it must be registered before it claims any.
        while !try_heartbeat(pool, &[(worker.clone(), queue)], health, false).await {
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
        tracing::debug!(queue.name = queue.name(), worker.name = %worker, "processing a queue");
        // In a task of its own, so that a panic in the worker's loop does not end the supervision.
        let ended = tokio::spawn(start(worker.clone())).await;
        if shutdown.is_cancelled() {
            return;
        }
        tracing::warn!(queue.name = queue.name(), worker.name = %worker, result = ?ended, "a queue's worker ended unexpectedly; starting another one");
        tokio::time::sleep(RESTART_PAUSE).await;
    }
}

/// Runs the apalis worker of one queue until `stop`. However it ends, claiming ends with it, so that no job is claimed
/// that nothing would run.
async fn run_queue(
    worker: String,
    queue: Queue,
    backend: QueueBackend,
    completer: Completer,
    context: Context,
    stop: CancellationToken,
) -> Result<(), String> {
    let _stop_claiming = stop.clone().drop_guard();
    let service = tower::service_fn(move |task: Task<Lease>| {
        let (completer, context) = (completer.clone(), context.clone());
        async move {
            let started = Instant::now();
            let (kind, outcome) = adapter::run(&context, queue, &task.args).await;
            completer.complete(&task.args, kind, outcome, started.elapsed());
            Ok::<(), Infallible>(())
        }
    });
    WorkerBuilder::new(&*worker)
        .backend(backend)
        .parallelize(tokio::spawn)
        .build(service)
        .run_until(async move {
            stop.cancelled().await;
            Ok::<(), apalis::prelude::WorkerError>(())
        })
        .await
        .map_err(|error| error.to_string())
}

/// Stores heartbeats, and takes over the jobs of workers that stopped sending theirs.
async fn send_heartbeats(pool: PgPool, names: Names, health: Arc<WorkerHealth>, stop: CancellationToken) {
    let mut last_heartbeat: Option<Instant> = None;
    while !stop.is_cancelled() {
        let alive = names.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // After an outage, or after this process was suspended, all workers look lost until they have sent their next
        // heartbeat, so they are given the time to do so.
        let rescue = last_heartbeat.is_some_and(|at| at.elapsed() < HEARTBEAT_TIMEOUT / 2);
        let beat = try_heartbeat(&pool, &alive, &health, rescue);
        let Some(is_stored) = stop.run_until_cancelled(beat).await else { return };
        last_heartbeat = is_stored.then(Instant::now);
        let pause = if is_stored { HEARTBEAT_INTERVAL } else { RESTART_PAUSE };
        stop.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
}

/// Stores a heartbeat, and takes over the jobs of lost workers if `rescue`. Logs failures, and returns whether the
/// heartbeat was stored.
async fn try_heartbeat(pool: &PgPool, alive: &[(String, Queue)], health: &WorkerHealth, rescue: bool) -> bool {
    match within(LEASE_LIMIT, heartbeat(pool, alive, health, rescue)).await {
        Ok(0) => true,
        Ok(rescued) => {
            health.record_rescued(rescued);
            tracing::warn!(jobs.count = rescued, "took over the jobs of lost workers");
            true
        }
        Err(error) => {
            tracing::warn!(error = %error, "cannot store a heartbeat; trying again");
            false
        }
    }
}

async fn heartbeat(
    pool: &PgPool,
    alive: &[(String, Queue)],
    health: &WorkerHealth,
    rescue: bool,
) -> cairn_core::Result<u64> {
    let mut connection = db::acquire(pool).await?;
    lease::heartbeat(&mut connection, alive).await?;
    health.record_heartbeat();
    if rescue { lease::rescue(&mut connection, HEARTBEAT_TIMEOUT).await } else { Ok(0) }
}

/// Deregisters this process's workers, so that jobs that could not be released are taken over at once.
async fn deregister(pool: &PgPool, names: &Names) {
    let names = names.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let result = async { lease::deregister(&mut *db::acquire(pool).await?, &names).await };
    let result = tokio::time::timeout(DEREGISTER_LIMIT, result).await;
    let result = result.unwrap_or_else(|_| Err(Error::too_slow("deregistering", DEREGISTER_LIMIT)));
    if let Err(error) = result {
        tracing::warn!(error = %error, "could not deregister; jobs that are left here are taken over after the heartbeat timeout");
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
