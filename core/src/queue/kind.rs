//! Kinds of jobs as values.

use super::{Job, Queue};

/// A kind of job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobKind {
    name: &'static str,
    queue: Queue,
}

impl JobKind {
    /// The kind of the jobs `J`.
    pub const fn of<J: Job>() -> Self {
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
}
