//! What the model consists of: jobs, workers and what they know, the steps, and the faults that tests seed.

use crate::row::{End, Row};

/// A worker. One that has died is not replaced under its name.
pub type WorkerId = u8;
/// A job.
pub type JobId = u8;
/// When a job was claimed: the how many-th claim it was.
pub type Time = u8;
/// What identifies a lease in the memory of a worker.
pub type Key = (JobId, Time);

/// A mutation of the protocol. Each one is a mistake that somebody could make, and that a test must catch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `finish` names the worker, but not the time of the claim.
    FinishIgnoresTime,
    /// `finish` names the job only.
    FinishNamesTheJobOnly,
    /// A worker keeps the ids of jobs in memory, and not their leases.
    LeasesKnownByJob,
    /// A stopping worker releases jobs by their ids.
    ReleaseIgnoresTime,
    /// A rescue takes the attempt back.
    RescueTakesTheAttemptBack,
    /// A rescue takes the jobs of workers that send heartbeats.
    RescueIgnoresHeartbeats,
    /// A rescue leaves jobs without attempts to be tried again.
    RescueIgnoresTheCap,
    /// A claim does not count as an attempt.
    ClaimDoesNotCount,
    /// A call that costs money is made without a look at the lease.
    CallIgnoresTheLease,
    /// An effect is committed without a look at the number of the call.
    EffectIgnoresTheFence,
    /// The response to a claim is used however late it comes.
    LateClaimsAreRun,
    /// The age of unacknowledged claims is measured after the worker has looked at what it knows.
    AgeMeasuredTooLate,
    /// The outcome of a run is sent once, and forgotten whatever the answer.
    OutcomesAreNotRepeated,
    /// Claims whose response was lost are not looked for.
    UnacknowledgedClaimsStay,
    /// An operator may retry what is running.
    OperatorRetriesWhatRuns,
}

impl Fault {
    /// All faults.
    pub const ALL: [Self; 15] = [
        Self::FinishIgnoresTime,
        Self::FinishNamesTheJobOnly,
        Self::LeasesKnownByJob,
        Self::ReleaseIgnoresTime,
        Self::RescueTakesTheAttemptBack,
        Self::RescueIgnoresHeartbeats,
        Self::RescueIgnoresTheCap,
        Self::ClaimDoesNotCount,
        Self::CallIgnoresTheLease,
        Self::EffectIgnoresTheFence,
        Self::LateClaimsAreRun,
        Self::AgeMeasuredTooLate,
        Self::OutcomesAreNotRepeated,
        Self::UnacknowledgedClaimsStay,
        Self::OperatorRetriesWhatRuns,
    ];
}

/// A job in the database, and its effects.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Job {
    /// The row.
    pub row: Row<WorkerId, Time>,
    /// How often it was claimed.
    pub claims: Time,
    /// Whether its lease is older than the time that the response to a claim may take.
    pub is_old: bool,
    /// The number of the latest call that costs money.
    pub fence: u8,
    /// Calls since it was enqueued or retried by an operator.
    pub calls: i32,
    /// Committed effects.
    pub effects: u8,
    /// Whether an operator has retried it.
    pub is_retried: bool,
}

/// What a worker knows of a lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Entry {
    /// The lease.
    pub key: Key,
    /// The number of the attempt.
    pub attempt: i32,
    /// How far it is.
    pub phase: Phase,
}

/// How far a lease is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Waits for a slot.
    Waiting,
    /// Has started, and made no call.
    Running,
    /// Makes the call with this number.
    Calling(u8),
    /// Has ended; the outcome is not stored, as far as the worker knows.
    Ended(End),
}

/// The life of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Life {
    /// Works.
    Alive,
    /// Is suspended.
    Frozen,
    /// Has ended.
    Ended,
}

/// The search for claims whose response was lost.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Search {
    /// The leases that are old are known.
    Aged(Vec<Key>),
    /// What is leased in memory is known too.
    Compared {
        /// The old leases.
        old: Vec<Key>,
        /// The leases in memory.
        known: Vec<Key>,
    },
}

/// A worker.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Worker {
    /// Its life.
    pub life: Life,
    /// How often it may be suspended still.
    pub freezes: u8,
    /// Whether it was told to stop.
    pub is_stopping: bool,
    /// Whether its last heartbeat is so old that it counts as lost.
    pub is_silent: bool,
    /// A claim that is committed and whose response is on its way; whether it is late by now.
    pub answer: Option<(Key, bool)>,
    /// The leases with what belongs to them.
    pub entries: Vec<Entry>,
    /// The leases that it counts as its own.
    pub known: Vec<Key>,
    /// The search for lost responses.
    pub search: Option<Search>,
}

/// A state of everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The jobs.
    pub jobs: Vec<Job>,
    /// The workers.
    pub workers: Vec<Worker>,
    /// The first rule of a step that was broken.
    pub broken: Option<&'static str>,
}

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Action {
    Claim(WorkerId, JobId),
    ReceiveClaim(WorkerId),
    LoseClaim(WorkerId),
    Age(JobId),
    Start(WorkerId, usize),
    Call(WorkerId, usize),
    Commit(WorkerId, usize),
    End(WorkerId, usize, End),
    Finish(WorkerId, usize),
    FinishUnanswered(WorkerId, usize),
    Freeze(WorkerId),
    Thaw(WorkerId),
    Die(WorkerId),
    FallSilent(WorkerId),
    Heartbeat(WorkerId),
    Rescue(JobId),
    SearchBegins(WorkerId),
    SearchCompares(WorkerId),
    SearchReleases(WorkerId),
    Stop(WorkerId),
    ReleaseWaiting(WorkerId, usize),
    Exit(WorkerId),
    OperatorRetry(JobId),
}

/// A late end has ended a lease that is not its own.
pub const LATE_END: &str = "a late end ends no later lease";
/// A job was released that a worker is about to run, or runs.
pub const HELD_RELEASED: &str = "what is held is not released";
/// The job of a worker that sends heartbeats was taken.
pub const LIVE_RESCUED: &str = "a live worker keeps its jobs";
/// A call was made without the lease.
pub const STRAY_CALL: &str = "no call is made without the lease";
/// A response was used after its claim had been released.
pub const LATE_CLAIM: &str = "a claim that was released is not run";

impl State {
    pub(crate) fn break_rule(&mut self, rule: &'static str) {
        self.broken.get_or_insert(rule);
    }
}
