//! How long to wait for a provider.
//!
//! Whatever arrives shows that the provider works, so it may think for as long as it says so, up to the limit for the whole
//! answer. A provider that answers as a whole can say nothing in between.

use std::time::Duration;

use cairn_core::config::AiLimits;
use tokio::time::Instant;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    limits: AiLimits,
    started: Instant,
    /// When the provider will have been silent for too long.
    silent_at: Instant,
    /// For how long nobody listened to the provider.
    unheard: Duration,
}

/// For how long at most nobody needs to listen, so that an answer has an end while the database falters.
const MAX_UNHEARD: Duration = Duration::from_secs(20);

/// Which limit was exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exceeded {
    /// Nothing arrived for too long.
    Silent,
    /// The answer is not complete after the limit for the whole answer.
    TooSlow,
}

impl Patience {
    /// For a request that is sent at `started`.
    pub(super) fn new(limits: AiLimits, started: Instant) -> Self {
        Self { limits, started, silent_at: started + limits.first_token, unheard: Duration::ZERO }
    }

    /// Something arrived.
    pub(super) fn heard(&mut self, now: Instant, has_text: bool) {
        let limit = if has_text { self.limits.silence } else { self.limits.silence.max(self.limits.first_token) };
        self.silent_at = now + limit;
    }

    /// Nobody listened for this long, because something was stored. What has arrived meanwhile was not read.
    pub(super) fn forgive(&mut self, time: Duration) {
        let time = time.min(MAX_UNHEARD.saturating_sub(self.unheard));
        self.unheard += time;
        self.silent_at += time;
    }

    /// Nothing will arrive before the end.
    pub(super) fn expect_silence(&mut self) {
        self.silent_at = self.too_slow_at();
    }

    /// When a limit will be exceeded.
    pub(super) fn ends_at(&self) -> Instant {
        self.silent_at.min(self.too_slow_at())
    }

    pub(super) fn exceeded(&self, now: Instant) -> Option<Exceeded> {
        if self.too_slow_at() <= now {
            Some(Exceeded::TooSlow)
        } else {
            (self.silent_at <= now).then_some(Exceeded::Silent)
        }
    }

    fn too_slow_at(&self) -> Instant {
        self.started + self.limits.total + self.unheard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn patience() -> (Patience, Instant) {
        let started = Instant::now();
        let limits =
            AiLimits { first_token: seconds(30), silence: seconds(10), total: seconds(120), ..AiLimits::default() };
        (Patience::new(limits, started), started)
    }

    #[test]
    fn a_provider_that_is_heard_from_may_think_up_to_the_limit_of_the_answer() {
        let (mut patience, started) = patience();
        for n in 1..=119 {
            patience.heard(started + seconds(n), false);
            assert_eq!(patience.exceeded(started + seconds(n)), None);
        }
        assert_eq!(patience.exceeded(started + seconds(120)), Some(Exceeded::TooSlow));
    }

    #[test]
    fn silence_is_noticed_before_and_after_the_first_text() {
        let (mut patience, started) = patience();
        assert_eq!(patience.exceeded(started + seconds(29)), None);
        assert_eq!(patience.exceeded(started + seconds(30)), Some(Exceeded::Silent));
        patience.heard(started + seconds(20), false);
        assert_eq!(patience.exceeded(started + seconds(49)), None, "the first text may still take its time");
        patience.heard(started + seconds(40), true);
        assert_eq!(patience.exceeded(started + seconds(49)), None);
        assert_eq!(patience.exceeded(started + seconds(50)), Some(Exceeded::Silent));
        assert_eq!(patience.ends_at(), started + seconds(50));
    }

    #[test]
    fn the_provider_is_not_answerable_for_time_in_which_nobody_listened() {
        let (mut patience, started) = patience();
        patience.heard(started + seconds(60), true);
        patience.forgive(seconds(7));
        assert_eq!(patience.exceeded(started + seconds(76)), None);
        assert_eq!(patience.exceeded(started + seconds(77)), Some(Exceeded::Silent));
        for n in 61..127 {
            patience.heard(started + seconds(n), true);
            assert_eq!(patience.exceeded(started + seconds(n)), None);
        }
        assert_eq!(patience.exceeded(started + seconds(127)), Some(Exceeded::TooSlow));
        patience.forgive(seconds(600));
        assert_eq!(patience.exceeded(started + seconds(140)), Some(Exceeded::TooSlow), "but there is an end");
    }

    #[test]
    fn an_answer_that_comes_as_a_whole_has_all_of_the_time() {
        let (mut patience, started) = patience();
        patience.expect_silence();
        assert_eq!(patience.exceeded(started + seconds(119)), None);
        assert_eq!(patience.exceeded(started + seconds(120)), Some(Exceeded::TooSlow));
    }
}
