//! The command behind `cargo xtask attack`.
//!
//! Starts a database and an API, and attacks it over loopback: from other addresses than its users have, and for a bounded
//! time. Meanwhile a learner reads, a known user signs in, and a probe asks the private port. An attack has failed, as it
//! should, if they notice little of it, and if the API keeps little for it.

mod attacks;
mod client;
mod guesses;
mod target;
mod watch;

use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use clap::Parser;

use crate::attacks::Attack;
use crate::target::Target;
use crate::watch::{Noticed, Watch};

/// Attack an API over loopback, and measure what its users notice.
#[derive(Parser)]
#[command(name = "cargo xtask attack")]
struct Args {
    /// Only attacks whose name contains this.
    name: Option<String>,
}

/// How long the API is watched without an attack.
const QUIET: Duration = Duration::from_secs(8);
/// How long the API is watched at least for each attack.
const LEAST: Duration = Duration::from_secs(4);
/// The most memory that the API may have at any time, in megabytes.
const MEMORY_LIMIT: u64 = 200;
/// Differences below this time are those of a machine that the attacker shares.
const SHARED_MACHINE: Duration = Duration::from_millis(50);

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cairn-attack: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> anyhow::Result<bool> {
    let logs = tempfile::tempdir()?;
    let mut target = Target::start(logs.path()).await?;
    let quiet = {
        let watch = Watch::start(&target).await?;
        tokio::time::sleep(QUIET).await;
        watch.stop().await?
    };
    println!("{:<22} {}", "", Noticed::HEADINGS);
    println!("{:<22} {quiet}", "quiet");
    let mut has_held = true;
    let chosen = attacks::ALL.iter().filter(|attack| args.name.as_ref().is_none_or(|name| attack.name.contains(name)));
    for (attack, number) in chosen.zip(1..) {
        // All of 127.0.0.0/8 is loopback. An address of its own: what the one before has used up is not there for the next.
        target.attacker = Ipv4Addr::new(127, 0, 1, number);
        let (watch, started) = (Watch::start(&target).await?, Instant::now());
        let outcome = tokio::task::block_in_place(|| run_aside(attack, &target));
        // What comes after a short one counts too, and a percentile needs its numbers.
        tokio::time::sleep(LEAST.saturating_sub(started.elapsed())).await;
        let noticed = watch.stop().await?;
        let mut faults = noticed.faults(&quiet, MEMORY_LIMIT, SHARED_MACHINE);
        let said = outcome.unwrap_or_else(|error| {
            faults.push(format!("{error:#}"));
            String::new()
        });
        println!("{:<22} {noticed}  {said}", attack.name);
        for fault in &faults {
            println!("{:<22} FAILED: {fault}", "");
        }
        has_held &= faults.is_empty();
    }
    if !has_held {
        println!("\nThe log of the API:\n{}", target.log()?);
    }
    target.stop().await?;
    Ok(has_held)
}

/// Runs an attack on threads of the lowest priority. Attackers have machines of their own: what theirs takes from the processors
/// of this one would be measured as if the API had lost it.
fn run_aside(attack: &Attack, target: &Target) -> anyhow::Result<String> {
    let attacker = || {
        // The threads that this one starts inherit it.
        rustix::process::nice(19)?;
        let attack = async { tokio::time::timeout(attacks::LIMIT, (attack.run)(target)).await };
        tokio::runtime::Runtime::new()?.block_on(attack).context("the attack did not end")?
    };
    let joined = std::thread::scope(|scope| scope.spawn(attacker).join());
    joined.map_err(|_| anyhow!("the attack panicked"))?
}
