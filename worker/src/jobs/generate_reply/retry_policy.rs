//! Decides whether a reply is retried after a failed attempt.
//!
//! - If the provider is down or busy, the reply waits in the queue for up to half an hour without occupying anything.
//! - An answer that broke off or was unusable has been billed, so it is retried only a few times.
//! - A failure that would repeat itself is final at once, and one that probably would after a second attempt.

use std::time::Duration;

use cairn_core::tools::Reason;

use crate::providers::Failure;

/// How long a reply waits for its provider. It outlasts an outage of ten minutes; after half an hour no learner is still
/// waiting for the answer.
pub(super) const GIVE_UP_AFTER: Duration = Duration::from_mins(30);

/// Longest pause between two attempts, unless the provider asks for a longer one. Replies resume within this time after an
/// outage.
const MAX_PAUSE: Duration = Duration::from_secs(45);

/// What happens to a reply after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RetryDecision {
    /// There is another attempt after this time.
    RetryAfter(Duration),
    /// It has failed for this reason.
    GiveUp(Reason),
}

impl RetryDecision {
    /// `earlier` holds the codes of how earlier attempts ended, `waited` is the time since the reply was requested, and
    /// `jitter` is from 0 to 1.
    pub(super) fn after(failure: &Failure, earlier: &[String], waited: Duration, jitter: f64) -> Self {
        let pause = pause(earlier, jitter).max(failure.after.unwrap_or_default());
        match retry_limit(failure.reason) {
            RetryLimit::ByTime if waited + pause > GIVE_UP_AFTER => Self::GiveUp(Reason::ProviderUnavailable),
            RetryLimit::ByTime => Self::RetryAfter(pause),
            RetryLimit::Billed(limit) => {
                let billed = earlier.iter().filter(|code| BILLABLE.iter().any(|reason| reason.code() == *code)).count();
                if billed + 1 < limit { Self::RetryAfter(pause) } else { Self::GiveUp(failure.reason) }
            }
        }
    }
}

/// How often a failure is retried.
enum RetryLimit {
    /// Until [`GIVE_UP_AFTER`].
    ByTime,
    /// Until this many attempts have been billed.
    Billed(usize),
}

/// Failures of attempts that were billed and that another attempt may not repeat.
const BILLABLE: [Reason; 6] =
    [Reason::BrokenOff, Reason::Malformed, Reason::UnknownEnd, Reason::EmptyAnswer, Reason::TooSlow, Reason::Silent];

const fn retry_limit(reason: Reason) -> RetryLimit {
    match reason {
        Reason::Unreachable | Reason::ProviderError | Reason::RateLimited => RetryLimit::ByTime,
        Reason::Silent => RetryLimit::Billed(10), // outlasts ten minutes, and is perhaps not billed at all
        Reason::BrokenOff => RetryLimit::Billed(5),
        Reason::EmptyAnswer => RetryLimit::Billed(3),
        // What is not understood will not be understood the next time, unless it was an accident.
        // Slow ones take minutes each.
        Reason::Malformed | Reason::UnknownEnd | Reason::TooSlow => RetryLimit::Billed(2),
        _ => RetryLimit::Billed(1),
    }
}

/// Doubles from 1 s with each failed attempt, minus up to half of it at random, so that replies that failed together are
/// not retried together.
fn pause(earlier: &[String], jitter: f64) -> Duration {
    let exponent = u32::try_from(failed(earlier).count().min(10)).unwrap_or(0);
    Duration::from_secs(1 << exponent).min(MAX_PAUSE).mul_f64(0.5 + jitter / 2.0)
}

/// The attempts that failed because of the provider.
pub(super) fn failed(earlier: &[String]) -> impl Iterator<Item = &String> {
    earlier.iter().filter(|code| !NOT_FAILURES.iter().any(|reason| reason.code() == *code))
}

/// How many workers may be lost while they generate one reply. The attempt limit of the job also counts the waits for a
/// provider, so it is too high for this.
const MAX_LOST_WORKERS: usize = 5;

/// Whether a reply has to be regarded as the cause of its workers being lost.
pub(super) fn crashes_workers(earlier: &[String]) -> bool {
    earlier.iter().filter(|code| *code == Reason::Superseded.code()).count() >= MAX_LOST_WORKERS
}

/// Ways an attempt ends that have nothing to do with the provider.
const NOT_FAILURES: [Reason; 2] = [Reason::Interrupted, Reason::Superseded];

