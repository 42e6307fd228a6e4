//! The row of a job, and what each statement does to it.

/// The status of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// Waits for its first attempt, or to be attempted as if for the first time.
    Pending,
    /// A worker has claimed it.
    Running,
    /// Waits for its next attempt.
    Failed,
    /// Its effect is committed.
    Done,
    /// Has failed for good.
    Dead,
}

/// The row. `W` names workers, and `T` is the time of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Row<W, T> {
    /// The status.
    pub status: Status,
    /// How often it was claimed since it was enqueued or retried by an operator.
    pub attempts: i32,
    /// After how many attempts it is dead.
    pub max_attempts: i32,
    /// Who has claimed it, and when; `None` if nobody has it.
    pub lease: Option<(W, T)>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum End {
    /// Its effect is committed, or there was nothing to do.
    Done,
    /// It is to be tried again.
    Retry,
    /// It was too early.
    Snooze,
    /// It has failed for good.
    Dead,
}

impl<W: Clone + Eq, T: Clone + Eq> Row<W, T> {
    /// A job that was just enqueued.
    pub fn new(max_attempts: i32) -> Self {
        Self { status: Status::Pending, attempts: 0, max_attempts, lease: None }
    }

    /// Whether it is claimed once it is due.
    pub fn is_claimable(&self) -> bool {
        match self.status {
            Status::Pending => true,
            Status::Failed => self.attempts < self.max_attempts,
            Status::Running | Status::Done | Status::Dead => false,
        }
    }

    /// Whether this worker has claimed it at this time, and nobody has ended that.
    pub fn is_leased(&self, worker: &W, time: &T) -> bool {
        self.status == Status::Running && self.lease.as_ref().is_some_and(|(by, at)| by == worker && at == time)
    }

    /// A worker claims it, which counts as an attempt.
    pub fn claim(&self, worker: W, time: T) -> Option<Self> {
        let attempts = self.attempts + 1;
        let lease = Some((worker, time));
        self.is_claimable().then(|| Self { status: Status::Running, attempts, lease, ..self.clone() })
    }

    /// The end of a run is stored.
    pub fn finish(&self, worker: &W, time: &T, end: End) -> Option<Self> {
        let (status, attempts) = match end {
            End::Done => (Status::Done, self.attempts),
            End::Retry => (Status::Failed, self.attempts),
            End::Snooze => (Status::Pending, self.attempts - 1),
            End::Dead => (Status::Dead, self.attempts),
        };
        self.is_leased(worker, time).then(|| Self { status, attempts, lease: None, ..self.clone() })
    }

    /// It is released by its worker, which has not started it. That does not count as an attempt.
    pub fn release(&self, worker: &W, time: &T) -> Option<Self> {
        self.finish(worker, time, End::Snooze)
    }

    /// It is taken from a worker that is lost.
    pub fn rescue(&self) -> Option<Self> {
        let status = if self.attempts < self.max_attempts { Status::Failed } else { Status::Dead };
        (self.status == Status::Running).then(|| Self { status, lease: None, ..self.clone() })
    }

    /// An operator has it tried again. What runs or is done is not touched.
    pub fn retry(&self) -> Option<Self> {
        let allowed = matches!(self.status, Status::Pending | Status::Failed | Status::Dead);
        allowed.then(|| Self { status: Status::Pending, attempts: 0, lease: None, ..self.clone() })
    }

    /// An operator gives it up.
    pub fn discard(&self) -> Option<Self> {
        let allowed = matches!(self.status, Status::Pending | Status::Failed | Status::Dead);
        allowed.then(|| Self { status: Status::Dead, lease: None, ..self.clone() })
    }
}
