//! A run: load, faults, and the comparison at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, ensure};
use cairn_core::admin::health;
use rand::SeedableRng;
use rand::rngs::StdRng;
use sqlx::PgPool;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::answers::Answers;
use crate::count::{Report, count};
use crate::expected::Expected;
use crate::fault::{Fault, shuffled_faults};
use crate::platform::Platform;
use crate::provider::Provider;
use crate::session::Entrance;
use crate::{asker, editor, learner, mentor, recovery, replies, trace};

/// How long it may take after the load has ended until all work is done.
const SETTLE_TIMEOUT: Duration = Duration::from_mins(1);

/// The same if the provider has shown faults, after which replies wait before they are tried again.
const SETTLE_TIMEOUT_OF_REPLIES: Duration = Duration::from_mins(3);

/// How long the actions between two faults may take.
const LOAD_TIMEOUT: Duration = Duration::from_mins(2);

/// What a run does.
pub struct Plan {
    /// Who acts.
    pub people: People,
    /// How long only the load runs between two faults, so that faults are injected in the middle of work.
    pub pause: Duration,
    /// How many actions are accepted between two faults at least, so that a slow machine has its load as well.
    pub actions: u64,
    /// Which faults are injected.
    pub faults: Schedule,
    /// The seed of the provider's faults; `None` for the built-in provider, which has none. Only [`People::askers`] ask it.
    pub provider: Option<u64>,
}

/// How many people act at once.
#[derive(Clone, Copy, Debug)]
pub struct People {
    /// Learners who act without pausing. One in six of them checks tasks, and the others complete lessons.
    pub learners: usize,
    /// Mentors, who decide about projects.
    pub mentors: usize,
    /// Admins, who edit the course.
    pub editors: usize,
    /// Learners who ask all tools, one question after the other. They need a provider.
    pub askers: usize,
}

/// Which faults are injected.
pub enum Schedule {
    /// Each of these once, in order.
    Each(Vec<Fault>),
    /// As many as there is time for, in an order that depends on the seed.
    For(Duration, u64),
}

impl Plan {
    /// Injects every fault once, under a light load.
    pub fn each_once() -> Self {
        let people = People { learners: 10, mentors: 2, editors: 2, askers: 0 };
        let faults = Schedule::Each(Fault::ALL.to_vec());
        Self { people, pause: Duration::from_millis(700), actions: 30, faults, provider: None }
    }

    /// Injects random faults for this long.
    pub fn lasting(duration: Duration, seed: u64, people: People) -> Self {
        let faults = Schedule::For(duration, seed);
        Self { people, pause: Duration::from_millis(2200), actions: 0, faults, provider: None }
    }

    /// The same with a provider that shows its faults at random, by this seed.
    #[must_use]
    pub fn provider_faults(self, seed: u64) -> Self {
        Self { provider: Some(seed), ..self }
    }
}

/// The progress of a run.
pub struct Progress<'a> {
    /// The time since the load began.
    pub elapsed: Duration,
    /// The latest fault.
    pub fault: Fault,
    /// Actions accepted so far.
    pub accepted: &'a AtomicU64,
}

