//! The command behind `cargo xtask chaos`.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cairn_chaos::{People, Plan, run};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

/// Kill processes and restart the database under load, then count what was lost or duplicated.
#[derive(Parser)]
#[command(name = "cargo xtask chaos")]
struct Args {
    /// How long to inject faults, in minutes.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,
    /// Seconds without a new fault after each one. With fewer than a recovery takes, faults meet those who recover from others.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=600))]
    pause: u64,
    /// Seed of the order of the faults. The same seed gives the same order.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of concurrent learners, who act without pausing.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u16).range(1..=500))]
    learners: u16,
    /// Number of concurrent mentors, who decide about projects.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(0..=100))]
    mentors: u16,
    /// Number of concurrent editors, who change the course.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(0..=100))]
    editors: u16,
    /// Answers come from a provider that shows its faults at random, and other learners than those who act ask it.
    #[arg(long)]
    provider_faults: bool,
    /// Number of concurrent learners who ask, each of them three tools at once. Needs --provider-faults.
    #[arg(long, default_value_t = 12, requires = "provider_faults", value_parser = clap::value_parser!(u16).range(1..=500))]
    askers: u16,
    /// Longest time, in seconds, from a fault until everything accepted before it must have had its effect.
    #[arg(long, default_value_t = 60)]
    recovery_limit: u64,
}

/// The pause, in seconds, after which a fault has nothing to do with the one before: longer than any call takes to succeed.
const APART: u64 = 15;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let duration = Duration::from_secs(args.minutes * 60);
    let bar = ProgressBar::new(duration.as_secs());
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} s  {msg}") {
        bar.set_style(style);
    }
    let is_terminal = std::io::stderr().is_terminal();
    let people = People {
        learners: args.learners.into(),
        mentors: args.mentors.into(),
        editors: args.editors.into(),
        askers: if args.provider_faults { args.askers.into() } else { 0 },
    };
    let mut plan = Plan { pause: Duration::from_secs(args.pause), ..Plan::lasting(duration, args.seed, people) };
    if args.provider_faults {
        plan = plan.provider_faults(args.seed);
    }
    let result = run(plan, |progress| {
        let text = format!("{} accepted, {}", progress.accepted.load(Ordering::Relaxed), progress.fault.name());
        if is_terminal {
            bar.set_position(progress.elapsed.as_secs());
            bar.set_message(text);
        } else {
            eprintln!("{:>5} s  {text}", progress.elapsed.as_secs());
        }
    })
    .await;
    bar.finish_and_clear();
    let report = match result {
        Ok(report) => report,
        Err(error) => {
            eprintln!("chaos: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let _ = writeln!(std::io::stdout(), "{report}");
    let in_time = report.slowest_recovery() <= Duration::from_secs(args.recovery_limit);
    if !in_time {
        eprintln!("chaos: recovery took longer than {} s", args.recovery_limit);
    }
    // With less time between faults, what one of them causes would be blamed on the next.
    let are_apart = args.pause >= APART;
    for share in report.noticed().filter(|_| are_apart) {
        let (fault, left) = (share.fault.name(), share.sent - share.answered);
        eprintln!("chaos: {left} of {} requests were not answered at once after \"{fault}\"", share.sent);
    }
    if report.is_clean() && in_time && !(are_apart && report.noticed().next().is_some()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
