//! `cairn simulate`: simulates learners, mentors and admins who use a running platform through its HTTP API, then verifies
//! every derived value.

mod admin;
mod client;
mod learner;
mod mentor;
mod staff;
mod stats;

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::demo;
use cairn_core::admin::health;
use cairn_core::admin::verify::{Mode, verify};
use cairn_core::clock::new_id;
use cairn_core::config::Config;
use reqwest::Url;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::client::{Client, http_client};
use self::learner::Plan;
use self::staff::Host;
use self::stats::Stats;
use super::verify::show;
use crate::database::Database;
use crate::failure::Failure;
use crate::output::{print, print_line, progress_bar, report};

/// How long the queues may take to become empty.
const SETTLE_LIMIT: Duration = Duration::from_mins(1);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Number of learners.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    learners: u32,
    /// Number of mentors, who look after students and moderate projects.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=100))]
    mentors: u32,
    /// Number of admins, who edit content of their own beside each other.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=100))]
    admins: u32,
    /// Existing admin, who prepares the work of mentors and admins and removes it again.
    #[arg(long, default_value = demo::ACCOUNTS[0].0, value_name = "EMAIL")]
    admin_email: String,
    /// Password of that admin.
    #[arg(long, default_value = demo::PASSWORD, value_name = "PASSWORD", hide_default_value = true)]
    admin_password: String,
    /// Base URL of the API.
    #[arg(long, default_value = "http://127.0.0.1:8080", value_name = "URL")]
    url: Url,
    /// Invite that all learners register with. It must allow as many uses.
    #[arg(long, default_value = demo::INVITE_CODE, value_name = "CODE", allow_hyphen_values = true)]
    invite: String,
    /// Seed of an earlier run, to repeat its choices.
    #[arg(long)]
    seed: Option<u64>,
    /// Number of actions of each learner, mentor and admin.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    actions_per_learner: u32,
    /// How many learners are active at once.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    concurrency: u32,
    /// Mean pause of each between two actions, in milliseconds; 0 means as fast as the API answers.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(0..=60_000), value_name = "MS")]
    think_ms: u64,
    /// Allow an API on another machine.
    #[arg(long)]
    allow_remote: bool,
    /// Do not verify the database afterwards.
    #[arg(long)]
    no_verify: bool,
}

pub(crate) async fn run(config: &Config, data_dir: &Path, args: Args) -> Result<(), Failure> {
    if !args.allow_remote && !is_local(&args.url) {
        return Err(Failure::setup(format!(
            "{} is not on this machine: add --allow-remote to use it anyway",
            args.url
        )));
    }
    let seed = args.seed.unwrap_or_else(rand::random);
    report(&format!(
        "{} learners, {} mentors, {} admins, {} actions each, seed {seed}",
        args.learners, args.mentors, args.admins, args.actions_per_learner
    ));
    let domain = format!("{}.simulated.test", new_id().simple());
    let started = Instant::now();
    let mut roles = run_everybody(&args, seed, &domain).await?;
    let mut errors = 0;
    for (role, stats) in &mut roles {
        print_line(role)?;
        print(&stats.table(started.elapsed()))?;
        errors += stats.errors();
    }
    let verified = if args.no_verify { Ok(true) } else { settle_and_verify(config, data_dir, &domain).await };
    if errors > 0 {
        return Err(Failure::failed(format!("{errors} errors")));
    }
    if verified? { Ok(()) } else { Err(Failure::AlreadyReported) }
}

