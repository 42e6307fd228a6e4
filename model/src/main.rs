//! The command behind `cargo xtask model`: the whole check, which takes a minute or two.

use std::process::ExitCode;
use std::time::Instant;

use cairn_model::invariants::check;
use cairn_model::protocol::{Fault, Protocol};

fn main() -> ExitCode {
    let protocol = Protocol { workers: 2, jobs: 2, max_attempts: 2, max_claims: 3, max_freezes: 1, fault: None };
    let began = Instant::now();
    let outcome = check(protocol, Some(12_000_000));
    let extent = if outcome.is_complete { "all that can be reached" } else { "breadth first" };
    println!("{} states, {extent}, in {:.0} s", outcome.states, began.elapsed().as_secs_f64());
    let mut is_right = outcome.broken.is_empty();
    for (rule, steps) in &outcome.broken {
        println!("broken: {rule}, by {steps:?}");
    }
    for fault in Fault::ALL {
        let protocol = Protocol { jobs: 1, max_claims: 4, fault: Some(fault), ..protocol };
        let outcome = check(protocol, None);
        match outcome.broken.first() {
            Some((rule, steps)) => println!("{fault:?}: not \"{rule}\", after {} steps", steps.len()),
            None => {
                is_right = false;
                println!("{fault:?}: not caught in {} states", outcome.states);
            }
        }
    }
    if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
