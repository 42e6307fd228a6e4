//! Limits password guessing: counts attempts per address and account, in this process and in bounded memory.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use crate::Problem;

/// The maximum number of unsuccessful attempts in one window.
const MAX_ATTEMPTS: u32 = 10;
/// The length of a window, which starts with the first attempt.
const WINDOW: TimeDelta = TimeDelta::minutes(15);
/// The maximum number of pairs of address and account to keep, which take about half a megabyte.
const CAPACITY: usize = 10_000;

/// Counts attempts. It is cheap to clone, and clones share their counts.
#[derive(Clone, Debug, Default)]
pub struct Throttle {
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Keys the hashes, so that attackers cannot choose pairs that collide. Addresses themselves are not stored.
    hasher: RandomState,
    windows: Mutex<HashMap<u64, Window>>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    start: DateTime<Utc>,
    attempts: u32,
}

/// The attempts from one address for one account.
#[derive(Clone, Copy, Debug)]
pub struct Attempts(u64);

impl Throttle {
    /// The attempts from `ip` for the account of `email`.
    pub fn attempts(&self, ip: Option<IpAddr>, email: &str) -> Attempts {
        Attempts(self.state.hasher.hash_one((ip, email.to_lowercase())))
    }

    /// Counts an attempt before its outcome is known, so that concurrent attempts are all counted. Returns the problem
    /// `too_many_requests` if there were too many.
    pub fn count(&self, attempts: Attempts, now: DateTime<Utc>) -> Result<(), Problem> {
        let mut windows = self.state.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= CAPACITY && !windows.contains_key(&attempts.0) {
            evict(&mut windows, now);
        }
        let window = windows.entry(attempts.0).or_insert(Window { start: now, attempts: 0 });
        if now - window.start >= WINDOW {
            *window = Window { start: now, attempts: 0 };
        }
        if window.attempts >= MAX_ATTEMPTS {
            // Rounded up to a whole second, so that the window has certainly ended by then.
            let seconds = (window.start + WINDOW - now).num_seconds() + 1;
            return Err(Problem::too_many_requests().retry_after(seconds.unsigned_abs()));
        }
        window.attempts += 1;
        Ok(())
    }

    /// Removes the attempts after one has succeeded.
    pub fn forget(&self, attempts: Attempts) {
        self.state.windows.lock().unwrap_or_else(PoisonError::into_inner).remove(&attempts.0);
    }
}

/// Removes the windows that have ended or, if none has, the oldest tenth.
fn evict(windows: &mut HashMap<u64, Window>, now: DateTime<Utc>) {
    windows.retain(|_, window| now - window.start < WINDOW);
    if windows.len() >= CAPACITY {
        let mut starts: Vec<DateTime<Utc>> = windows.values().map(|window| window.start).collect();
        starts.sort_unstable();
        let oldest = starts[CAPACITY / 10];
        let mut excess = CAPACITY / 10;
        windows.retain(|_, window| {
            let goes = window.start <= oldest && excess > 0;
            excess -= usize::from(goes);
            !goes
        });
    }
}

#[cfg(test)]
mod tests {
    use cairn_core::clock::Clock;

    use super::*;

    #[test]
    fn too_many_attempts_wait_for_the_window_to_end() {
        let (throttle, now) = (Throttle::default(), Clock::default().now());
        let attempts = throttle.attempts(None, "A@b.co");
        for _ in 0..MAX_ATTEMPTS {
            throttle.count(attempts, now).unwrap();
        }
        assert!(
            throttle.count(throttle.attempts(None, "a@B.co"), now).is_err(),
            "the case of the address does not count"
        );
        assert!(throttle.count(throttle.attempts(None, "other@b.co"), now).is_ok());
        assert!(throttle.count(attempts, now + WINDOW - TimeDelta::seconds(1)).is_err());
        assert!(throttle.count(attempts, now + WINDOW).is_ok());
    }

    #[test]
    fn success_starts_anew() {
        let (throttle, now) = (Throttle::default(), Clock::default().now());
        let attempts = throttle.attempts(None, "a@b.co");
        for _ in 0..MAX_ATTEMPTS {
            throttle.count(attempts, now).unwrap();
        }
        throttle.forget(attempts);
        assert!(throttle.count(attempts, now).is_ok());
    }

    #[test]
    fn memory_is_bounded() {
        let (throttle, now) = (Throttle::default(), Clock::default().now());
        for i in 0..3 * CAPACITY {
            throttle.count(throttle.attempts(None, &i.to_string()), now).unwrap();
        }
        assert!(throttle.state.windows.lock().unwrap().len() <= CAPACITY);
    }
}
