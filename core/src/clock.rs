//! The current time and new ids. All code gets them here, so that tests can control the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

/// How far the clock of this process is wrong, in milliseconds, in tests of whole programs.
static ERROR_MS: AtomicI64 = AtomicI64::new(0);

/// Has this process live with a clock that is wrong by so many seconds (`CAIRN_TEST_CLOCK_SECONDS`).
pub fn set_wrong(seconds: i64) {
    ERROR_MS.store(seconds.saturating_mul(1000), Ordering::Relaxed);
}

/// The system clock, shifted by an offset that only tests change.
///
/// Where processes must agree on the time (`run_at`, leases, quotas), statements use the database's `now()` instead.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    offset_ms: Arc<AtomicI64>,
}

impl Clock {
    /// The current time in UTC.
    #[expect(clippy::disallowed_methods, reason = "the only place that reads the system clock")]
    pub fn now(&self) -> DateTime<Utc> {
        let offset = self.offset_ms.load(Ordering::Relaxed) + ERROR_MS.load(Ordering::Relaxed);
        Utc::now() + TimeDelta::milliseconds(offset)
    }

    /// Moves this clock and all its clones forward, or back if `by` is negative.
    pub fn advance(&self, by: TimeDelta) {
        self.offset_ms.fetch_add(by.num_milliseconds(), Ordering::Relaxed);
    }
}

/// A new time-ordered id (UUIDv7, RFC 9562).
#[expect(clippy::disallowed_methods, reason = "the only place that creates ids")]
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}
