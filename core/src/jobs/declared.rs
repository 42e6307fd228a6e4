//! The jobs there are. To add one: declare it here, write its `run` in `worker/src/jobs/`, list it in
//! `worker/src/jobs/mod.rs`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Job, Queue};
use crate::admin::activity::Event;

/// Writes one row of the activity log. Repeating it writes nothing: the row's id comes with the event.
#[derive(Debug, Serialize, Deserialize)]
pub struct RecordActivity {
    /// What happened.
    pub event: Event,
}

impl Job for RecordActivity {
    const KIND: &'static str = "record_activity";
    const QUEUE: Queue = Queue::Activity;
    const MAX_ATTEMPTS: i32 = 25;
    const DEADLINE: Duration = Duration::from_secs(10);
}

/// Recomputes one learner's progress in one roadmap from the facts.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RollUpProgress {
    /// The learner.
    pub user_id: Uuid,
    /// The roadmap.
    pub roadmap_id: Uuid,
}

impl Job for RollUpProgress {
    const KIND: &'static str = "roll_up_progress";
    const QUEUE: Queue = Queue::Progress;
    const MAX_ATTEMPTS: i32 = 25;
    const DEADLINE: Duration = Duration::from_secs(10);
}

/// Recomputes everybody's progress in one roadmap after a content change: chunks of learners for about a second, and the
/// job that goes on is enqueued in the transaction of the last.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RecomputeRoadmap {
    /// The roadmap.
    pub roadmap_id: Uuid,
    /// The content version to reach; a newer one supersedes the job.
    pub content_version: i64,
    /// The last learner done; `None` = from the start.
    pub after_user: Option<Uuid>,
}

impl Job for RecomputeRoadmap {
    const KIND: &'static str = "recompute_roadmap";
    const QUEUE: Queue = Queue::ProgressBulk;
    const MAX_ATTEMPTS: i32 = 25;
    const DEADLINE: Duration = Duration::from_secs(20);
}

/// Recounts the likes of one project.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct CountLikes {
    /// The project.
    pub project_id: Uuid,
}

impl Job for CountLikes {
    const KIND: &'static str = "count_likes";
    const QUEUE: Queue = Queue::Likes;
    const MAX_ATTEMPTS: i32 = 25;
    const DEADLINE: Duration = Duration::from_secs(10);
}

/// Writes the answer to a question.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct GenerateReply {
    /// The reply to fill.
    pub reply_id: Uuid,
    /// Which retry of it by its learner this is, 0 = none. When it was retried since, another job does it.
    #[serde(default)]
    pub retry: i32,
}

impl Job for GenerateReply {
    const KIND: &'static str = "generate_reply";
    const QUEUE: Queue = Queue::Replies;
    /// Waiting for a provider counts: half an hour of pauses, with room for crashes.
    const MAX_ATTEMPTS: i32 = 100;
    /// Above what an answer may take in all, which the job watches over itself.
    const DEADLINE: Duration = Duration::from_secs(150);
    /// What is unfinished then goes to another worker.
    const HEEDS_SHUTDOWN: bool = true;
}

/// Picks up what a lost job left behind: stale markers, dead replies, roadmaps that wait to be recomputed.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Reconcile {}

impl Job for Reconcile {
    const KIND: &'static str = "reconcile";
    const QUEUE: Queue = Queue::Maintenance;
    const MAX_ATTEMPTS: i32 = 10; // safe to repeat: a worker that is lost amid it is no dead job for an operator to look at
    const DEADLINE: Duration = Duration::from_secs(20);
}

/// One round of housekeeping: partitions ahead, retention, expired sessions. Set-based and safe to repeat.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct KeepHouse {}

impl Job for KeepHouse {
    const KIND: &'static str = "keep_house";
    const QUEUE: Queue = Queue::Maintenance;
    const MAX_ATTEMPTS: i32 = 3;
    const DEADLINE: Duration = Duration::from_secs(20);
}

/// A kind of job, to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    name: &'static str,
    queue: Queue,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::of::<RecordActivity>(),
        Self::of::<RollUpProgress>(),
        Self::of::<RecomputeRoadmap>(),
        Self::of::<CountLikes>(),
        Self::of::<GenerateReply>(),
        Self::of::<Reconcile>(),
        Self::of::<KeepHouse>(),
    ];

    const fn of<J: Job>() -> Self {
        Self { name: J::KIND, queue: J::QUEUE }
    }

    /// [`Job::KIND`].
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// [`Job::QUEUE`].
    pub const fn queue(self) -> Queue {
        self.queue
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name == name)
    }
}
