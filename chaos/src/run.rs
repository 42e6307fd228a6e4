//! The run: load, blows, and the reckoning.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, ensure};
use cairn_core::admin::health;
use rand::SeedableRng;
use rand::rngs::StdRng;
use sqlx::PgPool;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::blow::{Blow, dealt};
use crate::count::{Report, count};
use crate::learner::Learner;
use crate::platform::Platform;
use crate::recovery;

/// Longest time until nothing is left to do after the load has ended.
const SETTLE: Duration = Duration::from_mins(1);

/// What is to be done.
pub struct Plan {
    /// Learners who act at once, without a pause.
    pub learners: usize,
    /// Load between the end of one blow and the next. Not a wait for anything: blows are to fall amid work.
    pub pause: Duration,
    /// Which blows.
    pub blows: Blows,
}

/// Which blows fall.
pub enum Blows {
    /// Each of these once, in order.
    Each(Vec<Blow>),
    /// As many as there is time for, in an order that the seed tells.
    For(Duration, u64),
}

impl Plan {
    /// Every blow once, under a light load.
    pub fn each_once() -> Self {
        Self { learners: 10, pause: Duration::from_millis(700), blows: Blows::Each(Blow::ALL.to_vec()) }
    }

    /// Blows by chance for so long.
    pub fn lasting(duration: Duration, seed: u64, learners: usize) -> Self {
        Self { learners, pause: Duration::from_millis(2200), blows: Blows::For(duration, seed) }
    }
}

/// How far a run is.
pub struct Progress<'a> {
    /// Since the load began.
    pub elapsed: Duration,
    /// The latest blow.
    pub blow: Blow,
    /// Actions accepted so far.
    pub accepted: &'a AtomicU64,
}

/// Carries out a plan and reports what it did to the platform. An error is a platform that broke down: a process that
/// ended by itself, a call that was answered with a 500 or not at all, work that is never finished. It names the folder
/// with the logs, which is kept then.
pub async fn run(plan: Plan, on_progress: impl Fn(Progress<'_>)) -> anyhow::Result<Report> {
    // Two providers are compiled in, so reqwest cannot choose one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let logs = tempfile::Builder::new().prefix("cairn-chaos-").tempdir()?;
    let result = run_with_logs(plan, on_progress, logs.path()).await;
    match result {
        Ok(report) if report.is_clean() => Ok(report),
        Ok(report) => {
            eprintln!("logs are in {}", logs.keep().display());
            Ok(report)
        }
        Err(error) => Err(error.context(format!("logs are in {}", logs.keep().display()))),
    }
}

async fn run_with_logs(
    plan: Plan,
    on_progress: impl Fn(Progress<'_>),
    logs: &std::path::Path,
) -> anyhow::Result<Report> {
    let mut platform = Platform::start(logs).await?;
    let (stop, accepted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?;
    let mut learners = JoinSet::new();
    for n in 0..plan.learners {
        let learner = Learner::new(n, platform.base_url(), client.clone(), accepted.clone());
        learners.spawn(learner.act_until(stop.clone()));
    }
    let (blow_times, times) = mpsc::unbounded_channel();
    let recoveries = tokio::spawn(recovery::measure(platform.pool().clone(), times));

    let mut report = Report::default();
    let begun = Instant::now();
    let (blows, limit): (Box<dyn Iterator<Item = Blow> + Send>, Duration) = match plan.blows {
        Blows::Each(blows) => (Box::new(blows.into_iter()), Duration::MAX),
        Blows::For(limit, seed) => (Box::new(dealt(StdRng::seed_from_u64(seed))), limit),
    };
    for blow in blows {
        tokio::time::sleep(plan.pause).await;
        if begun.elapsed() >= limit {
            break;
        }
        platform.thaw(false)?;
        blow_times.send(SystemTime::now())?;
        platform.strike(blow).await.with_context(|| blow.name())?;
        *report.blows.entry(blow).or_default() += 1;
        on_progress(Progress { elapsed: begun.elapsed(), blow, accepted: &accepted });
        // A learner that gave up has seen what must not be.
        if let Some(ended) = learners.try_join_next() {
            ended??;
        }
    }
    tokio::time::sleep(platform.frozen_for()).await;
    platform.thaw(true)?;
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut expected = Vec::new();
    while let Some(learner) = learners.join_next().await {
        expected.push(learner??);
    }
    report.settled_after = settle(platform.pool()).await?;
    drop(blow_times);
    report.recoveries = recoveries.await?;
    count(platform.pool(), &expected, &mut report).await?;
    platform.stop().await?;
    Ok(report)
}

/// Waits until nothing is left to do; nothing may be stuck.
async fn settle(pool: &PgPool) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    loop {
        let left = health::unsettled(&mut *pool.acquire().await?).await?;
        if left == 0 {
            return Ok(begun.elapsed());
        }
        ensure!(begun.elapsed() < SETTLE, "{left} jobs and markers are still not done");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
