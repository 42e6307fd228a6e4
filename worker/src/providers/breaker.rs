//! A circuit breaker: stops calling an endpoint that is down.
//!
//! ```text
//! closed ──5 failures in a row──► open ──after a pause──► one trial call ──succeeds──► closed
//!                                  ▲                           │
//!                                  └────── twice the pause ────┘ fails
//! ```
//!
//! While it is open, jobs return to the queue at once instead of each waiting for its own timeout. The state is kept per
//! process: it only saves calls, and each process soon finds out by itself whether the endpoint works.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row after which calls stop.
const FAILURES: u32 = 5;

/// The first pause, and the longest.
const PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long to wait while a trial call is in progress.
const TRIAL_WAIT: Duration = Duration::from_secs(2);

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Breaker {
    /// The endpoint, in logs.
    endpoint: &'static str,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant, pause: Duration },
    HalfOpen { pause: Duration },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    /// A breaker for calls of this endpoint, as logs are to name it.
    pub(crate) fn new(endpoint: &'static str) -> Self {
        Self { endpoint, state: Arc::default() }
    }

    /// Permission to call the endpoint; `Err` holds the time to wait first.
    pub(crate) fn admit(&self) -> Result<Permit, Duration> {
        let mut state = self.state();
        let is_trial = match *state {
            State::Closed { .. } => false,
            State::Open { until, pause } => {
                let now = Instant::now();
                if now < until {
                    return Err(until - now);
                }
                *state = State::HalfOpen { pause };
                true
            }
            State::HalfOpen { .. } => return Err(TRIAL_WAIT),
        };
        Ok(Permit { breaker: Some(self.clone()), is_trial })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Permission for one call, whose result is to be reported. Dropping a permit reports nothing and allows another trial call.
/// The default is for a provider without a breaker.
#[derive(Default)]
pub(crate) struct Permit {
    breaker: Option<Breaker>,
    is_trial: bool,
}

impl Permit {
    /// The endpoint works, whatever the call returned.
    pub(crate) fn succeeded(&mut self) {
        if let Some(breaker) = self.breaker.take() {
            *breaker.state() = State::default();
        }
    }

    /// The endpoint does not work.
    pub(crate) fn failed(&mut self) {
        let Some(breaker) = self.breaker.take() else { return };
        let mut state = breaker.state();
        let pause = match *state {
            State::Closed { failures } if failures + 1 < FAILURES => {
                *state = State::Closed { failures: failures + 1 };
                return;
            }
            State::Closed { .. } => PAUSE,
            State::HalfOpen { pause } if self.is_trial => (pause * 2).min(LONGEST_PAUSE),
            // The call began before the breaker opened, so it shows nothing new.
            State::Open { .. } | State::HalfOpen { .. } => return,
        };
        let endpoint = breaker.endpoint;
        tracing::warn!(pause_s = pause.as_secs(), "{endpoint} does not work; calls are suspended");
        *state = State::Open { until: Instant::now() + pause, pause };
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(breaker) = self.breaker.take().filter(|_| self.is_trial) else { return };
        let mut state = breaker.state();
        if let State::HalfOpen { pause } = *state {
            *state = State::Open { until: Instant::now(), pause };
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn report_failure(breaker: &Breaker) {
        breaker.admit().unwrap().failed();
    }

    fn wait_time(breaker: &Breaker) -> Duration {
        breaker.admit().err().unwrap_or_default()
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_after_consecutive_failures_and_allows_one_trial_call() {
        let breaker = Breaker::new("the endpoint");
        for _ in 0..FAILURES - 1 {
            report_failure(&breaker);
        }
        breaker.admit().unwrap().succeeded();
        for _ in 0..FAILURES {
            report_failure(&breaker);
        }
        assert_eq!(wait_time(&breaker), PAUSE);
        advance(PAUSE).await;
        let mut trial = breaker.admit().unwrap();
        assert_eq!(wait_time(&breaker), TRIAL_WAIT, "one trial at a time");
        trial.succeeded();
        assert_eq!(wait_time(&breaker), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn each_failed_trial_doubles_the_pause_up_to_its_limit() {
        let breaker = Breaker::new("the endpoint");
        for _ in 0..FAILURES {
            report_failure(&breaker);
        }
        for seconds in [5, 10, 20, 30, 30] {
            assert_eq!(wait_time(&breaker), Duration::from_secs(seconds));
            advance(Duration::from_secs(seconds)).await;
            report_failure(&breaker);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_abandoned_trial_allows_another_one() {
        let breaker = Breaker::new("the endpoint");
        for _ in 0..FAILURES {
            report_failure(&breaker);
        }
        advance(PAUSE).await;
        drop(breaker.admit().unwrap());
        assert!(breaker.admit().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn failures_of_earlier_calls_change_nothing() {
        let breaker = Breaker::new("the endpoint");
        let mut late: Vec<Permit> = (0..3).map(|_| breaker.admit().unwrap()).collect();
        for _ in 0..FAILURES {
            report_failure(&breaker);
        }
        late.pop().unwrap().failed();
        assert_eq!(wait_time(&breaker), PAUSE);
        advance(PAUSE).await;
        let trial = breaker.admit().unwrap();
        late.pop().unwrap().failed();
        assert_eq!(wait_time(&breaker), TRIAL_WAIT, "the trial is still in progress");
        late.pop().unwrap().succeeded();
        assert!(breaker.admit().is_ok(), "the success of an earlier call counts");
        drop(trial);
        assert!(breaker.admit().is_ok());
    }
}
