//! How a run of a job can fail.

use std::time::Duration;

use cairn_core::Transient;

/// How a run failed, which decides what happens to the job.
#[derive(Debug)]
pub enum JobError {
    /// May succeed later: tried again after a stored backoff, until the attempts are used up.
    Retry(String),
    /// May succeed after this time (a provider's `Retry-After`).
    RetryIn(Duration, String),
    /// Too early: the job waits in the table for this long, and the run does not count as an attempt.
    Snooze(Duration),
    /// Failed for a reason of the moment that has nothing to do with the job: tried again soon, and the run does not count as an
    /// attempt, so that no outage makes jobs die.
    Moment(Transient, String),
    /// This release does not know the job, and perhaps the next one does, which runs beside it during a deployment: the job waits for
    /// another worker, and is dead if there is none for an hour.
    Unknown(String),
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
        match error.transient() {
            Some(reason) if !reason.may_be_our_fault() => Self::Moment(reason, error.to_string()),
            _ => Self::retry(error),
        }
    }
}
