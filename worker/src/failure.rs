//! How a run of a job can fail.

use std::time::Duration;

/// How long a job waits whose rows another transaction has locked. That is no fault of the job, so the run does not count as an
/// attempt, and its slot is free meanwhile.
const BLOCKED_PAUSE: Duration = Duration::from_secs(1);

/// How a run failed, which decides what happens to the job.
#[derive(Debug)]
pub enum JobError {
    /// May succeed later: tried again after a stored backoff, until the attempts are used up.
    Retry(String),
    /// May succeed after this time (a provider's `Retry-After`).
    RetryIn(Duration, String),
    /// Too early: the job waits in the table for this long, and the run does not count as an attempt.
    Snooze(Duration),
    /// Will never succeed: the job is dead at once.
    Discard(String),
}

impl JobError {
    /// A transient failure.
    pub fn retry(error: impl std::fmt::Display) -> Self {
        Self::Retry(error.to_string())
    }

    /// A permanent failure.
    pub fn discard(error: impl std::fmt::Display) -> Self {
        Self::Discard(error.to_string())
    }
}

impl From<cairn_core::Error> for JobError {
    fn from(error: cairn_core::Error) -> Self {
        if error.is_blocked() { Self::Snooze(BLOCKED_PAUSE) } else { Self::retry(error) }
    }
}
