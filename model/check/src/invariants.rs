//! What must hold in every state, and the check of it.

use stateright::{Checker, HasDiscoveries, Model, Property};

use cairn_model::protocol::{
    Action, Fault, HELD_RELEASED, Job, JobId, LATE_CLAIM, LATE_END, LIVE_RESCUED, Life, Phase, Protocol, STRAY_CALL,
    State,
};
use cairn_model::row::Status;

/// A protocol that is checked.
#[derive(Clone, Copy, Debug)]
pub struct Checked(pub Protocol);

impl Model for Checked {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.0.start()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        // What follows from a broken rule is of no interest.
        if state.broken.is_none() {
            self.0.enabled(state, actions);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        Some(self.0.after(state, action)).filter(|next| next != state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let rule = |name, condition| Property::<Self>::always(name, condition);
        vec![
            rule("a lease is held once", |_, state| (0..).zip(&state.jobs).all(|(j, job)| holders(state, j, job) <= 1)),
            rule("an effect happens once", |_, state| state.jobs.iter().all(|job| job.effects <= 1)),
            rule("what is done has had its effect", |_, state| {
                state.jobs.iter().all(|job| job.row.status != Status::Done || job.effects > 0)
            }),
            rule("attempts stay within the cap", |_, state| state.jobs.iter().all(is_within_cap)),
            rule("nothing is lost", |protocol, state| {
                (0..).zip(&state.jobs).all(|(j, job)| somebody_is_responsible(&protocol.0, state, j, job))
            }),
            rule(LATE_END, |_, state| state.broken != Some(LATE_END)),
            rule(HELD_RELEASED, |_, state| state.broken != Some(HELD_RELEASED)),
            rule(LIVE_RESCUED, |_, state| state.broken != Some(LIVE_RESCUED)),
            rule(STRAY_CALL, |_, state| state.broken != Some(STRAY_CALL)),
            rule(LATE_CLAIM, |_, state| state.broken != Some(LATE_CLAIM)),
        ]
    }
}

/// How many runs have the lease of the job as it is in the database, and have not ended.
fn holders(state: &State, j: JobId, job: &Job) -> usize {
    let Some((by, at)) = job.row.lease else { return 0 };
    let entries = state.workers[usize::from(by)].entries.iter();
    entries.filter(|entry| entry.key == (j, at) && !matches!(entry.phase, Phase::Ended(_))).count()
}

/// Attempts do not exceed the cap, and neither do the calls that cost money.
fn is_within_cap(job: &Job) -> bool {
    let cap = job.row.max_attempts;
    (0..=cap).contains(&job.row.attempts)
        && job.calls <= cap
        && (job.row.status == Status::Running) == job.row.lease.is_some()
}

/// A job that has not ended will be claimed, is being run, or will be taken from whoever has it.
fn somebody_is_responsible(protocol: &Protocol, state: &State, j: JobId, job: &Job) -> bool {
    match (job.row.status, job.row.lease) {
        (Status::Done | Status::Dead, _) => true,
        (Status::Pending | Status::Failed, _) => job.row.is_claimable(),
        (Status::Running, None) => false,
        (Status::Running, Some((by, at))) => {
            let worker = &state.workers[usize::from(by)];
            let is_on_its_way = worker.answer.is_some_and(|(key, _)| key == (j, at));
            let is_run = worker.entries.iter().any(|entry| entry.key == (j, at));
            let is_released =
                !worker.known.contains(&(j, at)) && protocol.fault != Some(Fault::UnacknowledgedClaimsStay);
            worker.life != Life::Alive || worker.is_silent || is_on_its_way || is_run || is_released
        }
    }
}

/// What a check found.
#[derive(Debug)]
pub struct Outcome {
    /// How many different states were looked at.
    pub states: usize,
    /// Whether those are all that there are.
    pub is_complete: bool,
    /// The names of the rules that are broken, each with the steps that break it.
    pub broken: Vec<(&'static str, Vec<Action>)>,
}

/// Looks at the states that can be reached: all, or about as many as `limit` says.
pub fn check(protocol: Protocol, limit: Option<usize>) -> Outcome {
    let mut checker = Checked(protocol).checker().threads(2);
    if let Some(limit) = limit {
        checker = checker.target_state_count(limit);
    }
    if protocol.fault.is_some() {
        checker = checker.finish_when(HasDiscoveries::Any);
    }
    let checker = checker.spawn_bfs().join();
    let found = checker.discoveries();
    let mut broken: Vec<_> = found.into_iter().map(|(name, path)| (name, path.into_actions())).collect();
    broken.sort_by_key(|(_, actions)| actions.len());
    let states = checker.unique_state_count();
    let is_complete = limit.is_none_or(|limit| checker.state_count() < limit);
    Outcome { states, is_complete, broken }
}
