//! The one home of "what time is it" and of new ids, so that tests can set both.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

/// Tells the time: the system's, shifted by an offset that only tests move.
///
/// Where two processes must agree (`run_at`, leases, quotas) the database's `now()` counts instead.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    offset_ms: Arc<AtomicI64>,
}

impl Clock {
    /// Now, in UTC.
    #[expect(clippy::disallowed_methods, reason = "the one home of the system clock")]
    pub fn now(&self) -> DateTime<Utc> {
        Utc::now() + TimeDelta::milliseconds(self.offset_ms.load(Ordering::Relaxed))
    }

    /// Moves this clock, and its clones, forward (or back).
    pub fn advance(&self, by: TimeDelta) {
        self.offset_ms.fetch_add(by.num_milliseconds(), Ordering::Relaxed);
    }
}

/// A new time-ordered id (UUIDv7, RFC 9562).
#[expect(clippy::disallowed_methods, reason = "the one home of new ids")]
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}