fn is_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The statistics of everybody of a role.
type RoleStats = (&'static str, Stats);

/// Runs learners, mentors and admins at once, and what comes before and after. A role that has nobody is left out.
async fn run_everybody(args: &Args, seed: u64, domain: &str) -> Result<Vec<RoleStats>, Failure> {
    if args.mentors + args.admins == 0 {
        return Ok(vec![("learners", run_learners(args, seed, domain).await?)]);
    }
    let (http, base) = (http_client()?, args.url.as_str().trim_end_matches('/').to_owned());
    let client = || Client::new(http.clone(), base.clone());
    let mut host = Host::sign_in(client(), &args.admin_email, &args.admin_password, domain).await?;
    let (mentors, admins) =
        (host.hire("mentor", args.mentors, client).await, host.hire("admin", args.admins, client).await);
    let world = host.prepare().await;
    let (mut mentoring, mut administration) = (JoinSet::new(), JoinSet::new());
    let think = Duration::from_millis(args.think_ms);
    let mut seeds = (0..).map(|number: u64| seed.wrapping_sub(1 + number));
    let mut plan = || staff::Plan::new(seeds.next().unwrap_or(seed), args.actions_per_learner, think);
    for client in mentors.into_iter().flatten() {
        let plan = plan();
        mentoring.spawn(async move { mentor::run(client, &plan).await });
    }
    for (client, world) in admins.into_iter().flatten().zip(std::iter::repeat(world.clone()).map_while(|world| world)) {
        let plan = plan();
        administration.spawn(async move { admin::run(client, world, &plan).await });
    }
    let learners = run_learners(args, seed, domain).await;
    let (mentors, admins) = (sum(mentoring).await, sum(administration).await);
    let host = host.clear_up(world).await;
    let mut roles = vec![("learners", learners?)];
    roles.extend((args.mentors > 0).then_some(("mentors", mentors?)));
    roles.extend((args.admins > 0).then_some(("admins", admins?)));
    roles.push(("preparing and clearing up", host));
    Ok(roles)
}

async fn sum(mut running: JoinSet<Stats>) -> Result<Stats, Failure> {
    let mut all = Stats::default();
    while let Some(stats) = running.join_next().await {
        all.add(stats.map_err(cairn_core::Error::from)?);
    }
    Ok(all)
}

/// Runs all learners, a limited number at once. Returns the sum of their statistics.
async fn run_learners(args: &Args, seed: u64, domain: &str) -> Result<Stats, Failure> {
    let http = http_client()?;
    let base = args.url.as_str().trim_end_matches('/').to_owned();
    let bar = progress_bar(u64::from(args.learners) * u64::from(args.actions_per_learner), "simulating");
    let slots = Arc::new(Semaphore::new(args.concurrency as usize));
    let mut learners = JoinSet::new();
    for number in 0..args.learners {
        let client = Client::new(http.clone(), base.clone());
        let plan = Plan {
            email: format!("learner-{number}@{domain}"),
            invite: args.invite.clone(),
            seed: seed.wrapping_add(u64::from(number)),
            actions: args.actions_per_learner,
            think: Duration::from_millis(args.think_ms),
        };
        let (slots, bar) = (Arc::clone(&slots), bar.clone());
        learners.spawn(async move {
            let _slot = slots.acquire_owned().await;
            learner::run(client, &plan, &|| bar.inc(1)).await
        });
    }
    let all = sum(learners).await;
    bar.finish_and_clear();
    all
}

/// Waits until all work is done, then verifies the whole database. Returns whether there are no differences.
async fn settle_and_verify(config: &Config, data_dir: &Path, domain: &str) -> Result<bool, Failure> {
    let database = Database::ready(config, data_dir).await?;
    let db = database.connect()?;
    let mut connection = db.acquire().await?;
    if health::accounts_at(&mut connection, domain).await? == 0 {
        return Err(Failure::setup(
            "no learner signed up in the configured database: set DATABASE_URL to the one of the API, or add --no-verify",
        ));
    }
    let started = Instant::now();
    while health::unsettled(&mut connection).await? > 0 {
        if started.elapsed() > SETTLE_LIMIT {
            report("the queues did not become empty: is a worker running?");
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    print_line(&format!("  {:<28} {:.1} s", "queues empty after", started.elapsed().as_secs_f64()))?;
    let verified = verify(db.pool(), Mode::Strict).await?;
    drop(connection);
    database.close().await?;
    show(&verified)?;
    Ok(verified.is_clean())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_local() {
        for (url, local) in [
            ("http://127.0.0.1:8080", true),
            ("http://localhost:8080", true),
            ("http://[::1]:8080", true),
            ("http://127.0.0.1.example.org", false),
            ("https://example.org", false),
            ("http://10.0.0.1", false),
            ("http://localhost.example.org", false),
        ] {
            assert_eq!(is_local(&url.parse().unwrap()), local, "{url}");
        }
    }
}
