//! The protocol keeps its promises, each seeded fault breaks one, and traces are recognised.

use cairn_model::protocol::{Fault, Protocol};
use cairn_model::row::{End, Row, Status};
use cairn_model::trace::{Recorded, Step, explain};
use cairn_model_check::invariants::{Outcome, check};

/// One job is enough for every fault: what happens to one does not depend on the others.
const SMALL: Protocol = Protocol { workers: 2, jobs: 1, max_attempts: 2, max_claims: 3, max_freezes: 1, fault: None };

/// One worker, which may be suspended more often. It has fewer states, and mistakes that take many steps are found sooner.
const ALONE: Protocol = Protocol { workers: 1, max_freezes: 2, ..SMALL };

/// Most states that are looked at.
const MOST: usize = 2_000_000;

fn broken(outcome: &Outcome) -> Vec<&'static str> {
    outcome.broken.iter().map(|(rule, _)| *rule).collect()
}

#[test]
fn no_promise_is_broken_in_any_state_of_one_worker() {
    let outcome = check(ALONE, None);
    assert!(outcome.broken.is_empty(), "{:?}", outcome.broken);
    assert!(outcome.is_complete && outcome.states > 1000, "{} states", outcome.states);
}

/// The whole check is `cargo xtask model`.
#[test]
fn no_promise_is_broken_in_the_first_states_of_two_workers() {
    for jobs in [1, 2] {
        let outcome = check(Protocol { jobs, ..SMALL }, Some(300_000));
        assert!(outcome.broken.is_empty(), "{:?}", outcome.broken);
    }
}

macro_rules! caught {
    ($($name:ident: $fault:ident breaks $rule:literal in $model:ident;)+) => {$(
        #[test]
        fn $name() {
            let outcome = check(Protocol { fault: Some(Fault::$fault), ..$model }, Some(MOST));
            assert!(broken(&outcome).contains(&$rule), "{} states: {:?}", outcome.states, outcome.broken);
        }
    )+};
}

caught! {
    an_end_must_name_the_time_of_its_claim: FinishIgnoresTime breaks "a late end ends no later lease" in SMALL;
    an_end_must_name_its_worker: FinishNamesTheJobOnly breaks "a late end ends no later lease" in SMALL;
    leases_must_not_be_known_by_their_jobs: LeasesKnownByJob breaks "what is held is not released" in SMALL;
    a_release_must_name_the_time_of_its_claim: ReleaseIgnoresTime breaks "what is held is not released" in SMALL;
    a_rescue_must_count: RescueTakesTheAttemptBack breaks "attempts stay within the cap" in ALONE;
    a_rescue_must_heed_heartbeats: RescueIgnoresHeartbeats breaks "a live worker keeps its jobs" in SMALL;
    a_rescue_must_heed_the_cap: RescueIgnoresTheCap breaks "nothing is lost" in SMALL;
    a_claim_must_count: ClaimDoesNotCount breaks "attempts stay within the cap" in SMALL;
    a_call_must_hold_the_lease: CallIgnoresTheLease breaks "no call is made without the lease" in SMALL;
    an_effect_must_heed_the_fence: EffectIgnoresTheFence breaks "an effect happens once" in ALONE;
    a_late_response_must_not_be_used: LateClaimsAreRun breaks "a claim that was released is not run" in SMALL;
    ages_must_be_measured_before_leases_are_compared: AgeMeasuredTooLate breaks "what is held is not released" in SMALL;
    outcomes_must_be_repeated: OutcomesAreNotRepeated breaks "attempts stay within the cap" in ALONE;
    unanswered_claims_must_be_looked_for: UnacknowledgedClaimsStay breaks "nothing is lost" in ALONE;
    an_operator_must_not_touch_what_runs: OperatorRetriesWhatRuns breaks "what is held is not released" in SMALL;
}

fn row(status: Status, attempts: i32, lease: Option<&str>) -> Recorded {
    let lease = lease.map(|worker| (worker.to_owned(), "12:00".to_owned()));
    Row { status, attempts, max_attempts: 3, lease }
}

#[test]
fn changes_that_statements_make_are_recognised_and_no_others() {
    use Status::{Dead, Done, Failed, Pending, Running};
    let free = |status, attempts| row(status, attempts, None);
    let held = |attempts| row(Running, attempts, Some("w"));
    for (before, after, step) in [
        (free(Pending, 0), held(1), Some(Step::Claimed)),
        (free(Failed, 2), held(3), Some(Step::Claimed)),
        (free(Failed, 3), held(4), None),
        (free(Done, 1), held(2), None),
        (held(1), row(Running, 2, Some("v")), None),
        (held(1), free(Done, 1), Some(Step::Done)),
        (held(1), free(Done, 2), None),
        (held(1), free(Failed, 1), Some(Step::Retried)),
        (held(1), free(Pending, 0), Some(Step::Released)),
        (held(1), free(Pending, 1), None),
        (held(3), free(Dead, 3), Some(Step::Died)),
        (held(1), row(Done, 1, Some("w")), None),
        (free(Pending, 0), free(Done, 0), None),
        (free(Pending, 0), free(Dead, 0), Some(Step::Discarded)),
        (free(Dead, 3), free(Pending, 0), Some(Step::RetriedByOperator)),
        (free(Done, 1), free(Pending, 0), None),
        (free(Pending, 0), free(Pending, 0), Some(Step::Moved)),
    ] {
        assert_eq!(explain(Some(&before), Some(&after)), step, "{before:?} to {after:?}");
    }
    assert_eq!(explain(None, Some(&free(Pending, 0))), Some(Step::Enqueued));
    assert_eq!(explain(None, Some(&free(Pending, 1))), None);
    assert_eq!(explain(Some(&free(Done, 1)), None), Some(Step::Removed));
    assert_eq!(explain(Some(&held(1)), None), None);
}

#[test]
fn the_end_of_a_lease_that_is_lost_changes_nothing() {
    let first = Row::new(3).claim("w", 1).unwrap();
    let second = first.rescue().unwrap().claim("w", 2).unwrap();
    assert_eq!(second.finish(&"w", &1, End::Done), None);
    assert_eq!(second.release(&"w", &1), None);
    assert_eq!(second.finish(&"w", &2, End::Done).unwrap().status, Status::Done);
}
