//! Stops calling an endpoint that is down.
//!
//! ```text
//! closed ──5 failures in a row──► open ──after a pause──► one call is let through ──works──► closed
//!                                  ▲                              │
//!                                  └──────── twice the pause ─────┘ fails
//! ```
//!
//! While it is open, jobs go back into the queue at once instead of waiting for a connection, each for its own time out.
//! Kept per process: it only spares calls, and what is true of an endpoint is soon known to each.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row after which calls stop.
const FAILURES: u32 = 5;

/// The first pause, and the longest.
const PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long to wait while somebody else tries.
const PROBE: Duration = Duration::from_secs(2);

/// See the module. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Breaker {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant, pause: Duration },
    Probing { pause: Duration },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    /// Leave to call; `Err` = not now, but after this time.
    pub(crate) fn admit(&self) -> Result<Permit, Duration> {
        let mut state = self.state();
        let is_probe = match *state {
            State::Closed { .. } => false,
            State::Open { until, pause } => {
                let now = Instant::now();
                if now < until {
                    return Err(until - now);
                }
                *state = State::Probing { pause };
                true
            }
            State::Probing { .. } => return Err(PROBE),
        };
        Ok(Permit { breaker: Some(self.clone()), is_probe })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leave to call once. Say how it went; a permit that is dropped says nothing, and lets another one try. The default one
/// is of a provider that has no breaker.
#[derive(Default)]
pub(crate) struct Permit {
    breaker: Option<Breaker>,
    is_probe: bool,
}

impl Permit {
    /// The endpoint works, whatever became of the call.
    pub(crate) fn works(&mut self) {
        if let Some(breaker) = self.breaker.take() {
            *breaker.state() = State::default();
        }
    }

    /// The endpoint does not work.
    pub(crate) fn fails(&mut self) {
        let Some(breaker) = self.breaker.take() else { return };
        let mut state = breaker.state();
        let pause = match *state {
            State::Closed { failures } if failures + 1 < FAILURES => {
                *state = State::Closed { failures: failures + 1 };
                return;
            }
            State::Closed { .. } => PAUSE,
            State::Probing { pause } if self.is_probe => (pause * 2).min(LONGEST_PAUSE),
            // A call from before: nothing new.
            State::Open { .. } | State::Probing { .. } => return,
        };
        tracing::warn!(pause_s = pause.as_secs(), "the AI provider does not work; it is not called for a while");
        *state = State::Open { until: Instant::now() + pause, pause };
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(breaker) = self.breaker.take().filter(|_| self.is_probe) else { return };
        let mut state = breaker.state();
        if let State::Probing { pause } = *state {
            *state = State::Open { until: Instant::now(), pause };
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn fail(breaker: &Breaker) {
        breaker.admit().unwrap().fails();
    }

    fn waits(breaker: &Breaker) -> Duration {
        breaker.admit().err().unwrap_or_default()
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_after_failures_in_a_row_and_lets_one_call_try() {
        let breaker = Breaker::default();
        for _ in 0..FAILURES - 1 {
            fail(&breaker);
        }
        breaker.admit().unwrap().works();
        for _ in 0..FAILURES {
            fail(&breaker);
        }
        assert_eq!(waits(&breaker), PAUSE);
        advance(PAUSE).await;
        let mut probe = breaker.admit().unwrap();
        assert_eq!(waits(&breaker), PROBE, "one at a time");
        probe.works();
        assert_eq!(waits(&breaker), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn each_failed_try_doubles_the_pause_up_to_its_bound() {
        let breaker = Breaker::default();
        for _ in 0..FAILURES {
            fail(&breaker);
        }
        for seconds in [5, 10, 20, 30, 30] {
            assert_eq!(waits(&breaker), Duration::from_secs(seconds));
            advance(Duration::from_secs(seconds)).await;
            fail(&breaker);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_try_that_is_given_up_lets_another_one_try() {
        let breaker = Breaker::default();
        for _ in 0..FAILURES {
            fail(&breaker);
        }
        advance(PAUSE).await;
        drop(breaker.admit().unwrap());
        assert!(breaker.admit().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn late_failures_change_nothing() {
        let breaker = Breaker::default();
        let mut late: Vec<Permit> = (0..3).map(|_| breaker.admit().unwrap()).collect();
        for _ in 0..FAILURES {
            fail(&breaker);
        }
        late.pop().unwrap().fails();
        assert_eq!(waits(&breaker), PAUSE);
        advance(PAUSE).await;
        let probe = breaker.admit().unwrap();
        late.pop().unwrap().fails();
        assert_eq!(waits(&breaker), PROBE, "the try is still under way");
        late.pop().unwrap().works();
        assert!(breaker.admit().is_ok(), "a late success counts");
        drop(probe);
        assert!(breaker.admit().is_ok());
    }
}
