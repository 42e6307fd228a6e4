//! How many requests were answered, by the fault that was the latest when their outcome was known.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::fault::Fault;

/// Counts requests and how many of them were answered at once: not with 503, and not with a lost connection.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    latest: AtomicUsize,
    by_fault: [Counts; Fault::ALL.len()],
    longest_ms: AtomicU64,
}

#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    answered: AtomicU64,
}

/// What became of requests after a fault, until the next one.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// The fault.
    pub fault: Fault,
    /// How many requests there were.
    pub sent: u64,
    /// How many of them were answered at once.
    pub answered: u64,
}

impl Answers {
    /// Counts from now on for this fault.
    pub(crate) fn begin(&self, fault: Fault) {
        let index = Fault::ALL.iter().position(|other| *other == fault).unwrap_or_default();
        self.latest.store(index, Ordering::Relaxed);
    }

    /// Counts a request whose outcome is known. What was sent before a fault and ended by it counts as one of its requests.
    pub(crate) fn count(&self, is_answered: bool) {
        let counts = &self.by_fault[self.latest.load(Ordering::Relaxed)];
        counts.sent.fetch_add(1, Ordering::Relaxed);
        counts.answered.fetch_add(u64::from(is_answered), Ordering::Relaxed);
    }

    /// Notes how long a call took with all its repetitions.
    pub(crate) fn took(&self, time: Duration) {
        self.longest_ms.fetch_max(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The longest call with all its repetitions.
    pub(crate) fn longest(&self) -> Duration {
        Duration::from_millis(self.longest_ms.load(Ordering::Relaxed))
    }

    /// The shares, without those of faults that did not happen.
    pub(crate) fn shares(&self) -> Vec<Share> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let shares = Fault::ALL.into_iter().zip(&self.by_fault);
        let shares =
            shares.map(|(fault, counts)| Share { fault, sent: read(&counts.sent), answered: read(&counts.answered) });
        shares.filter(|share| share.sent > 0).collect()
    }
}

impl Share {
    /// The least share of answers, in parts of a thousand, after a fault that concerns somebody else.
    const LEAST: u64 = 999;

    /// Whether others noticed too much of a fault that leaves the database and the API alone.
    pub fn is_too_small(&self) -> bool {
        self.fault.spares_the_api() && self.answered * 1000 < self.sent * Self::LEAST
    }
}