/// Executes a plan and reports the result. An error means that the platform failed: a process ended by itself, a call was
/// answered with a 500 or not at all, or work was never finished. The error names the folder with the logs, which is kept.
pub async fn run(plan: Plan, on_progress: impl Fn(Progress<'_>)) -> anyhow::Result<Report> {
    // Two TLS providers are compiled in, so one has to be selected for reqwest.
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
    let mut provider = match plan.provider {
        Some(seed) => Some(Provider::start(seed).await?),
        None => None,
    };
    let mut platform = Platform::start(logs, provider.as_ref()).await?;
    if let (Some(provider), Some(seed)) = (&mut provider, plan.provider) {
        provider.disturb(platform.owner_pool()?, seed);
    }
    let (stop, accepted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?;
    let answers = Arc::new(Answers::default());
    let refused = Arc::default();
    let (base, accepted_too) = (platform.base_url(), Arc::clone(&accepted));
    let entrance = Entrance { base, client, accepted: accepted_too, answers: answers.clone(), refused };
    let mut people = start(plan.people, &platform, &entrance, &stop);
    let (fault_times, times) = mpsc::unbounded_channel();
    // How long a reply waits for its next attempt is up to the provider.
    let besides: &[&str] = if provider.is_some() { &["maintenance", "replies"] } else { &["maintenance"] };
    let recoveries = tokio::spawn(recovery::measure(platform.pool().clone(), besides, times));

    let mut report = Report::default();
    let started = Instant::now();
    let (faults, limit): (Box<dyn Iterator<Item = Fault> + Send>, Duration) = match plan.faults {
        Schedule::Each(faults) => (Box::new(faults.into_iter()), Duration::MAX),
        Schedule::For(limit, seed) => (Box::new(shuffled_faults(StdRng::seed_from_u64(seed))), limit),
    };
    for fault in faults {
        let enough = accepted.load(Ordering::Relaxed) + plan.actions;
        tokio::time::sleep(plan.pause).await;
        wait_for_actions(&accepted, enough).await?;
        if started.elapsed() >= limit {
            break;
        }
        platform.resume_frozen(false)?;
        fault_times.send((SystemTime::now(), fault))?;
        answers.begin(fault);
        platform.inject(fault).await.with_context(|| fault.name())?;
        *report.faults.entry(fault).or_default() += 1;
        on_progress(Progress { elapsed: started.elapsed(), fault, accepted: &accepted });
        // Somebody ends early only because the platform failed.
        if let Some(ended) = people.try_join_next() {
            ended??;
        }
    }
    tokio::time::sleep(platform.frozen_for()).await;
    platform.resume_frozen(true)?;
    stop.store(true, Ordering::Relaxed);
    if let Some(provider) = &provider {
        provider.calm();
    }
    let mut expected = Vec::new();
    while let Some(person) = people.join_next().await {
        expected.extend(person??);
    }
    (report.answers, report.longest_call) = (answers.shares(), answers.longest());
    let timeout = if provider.is_some() { SETTLE_TIMEOUT_OF_REPLIES } else { SETTLE_TIMEOUT };
    report.settled_after = wait_until_idle(platform.pool(), timeout).await?;
    drop(fault_times);
    report.recoveries = recoveries.await?;
    count(platform.pool(), &expected, &mut report).await?;
    match &provider {
        Some(provider) => {
            let refused = entrance.refused.load(Ordering::Relaxed);
            let (replies, wrong) = replies::check(platform.pool(), provider.stub(), &expected, refused).await?;
            report.wrong.extend(wrong);
            report.replies = Some(replies);
        }
        None => report.wrong.extend(replies::check_completed(platform.pool()).await?),
    }
    trace::check(&platform.owner_pool()?, &mut report).await?;
    platform.stop().await?;
    Ok(report)
}

/// Lets everybody begin.
fn start(
    people: People,
    platform: &Platform,
    entrance: &Entrance,
    stop: &Arc<AtomicBool>,
) -> JoinSet<anyhow::Result<Vec<Expected>>> {
    let mut running = JoinSet::new();
    for n in 0..people.learners {
        let (entrance, world, stop) = (entrance.clone(), platform.world(), Arc::clone(stop));
        if n % 6 == 5 {
            running.spawn(async move { Ok(vec![learner::check_tasks(n, entrance, world, stop).await?]) });
        } else {
            let asks = people.askers == 0;
            running.spawn(async move { Ok(vec![learner::learn(n, entrance, world, stop, asks).await?]) });
        }
    }
    for n in 0..people.mentors {
        let (entrance, world, stop) = (entrance.clone(), platform.world(), Arc::clone(stop));
        running.spawn(async move { Ok(vec![mentor::moderate(n, entrance, world, stop).await?]) });
    }
    for n in 0..people.editors {
        let (entrance, world, stop) = (entrance.clone(), platform.world(), Arc::clone(stop));
        running.spawn(async move { Ok(vec![editor::edit(n, entrance, world, stop).await?]) });
    }
    for n in 0..people.askers {
        running.spawn(asker::ask(n, entrance.clone(), Arc::clone(stop)));
    }
    running
}

/// Waits until so many actions have been accepted in all. Fails if the load does not come about.
async fn wait_for_actions(accepted: &AtomicU64, enough: u64) -> anyhow::Result<()> {
    let started = Instant::now();
    while accepted.load(Ordering::Relaxed) < enough {
        ensure!(started.elapsed() < LOAD_TIMEOUT, "the load came to a standstill");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Waits until all work is done. Fails if any of it is stuck.
async fn wait_until_idle(pool: &PgPool, timeout: Duration) -> anyhow::Result<Duration> {
    let started = Instant::now();
    loop {
        let left = health::unsettled(&mut *pool.acquire().await?).await?;
        if left == 0 {
            return Ok(started.elapsed());
        }
        ensure!(started.elapsed() < timeout, "{left} jobs and markers are still not done");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
