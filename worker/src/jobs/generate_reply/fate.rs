//! What becomes of a reply whose attempt failed.
//!
//! - A provider that is down or busy is waited for: the reply goes back into the queue, for half an hour if need be, and
//!   holds nothing meanwhile.
//! - An answer that broke off, or came to nothing, was paid for: it is begun anew a few times.
//! - What would fail again is final at once.

use std::time::Duration;

use cairn_core::tools::Reason;

use crate::providers::Failure;

/// How long a reply waits for its provider. An outage of ten minutes is waited out; after half an hour nobody waits for
/// the answer any more.
pub(super) const GIVE_UP_AFTER: Duration = Duration::from_mins(30);

/// Longest pause between two attempts, unless the provider asks for more: so soon after an outage replies go on.
const LONGEST_PAUSE: Duration = Duration::from_secs(45);

/// What becomes of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Another attempt, after this time.
    Again(Duration),
    /// It has failed, for this reason.
    GiveUp(Reason),
}

impl Fate {
    /// `earlier` are the codes of how earlier attempts ended, `waited` is how long the reply has been asked for, `jitter`
    /// is from 0 to 1.
    pub(super) fn of(failure: &Failure, earlier: &[String], waited: Duration, jitter: f64) -> Self {
        let pause = pause(earlier, jitter).max(failure.after.unwrap_or_default());
        match attempts(failure.reason) {
            Attempts::UntilGivenUp if waited + pause > GIVE_UP_AFTER => Self::GiveUp(Reason::ProviderUnavailable),
            Attempts::UntilGivenUp => Self::Again(pause),
            Attempts::AtMost(most) => {
                let begun = earlier.iter().filter(|code| PAID_FOR.iter().any(|reason| reason.code() == *code)).count();
                if begun + 1 < most { Self::Again(pause) } else { Self::GiveUp(failure.reason) }
            }
        }
    }
}

enum Attempts {
    /// Until the reply is given up.
    UntilGivenUp,
    /// So many that were paid for.
    AtMost(usize),
}

/// Reasons that end an attempt which was paid for and may go better the next time.
const PAID_FOR: [Reason; 4] = [Reason::BrokenOff, Reason::Malformed, Reason::EmptyAnswer, Reason::TooSlow];

const fn attempts(reason: Reason) -> Attempts {
    match reason {
        Reason::Unreachable | Reason::ProviderError | Reason::RateLimited | Reason::Silent => Attempts::UntilGivenUp,
        Reason::BrokenOff | Reason::Malformed | Reason::EmptyAnswer => Attempts::AtMost(5),
        Reason::TooSlow => Attempts::AtMost(2), // each takes minutes
        _ => Attempts::AtMost(1),
    }
}

/// Doubles from 1 s with each attempt that failed, and a random half of it less, so that replies that failed together
/// come back apart.
fn pause(earlier: &[String], jitter: f64) -> Duration {
    let failed = earlier.iter().filter(|code| !NO_FAILURE.iter().any(|reason| reason.code() == *code)).count();
    let exponent = u32::try_from(failed.min(10)).unwrap_or(0);
    Duration::from_secs(1 << exponent).min(LONGEST_PAUSE).mul_f64(0.5 + jitter / 2.0)
}

/// Workers that a reply may cost. The job's own cap counts the waits for a provider too, so it is too far away for this.
const MAX_LOST: usize = 5;

/// Whether a reply has to be taken for the reason that its workers are lost.
pub(super) fn takes_workers_down(earlier: &[String]) -> bool {
    earlier.iter().filter(|code| *code == Reason::Superseded.code()).count() >= MAX_LOST
}

/// Ends of an attempt that the provider has no part in.
const NO_FAILURE: [Reason; 2] = [Reason::Interrupted, Reason::Superseded];

/// Whether the job of a reply that failed so is kept as a dead letter: somebody has to do something about the provider,
/// as opposed to the learner about the question.
pub(super) const fn concerns_operators(reason: Reason) -> bool {
    !matches!(
        reason,
        Reason::ContentFilter | Reason::Refused | Reason::ContextTooLong | Reason::AnswerTooLong | Reason::EmptyAnswer
    )
}

