//! `cairn simulate`: learners use a running platform, through its HTTP API only; then everything derived is checked.

mod client;
mod learner;
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
use self::learner::{Plan, live};
use self::stats::Stats;
use super::verify::show;
use crate::database::Database;
use crate::failure::Failure;
use crate::output::{print, print_line, progress_bar, tell};

/// How long the queues may take to run empty.
const SETTLE_LIMIT: Duration = Duration::from_mins(1);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many learners.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    learners: u32,
    /// Where the API is.
    #[arg(long, default_value = "http://127.0.0.1:8080", value_name = "URL")]
    url: Url,
    /// An invite that they all register with; it must have as many uses.
    #[arg(long, default_value = demo::INVITE_CODE, value_name = "CODE")]
    invite: String,
    /// Repeats the choices of an earlier run.
    #[arg(long)]
    seed: Option<u64>,
    /// What each learner does after signing up.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    actions_per_learner: u32,
    /// How many learners act at once.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    concurrency: u32,
    /// Mean pause of a learner between two actions, in milliseconds; 0 = as fast as the API answers.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(0..=60_000), value_name = "MS")]
    think_ms: u64,
    /// Also use an API on another machine.
    #[arg(long)]
    allow_remote: bool,
    /// Do not look into the database afterwards.
    #[arg(long)]
    no_verify: bool,
}

pub(crate) async fn run(config: &Config, data_dir: &Path, args: Args) -> Result<(), Failure> {
    if !args.allow_remote && !is_local(&args.url) {
        return Err(Failure::setup(format!("{} is another machine: give --allow-remote if you mean it", args.url)));
    }
    let seed = args.seed.unwrap_or_else(rand::random);
    tell(&format!("{} learners, {} actions each, seed {seed}", args.learners, args.actions_per_learner));
    let domain = format!("{}.simulated.test", new_id().simple());
    let begun = Instant::now();
    let mut stats = act(&args, seed, &domain).await?;
    print(&stats.table(begun.elapsed()))?;
    let verified = if args.no_verify { Ok(true) } else { settle_and_verify(config, data_dir, &domain).await };
    if stats.errors() > 0 {
        return Err(Failure::failed(format!("{} errors", stats.errors())));
    }
    if verified? { Ok(()) } else { Err(Failure::Told) }
}

fn is_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Lets all learners live, so many at once; gives the sum of what happened.
async fn act(args: &Args, seed: u64, domain: &str) -> Result<Stats, Failure> {
    let http = http_client()?;
    let base = args.url.as_str().trim_end_matches('/').to_owned();
    let bar = progress_bar(u64::from(args.learners) * u64::from(args.actions_per_learner), "acting");
    let places = Arc::new(Semaphore::new(args.concurrency as usize));
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
        let (places, bar) = (Arc::clone(&places), bar.clone());
        learners.spawn(async move {
            let _place = places.acquire_owned().await;
            live(client, &plan, &|| bar.inc(1)).await
        });
    }
    let mut all = Stats::default();
    while let Some(stats) = learners.join_next().await {
        all.add(stats.map_err(cairn_core::Error::from)?);
    }
    bar.finish_and_clear();
    Ok(all)
}

/// Waits until nothing is under way, then checks the whole database. Tells whether it is in order.
async fn settle_and_verify(config: &Config, data_dir: &Path, domain: &str) -> Result<bool, Failure> {
    let database = Database::ready(config, data_dir).await?;
    let db = database.connect()?;
    let mut connection = db.pool().acquire().await.map_err(cairn_core::Error::from)?;
    if health::accounts_at(&mut connection, domain).await? == 0 {
        return Err(Failure::setup(
            "nobody signed up in the database of this configuration: set DATABASE_URL to the API's, or give --no-verify",
        ));
    }
    let begun = Instant::now();
    while health::unsettled(&mut connection).await? > 0 {
        if begun.elapsed() > SETTLE_LIMIT {
            tell("the queues did not run empty; is a worker running?");
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    print_line(&format!("  {:<28} {:.1} s", "queues empty after", begun.elapsed().as_secs_f64()))?;
    let report = verify(db.pool(), Mode::Strict).await?;
    drop(connection);
    database.close().await?;
    show(&report)?;
    Ok(report.is_clean())
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
