//! Jobs, their queues, and the only way to enqueue them.
//!
//! A job is declared here (kind, queue, attempts, deadline) and run in the worker. It is enqueued on a `Tx`, so the
//! record and the job commit together. Payloads hold ids and small values, are versioned, and are decoded by the
//! handler, so that one that cannot be read ends as one dead job and harms no other.

pub mod board;
pub mod claim;
mod enqueue;
pub mod inspect;
mod kind;
pub mod lease;
mod notifier;
pub mod queues;
mod stored;

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use self::enqueue::*;
pub use self::kind::JobKind;
pub use self::notifier::{CHANNEL, Notifier, READERS_CHANNEL};
pub use self::stored::{Stored, stored};

/// The queues. Each has its own worker, concurrency and connections, so that one cannot slow down another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Queue {
    /// Writes the activity log.
    Activity,
    /// Rolls up one learner's progress.
    Progress,
    /// Recomputes the progress of all learners after a content change.
    ProgressBulk,
    /// Counters that many requests change: likes, and uses of library items.
    Likes,
    /// Generates AI replies.
    Replies,
    /// Scheduled housekeeping.
    Maintenance,
}

impl Queue {
    /// All queues.
    pub const ALL: [Self; 6] =
        [Self::Activity, Self::Progress, Self::ProgressBulk, Self::Likes, Self::Replies, Self::Maintenance];

    /// The name of the queue in the database, in the configuration and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Activity => "activity",
            Self::Progress => "progress",
            Self::ProgressBulk => "progress-bulk",
            Self::Likes => "likes",
            Self::Replies => "replies",
            Self::Maintenance => "maintenance",
        }
    }

    /// The queue of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|queue| queue.name() == name)
    }
}

/// A kind of job. Implemented by the payload.
pub trait Job: Serialize + DeserializeOwned + Send + 'static {
    /// The name of the kind in payloads, logs and metrics. Never reused for another kind.
    const KIND: &'static str;
    /// The queue of these jobs.
    const QUEUE: Queue;
    /// The number of attempts, including crashed ones, after which a job is dead.
    const MAX_ATTEMPTS: i32;
    /// How long a run may take. Must be below the worker's drain limit, unless the job reacts to a shutdown.
    const DEADLINE: Duration;
    /// Whether a run ends in time when the worker is told to stop.
    const HEEDS_SHUTDOWN: bool = false;
}

/// The stored form of a job. It is compatible with the previous and the next release: fields are only ever added, with a
/// default.
#[derive(Debug, Serialize, Deserialize)]
pub struct Envelope<T> {
    /// [`Job::KIND`].
    pub kind: String,
    /// The version of the payload. It is 1 for every kind so far.
    pub v: u16,
    /// The W3C `traceparent` of the request that caused the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The job itself.
    pub data: T,
}

tokio::task_local! {
    /// The W3C `traceparent` of the current request or job. Jobs that it enqueues continue the trace.
    pub static TRACEPARENT: Option<String>;
}
