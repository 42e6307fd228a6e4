//! Jobs: what they are, which queue they go to, and the only way to enqueue them.
//!
//! A job is declared here (kind, queue, attempts, deadline) and run in the worker. It is enqueued on a [`Tx`], so the
//! record and the job commit together. Payloads hold ids and small values, are versioned, and are decoded by the
//! handler, so that one that cannot be read ends as one dead job and harms no other.

pub mod board;
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
pub use self::kind::Kind;
pub use self::notifier::{Bell, CHANNEL, REPLIES_CHANNEL};
pub use self::stored::{Stored, stored};

/// The queues. Each has its own worker, concurrency and share of the pool, so that one cannot slow another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Queue {
    /// Writes the activity log.
    Activity,
    /// Rolls one learner's progress up.
    Progress,
    /// Recomputes everybody's progress after a content change.
    ProgressBulk,
    /// Recounts likes.
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

    /// The queue's name in the database, in configuration and on the command line.
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

/// A kind of job.
pub trait Job: Serialize + DeserializeOwned + Send + 'static {
    /// Names the kind in payloads, logs and metrics: `verb_noun`, never reused for something else.
    const KIND: &'static str;
    /// Where it waits.
    const QUEUE: Queue;
    /// Starts, crashes included, after which the job is dead.
    const MAX_ATTEMPTS: i32;
    /// How long one run may take. Must be below the worker's drain limit, unless the job heeds the shutdown.
    const DEADLINE: Duration;
    /// Whether a run ends in time by itself when the worker is told to stop.
    const HEEDS_SHUTDOWN: bool = false;
}

/// What is stored for a job. Readable one release back and forward: fields are only ever added, with a default.
#[derive(Debug, Serialize, Deserialize)]
pub struct Envelope<T> {
    /// [`Job::KIND`].
    pub kind: String,
    /// Version of the payload's meaning; 1 so far for every kind.
    pub v: u16,
    /// W3C `traceparent` of the request that caused the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The job itself.
    pub data: T,
}

tokio::task_local! {
    /// The W3C `traceparent` of the request or job that is being worked on; jobs enqueued meanwhile carry it on.
    pub static TRACEPARENT: Option<String>;
}