/// Whether the job of a reply that failed for this reason is kept as a dead job: an operator has to fix something, as
/// opposed to the learner having to change the question.
pub(super) const fn concerns_operators(reason: Reason) -> bool {
    !matches!(
        reason,
        Reason::ContentFilter
            | Reason::Refused
            | Reason::ContextTooLong
            | Reason::AnswerTooLong
            | Reason::EmptyAnswer
            | Reason::BudgetExceeded
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn decide(reason: Reason, earlier: &[Reason], waited: Duration) -> RetryDecision {
        let earlier: Vec<String> = earlier.iter().map(|reason| reason.code().to_owned()).collect();
        RetryDecision::after(&Failure::new(reason, ""), &earlier, waited, 1.0)
    }

    #[test]
    fn a_reply_outlasts_an_outage_of_ten_minutes_and_soon_notices_its_end() {
        for jitter in [0.0, 0.5, 1.0] {
            let (mut waited, mut earlier) = (Duration::ZERO, Vec::new());
            while waited < 10 * MINUTE {
                let decision = RetryDecision::after(&Failure::new(Reason::Unreachable, ""), &earlier, waited, jitter);
                let RetryDecision::RetryAfter(pause) = decision else { panic!("{decision:?} after {waited:?}") };
                assert!(pause <= MAX_PAUSE);
                waited += pause;
                earlier.push(Reason::Unreachable.code().to_owned());
            }
            assert!(waited < 11 * MINUTE, "{waited:?}");
            assert!(earlier.len() < 40, "{} calls", earlier.len());
        }
        assert_eq!(decide(Reason::Unreachable, &[], 30 * MINUTE), RetryDecision::GiveUp(Reason::ProviderUnavailable));
    }

    #[test]
    fn pauses_double_unless_the_provider_asks_for_longer_ones() {
        let down = [Reason::ProviderError; 10];
        assert_eq!(decide(Reason::RateLimited, &[], MINUTE), RetryDecision::RetryAfter(Duration::from_secs(1)));
        assert_eq!(decide(Reason::RateLimited, &down[..3], MINUTE), RetryDecision::RetryAfter(Duration::from_secs(8)));
        assert_eq!(decide(Reason::RateLimited, &down, MINUTE), RetryDecision::RetryAfter(MAX_PAUSE));
        assert_eq!(
            decide(Reason::Silent, &[Reason::Interrupted; 5], MINUTE),
            RetryDecision::RetryAfter(Duration::from_secs(1))
        );
        let asks =
            |seconds| Failure { after: Some(Duration::from_secs(seconds)), ..Failure::new(Reason::RateLimited, "") };
        assert_eq!(
            RetryDecision::after(&asks(90), &[], MINUTE, 1.0),
            RetryDecision::RetryAfter(Duration::from_secs(90))
        );
        assert_eq!(RetryDecision::after(&asks(0), &[], MINUTE, 1.0), RetryDecision::RetryAfter(Duration::from_secs(1)));
        assert_eq!(
            RetryDecision::after(&asks(600), &[], 25 * MINUTE, 1.0),
            RetryDecision::GiveUp(Reason::ProviderUnavailable)
        );
    }

    #[test]
    fn billed_failures_are_not_retried_for_ever() {
        let broken = [Reason::BrokenOff, Reason::Malformed, Reason::EmptyAnswer, Reason::BrokenOff];
        assert!(matches!(decide(Reason::BrokenOff, &broken[..3], MINUTE), RetryDecision::RetryAfter(_)));
        assert_eq!(decide(Reason::BrokenOff, &broken, MINUTE), RetryDecision::GiveUp(Reason::BrokenOff));
        assert!(
            matches!(decide(Reason::Unreachable, &broken, MINUTE), RetryDecision::RetryAfter(_)),
            "it is not billed"
        );
        assert!(matches!(decide(Reason::Malformed, &[Reason::Unreachable; 20], MINUTE), RetryDecision::RetryAfter(_)));
        for reason in [Reason::Malformed, Reason::UnknownEnd] {
            assert!(matches!(decide(reason, &[], MINUTE), RetryDecision::RetryAfter(_)), "{reason:?}");
            assert_eq!(decide(reason, &[reason], MINUTE), RetryDecision::GiveUp(reason));
        }
        assert_eq!(decide(Reason::TooSlow, &[Reason::TooSlow], MINUTE), RetryDecision::GiveUp(Reason::TooSlow));
    }

    #[test]
    fn a_failure_that_would_repeat_itself_is_final() {
        for reason in [
            Reason::ProviderQuota,
            Reason::Unauthorized,
            Reason::BadRequest,
            Reason::ModelNotFound,
            Reason::ContextTooLong,
            Reason::ContentFilter,
            Reason::Refused,
            Reason::AnswerTooLong,
            Reason::OnlyThinking,
            Reason::BudgetExceeded,
        ] {
            assert_eq!(decide(reason, &[], Duration::ZERO), RetryDecision::GiveUp(reason));
        }
    }
}
