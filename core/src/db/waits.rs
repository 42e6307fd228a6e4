//! How long a pool lets others wait for a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The waits for connections of one pool. Cheap to clone; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Waits(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    waiting: AtomicI64,
    acquired: AtomicU64,
    failed: AtomicU64,
    microseconds: AtomicU64,
}

/// What was counted until now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WaitFigures {
    /// How many wait now.
    pub waiting: i64,
    /// How many got a connection.
    pub acquired: u64,
    /// How many got none.
    pub failed: u64,
    /// How long all of them have waited.
    pub waited: Duration,
}

impl Waits {
    /// Counts the wait for a connection. Whoever gives up, and drops it, has got none.
    pub async fn count<T, E>(&self, wait: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let waiting = Waiting::begin(&self.0);
        let result = wait.await;
        waiting.end(result.is_ok());
        result
    }

    /// What was counted until now.
    pub fn figures(&self) -> WaitFigures {
        let Counts { waiting, acquired, failed, microseconds } = &*self.0;
        WaitFigures {
            waiting: waiting.load(Ordering::Relaxed).max(0),
            acquired: acquired.load(Ordering::Relaxed),
            failed: failed.load(Ordering::Relaxed),
            waited: Duration::from_micros(microseconds.load(Ordering::Relaxed)),
        }
    }
}

struct Waiting<'a> {
    counts: &'a Counts,
    since: Instant,
    has_connection: bool,
}

impl<'a> Waiting<'a> {
    fn begin(counts: &'a Counts) -> Self {
        counts.waiting.fetch_add(1, Ordering::Relaxed);
        Self { counts, since: Instant::now(), has_connection: false }
    }

    fn end(mut self, has_connection: bool) {
        self.has_connection = has_connection;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
        let ended = if self.has_connection { &self.counts.acquired } else { &self.counts.failed };
        ended.fetch_add(1, Ordering::Relaxed);
        let microseconds = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.counts.microseconds.fetch_add(microseconds, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_are_counted_however_they_end() {
        let waits = Waits::default();
        waits.count(async { Ok::<_, ()>(()) }).await.unwrap();
        waits.count(async { Err::<(), _>(()) }).await.unwrap_err();
        let mut pending = Box::pin(waits.count(std::future::pending::<Result<(), ()>>()));
        tokio::time::timeout(Duration::ZERO, &mut pending).await.unwrap_err();
        let figures = waits.figures();
        assert_eq!((figures.waiting, figures.acquired, figures.failed), (1, 1, 1));
        drop(pending);
        let figures = waits.figures();
        assert_eq!((figures.waiting, figures.acquired, figures.failed), (0, 1, 2));
    }
}
