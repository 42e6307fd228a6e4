//! Failpoints: places in the code where crash tests kill the process.
//!
//! `CAIRN_TEST_FAILPOINTS=after_claim:0.01,count_likes:1` kills the process with SIGKILL, with the given probability, each time
//! it reaches the failpoint. Failpoints are in every build, so that the tested code is the code that is deployed. An unarmed
//! failpoint costs one memory access.

use std::collections::HashMap;
use std::sync::OnceLock;

use rustix::process::{Signal, getpid, kill_process};

/// Jobs have been claimed in the database, but the process does not know it yet.
pub const AFTER_CLAIM: &str = "after_claim";
/// An external call has been made that cannot be rolled back: a provider has answered.
pub const AFTER_EXTERNAL_CALL: &str = "after_external_call";
/// A transaction has been committed, but its caller has not been told, such as an API client without a response.
pub const AFTER_COMMIT: &str = "after_commit";
/// A job has had its effect, but its run has not ended.
pub const AFTER_EFFECT: &str = "after_effect";
/// Jobs have ended, but their outcomes are not stored.
pub const BEFORE_ACK: &str = "before_ack";

/// The probabilities, from 0 to 1, of failpoints by name. The kind of a job is a failpoint at the start of its runs.
pub type Failpoints = HashMap<String, f64>;

static ARMED: OnceLock<Failpoints> = OnceLock::new();

/// Arms the failpoints of this process, once.
pub fn arm(failpoints: &Failpoints) {
    if !failpoints.is_empty() {
        tracing::warn!(
            ?failpoints,
            "failpoints are armed: this process will kill itself; never use this in production"
        );
        let _ = ARMED.set(failpoints.clone());
    }
}

/// Kills the process if this failpoint is armed, with its probability.
pub fn pass(name: &str) {
    let Some(&chance) = ARMED.get().and_then(|failpoints| failpoints.get(name)) else { return };
    if rand::random::<f64>() < chance {
        // Nothing is flushed, unwound or dropped, as if another process had sent the signal.
        let _ = kill_process(getpid(), Signal::KILL);
    }
}

/// Parses `name:chance` pairs. The error says what is wrong.
pub(crate) fn parse(pairs: &str) -> Result<Failpoints, String> {
    let mut failpoints = Failpoints::new();
    for pair in pairs.split(',').map(str::trim).filter(|_| !pairs.is_empty()) {
        let chance = match pair.split_once(':').map(|(name, chance)| (name, chance.parse::<f64>())) {
            Some((name, Ok(chance))) if (0.0..=1.0).contains(&chance) => failpoints.insert(name.to_owned(), chance),
            _ => return Err(format!("`{pair}`: use name:chance, with a chance from 0 to 1")),
        };
        if chance.is_some() {
            return Err(format!("`{pair}`, whose name it names twice: remove one"));
        }
    }
    Ok(failpoints)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_and_nothing_else() {
        let failpoints = parse("after_claim:0.25, count_likes:1").unwrap();
        assert_eq!(failpoints, HashMap::from([("after_claim".to_owned(), 0.25), ("count_likes".to_owned(), 1.0)]));
        assert!(parse("").unwrap().is_empty());
        assert!(parse("after_claim:1,").is_err());
        assert!(parse("after_claim:1,after_claim:0").unwrap_err().contains("twice"));
        for bad in ["after_claim", "after_claim:2", "after_claim:-1", "after_claim:often", "after_claim:NaN"] {
            assert!(parse(bad).unwrap_err().contains(bad), "{bad}");
        }
    }

    #[test]
    fn what_is_not_armed_is_passed() {
        pass(AFTER_CLAIM);
    }
}
