//! The command behind `cargo xtask model`: the whole check, which takes a minute or two.

use std::process::ExitCode;
use std::time::Instant;

use cairn_model::protocol::Protocol;
use cairn_model_check::invariants::check;

/// Two workers in every state, one worker with more claims and suspensions in every state, and two jobs as far as time allows.
const MODELS: [(Protocol, Option<usize>); 3] = [
    (WHOLE, None),
    (Protocol { workers: 1, max_claims: 4, max_freezes: 2, ..WHOLE }, None),
    (Protocol { jobs: 2, ..WHOLE }, Some(8_000_000)),
];

const WHOLE: Protocol = Protocol { workers: 2, jobs: 1, max_attempts: 2, max_claims: 2, max_freezes: 1, fault: None };

fn main() -> ExitCode {
    let mut is_right = true;
    for (protocol, limit) in MODELS {
        let began = Instant::now();
        let outcome = check(protocol, limit);
        let extent = if outcome.is_complete { "all" } else { "the first" };
        let seconds = began.elapsed().as_secs_f64();
        println!(
            "{} workers, {} jobs: {extent} {} states in {seconds:.0} s",
            protocol.workers, protocol.jobs, outcome.states
        );
        for (rule, steps) in &outcome.broken {
            is_right = false;
            println!("broken: {rule}, by {steps:?}");
        }
    }
    if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