/// Whether the endpoint works, as far as a failure tells: whoever answers works, whatever the answer is. What may
/// have failed before any call tells nothing.
pub(super) const fn works(reason: Reason) -> Option<bool> {
    match reason {
        Reason::Unreachable | Reason::ProviderError | Reason::Silent => Some(false),
        Reason::ContextTooLong | Reason::AttemptsExhausted => None,
        _ => Some(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn of(reason: Reason, earlier: &[Reason], waited: Duration) -> Fate {
        let earlier: Vec<String> = earlier.iter().map(|reason| reason.code().to_owned()).collect();
        Fate::of(&Failure::new(reason, ""), &earlier, waited, 1.0)
    }

    #[test]
    fn an_outage_of_ten_minutes_is_waited_out_by_a_policy_that_soon_notices_its_end() {
        for jitter in [0.0, 0.5, 1.0] {
            let (mut waited, mut earlier) = (Duration::ZERO, Vec::new());
            while waited < 10 * MINUTE {
                let fate = Fate::of(&Failure::new(Reason::Unreachable, ""), &earlier, waited, jitter);
                let Fate::Again(pause) = fate else { panic!("{fate:?} after {waited:?}") };
                assert!(pause <= LONGEST_PAUSE);
                waited += pause;
                earlier.push(Reason::Unreachable.code().to_owned());
            }
            assert!(waited < 11 * MINUTE, "{waited:?}");
            assert!(earlier.len() < 40, "{} calls", earlier.len());
        }
        assert_eq!(of(Reason::Unreachable, &[], 30 * MINUTE), Fate::GiveUp(Reason::ProviderUnavailable));
    }

    #[test]
    fn pauses_double_and_the_providers_own_count() {
        let down = [Reason::ProviderError; 10];
        assert_eq!(of(Reason::RateLimited, &[], MINUTE), Fate::Again(Duration::from_secs(1)));
        assert_eq!(of(Reason::RateLimited, &down[..3], MINUTE), Fate::Again(Duration::from_secs(8)));
        assert_eq!(of(Reason::RateLimited, &down, MINUTE), Fate::Again(LONGEST_PAUSE));
        assert_eq!(of(Reason::Silent, &[Reason::Interrupted; 5], MINUTE), Fate::Again(Duration::from_secs(1)));
        let asks =
            |seconds| Failure { after: Some(Duration::from_secs(seconds)), ..Failure::new(Reason::RateLimited, "") };
        assert_eq!(Fate::of(&asks(90), &[], MINUTE, 1.0), Fate::Again(Duration::from_secs(90)));
        assert_eq!(Fate::of(&asks(0), &[], MINUTE, 1.0), Fate::Again(Duration::from_secs(1)));
        assert_eq!(Fate::of(&asks(600), &[], 25 * MINUTE, 1.0), Fate::GiveUp(Reason::ProviderUnavailable));
    }

    #[test]
    fn what_is_paid_for_is_not_begun_for_ever() {
        let broken = [Reason::BrokenOff, Reason::Malformed, Reason::EmptyAnswer, Reason::BrokenOff];
        assert!(matches!(of(Reason::BrokenOff, &broken[..3], MINUTE), Fate::Again(_)));
        assert_eq!(of(Reason::BrokenOff, &broken, MINUTE), Fate::GiveUp(Reason::BrokenOff));
        assert!(matches!(of(Reason::Unreachable, &broken, MINUTE), Fate::Again(_)), "nothing is paid for");
        assert!(matches!(of(Reason::Malformed, &[Reason::Unreachable; 20], MINUTE), Fate::Again(_)));
        assert_eq!(of(Reason::TooSlow, &[Reason::TooSlow], MINUTE), Fate::GiveUp(Reason::TooSlow));
    }

    #[test]
    fn only_a_call_tells_how_the_endpoint_is() {
        for reason in [Reason::Unreachable, Reason::ProviderError, Reason::Silent] {
            assert_eq!(works(reason), Some(false), "{reason:?}");
        }
        for reason in [Reason::RateLimited, Reason::Unauthorized, Reason::BrokenOff, Reason::Refused] {
            assert_eq!(works(reason), Some(true), "{reason:?}");
        }
        for reason in [Reason::ContextTooLong, Reason::AttemptsExhausted] {
            assert_eq!(works(reason), None, "{reason:?}");
        }
    }

    #[test]
    fn what_would_fail_again_is_final() {
        for reason in [
            Reason::ProviderQuota,
            Reason::Unauthorized,
            Reason::BadRequest,
            Reason::ModelNotFound,
            Reason::ContextTooLong,
            Reason::ContentFilter,
            Reason::Refused,
            Reason::AnswerTooLong,
        ] {
            assert_eq!(of(reason, &[], Duration::ZERO), Fate::GiveUp(reason));
        }
    }
}
