//! A kind of job, as a value.

use super::{Job, Queue};

/// A kind of job, to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    name: &'static str,
    queue: Queue,
}

impl Kind {
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
