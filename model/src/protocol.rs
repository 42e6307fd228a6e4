//! What happens at each step: workers over a jobs table. Time is abstract: whatever may take long may take any time, and a timeout may pass at any moment
//! at which it could have passed.

use crate::row::{End, Row, Status};
pub use crate::state::*;

/// How large the model is.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    /// Workers. All but one may die.
    pub workers: WorkerId,
    /// Jobs.
    pub jobs: JobId,
    /// Attempts of a job.
    pub max_attempts: i32,
    /// How often one job is claimed at most.
    pub max_claims: Time,
    /// How often one worker is suspended at most.
    pub max_freezes: u8,
    /// The fault that is seeded.
    pub fault: Option<Fault>,
}

impl Protocol {
    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// The beginning.
    pub fn start(&self) -> State {
        let job = Job {
            row: Row::new(self.max_attempts),
            claims: 0,
            is_old: false,
            fence: 0,
            calls: 0,
            effects: 0,
            is_retried: false,
        };
        let worker = Worker {
            life: Life::Alive,
            freezes: self.max_freezes,
            is_stopping: false,
            is_silent: false,
            answer: None,
            entries: Vec::new(),
            known: Vec::new(),
            search: None,
        };
        State { jobs: vec![job; self.jobs.into()], workers: vec![worker; self.workers.into()], broken: None }
    }

    /// What may happen next.
    pub fn enabled(&self, state: &State, actions: &mut Vec<Action>) {
        for (n, job) in (0..).zip(&state.jobs) {
            if job.row.status == Status::Running && !job.is_old {
                actions.push(Action::Age(n));
            }
            if self.may_rescue(state, job) {
                actions.push(Action::Rescue(n));
            }
            let retries_running = self.has(Fault::OperatorRetriesWhatRuns) && job.row.status == Status::Running;
            if !job.is_retried && (job.row.status == Status::Dead || retries_running) {
                actions.push(Action::OperatorRetry(n));
            }
        }
        let others_live = |n: WorkerId| {
            (0..)
                .zip(&state.workers)
                .any(|(other, worker): (WorkerId, _)| other != n && worker.life != Life::Ended && !worker.is_stopping)
        };
        for (n, worker) in (0..).zip(&state.workers) {
            match worker.life {
                Life::Ended => {
                    if !worker.is_silent {
                        actions.push(Action::FallSilent(n));
                    }
                    continue;
                }
                Life::Frozen => {
                    actions.push(Action::Thaw(n));
                    if !worker.is_silent {
                        actions.push(Action::FallSilent(n));
                    }
                    continue;
                }
                Life::Alive => {}
            }
            if others_live(n) {
                actions.push(Action::Die(n));
                if !worker.is_stopping {
                    actions.push(Action::Stop(n));
                }
            }
            if worker.freezes > 0 {
                actions.push(Action::Freeze(n));
            }
            self.of_live_worker(state, n, worker, actions);
        }
    }

    fn may_rescue(&self, state: &State, job: &Job) -> bool {
        let Some((worker, _)) = job.row.lease else { return false };
        // The timeout of heartbeats is longer than that of responses.
        let is_lost = state.workers[usize::from(worker)].is_silent || self.has(Fault::RescueIgnoresHeartbeats);
        is_lost && job.is_old
    }

    fn of_live_worker(&self, state: &State, n: WorkerId, worker: &Worker, actions: &mut Vec<Action>) {
        if worker.is_silent {
            actions.push(Action::Heartbeat(n));
        }
        if worker.answer.is_some() {
            actions.extend([Action::ReceiveClaim(n), Action::LoseClaim(n)]);
        } else if !worker.is_stopping && worker.entries.len() < 2 {
            for (job, of) in (0..).zip(&state.jobs) {
                if of.row.is_claimable() && of.claims < self.max_claims {
                    actions.push(Action::Claim(n, job));
                }
            }
        }
        match &worker.search {
            None if !worker.is_stopping && !self.has(Fault::UnacknowledgedClaimsStay) => {
                let is_worth_it = state.jobs.iter().any(|job| job.row.lease.is_some_and(|(by, _)| by == n));
                if is_worth_it {
                    actions.push(Action::SearchBegins(n));
                }
            }
            None => {}
            Some(Search::Aged(_)) => actions.push(Action::SearchCompares(n)),
            Some(Search::Compared { .. }) => actions.push(Action::SearchReleases(n)),
        }
        for (i, entry) in worker.entries.iter().enumerate() {
            match entry.phase {
                Phase::Waiting if worker.is_stopping => actions.push(Action::ReleaseWaiting(n, i)),
                Phase::Waiting => actions.push(Action::Start(n, i)),
                Phase::Running => actions.extend([Action::Call(n, i), Action::End(n, i, End::Snooze)]),
                Phase::Calling(_) => actions.extend([Action::Commit(n, i), Action::End(n, i, End::Retry)]),
                Phase::Ended(_) => actions.extend([Action::Finish(n, i), Action::FinishUnanswered(n, i)]),
            }
        }
        if worker.is_stopping && worker.entries.is_empty() && worker.answer.is_none() {
            actions.push(Action::Exit(n));
        }
    }

    /// The state after a step.
    pub fn after(&self, state: &State, action: Action) -> State {
        let mut next = state.clone();
        match action {
            Action::Claim(w, j) => self.claim(&mut next, w, j),
            Action::ReceiveClaim(w) => self.receive_claim(&mut next, w),
            Action::LoseClaim(w) => worker(&mut next, w).answer = None,
            Action::Age(j) => age(&mut next, j),
            Action::Start(w, i) => worker(&mut next, w).entries[i].phase = Phase::Running,
            Action::Call(w, i) => self.call(&mut next, w, i),
            Action::Commit(w, i) => self.commit(&mut next, w, i),
            Action::End(w, i, end) => end_run(&mut next, w, i, end),
            Action::Finish(w, i) => self.finish(&mut next, w, i, true),
            Action::FinishUnanswered(w, i) => self.finish(&mut next, w, i, self.has(Fault::OutcomesAreNotRepeated)),
            Action::Freeze(w) => {
                worker(&mut next, w).life = Life::Frozen;
                worker(&mut next, w).freezes -= 1;
            }
            Action::Thaw(w) => worker(&mut next, w).life = Life::Alive,
            Action::Die(w) => forget(worker(&mut next, w)),
            Action::FallSilent(w) => worker(&mut next, w).is_silent = true,
            Action::Heartbeat(w) => worker(&mut next, w).is_silent = false,
            Action::Rescue(j) => self.rescue(&mut next, j),
            Action::SearchBegins(w) => self.search_begins(&mut next, w),
            Action::SearchCompares(w) => {
                let worker = worker(&mut next, w);
                if let Some(Search::Aged(old)) = worker.search.take() {
                    worker.search = Some(Search::Compared { old, known: worker.known.clone() });
                }
            }
            Action::SearchReleases(w) => self.search_releases(&mut next, w),
            Action::Stop(w) => worker(&mut next, w).is_stopping = true,
            Action::ReleaseWaiting(w, i) => self.release_waiting(&mut next, w, i),
            Action::Exit(w) => {
                forget(worker(&mut next, w));
                worker(&mut next, w).is_silent = true;
            }
            Action::OperatorRetry(j) => Self::operator_retry(&mut next, j),
        }
        for worker in &mut next.workers {
            worker.entries.sort_unstable();
            worker.known.sort_unstable();
        }
        next
    }

    fn claim(&self, state: &mut State, w: WorkerId, j: JobId) {
        let job = &mut state.jobs[usize::from(j)];
        job.claims += 1;
        let time = job.claims;
        if let Some(mut row) = job.row.claim(w, time) {
            if self.has(Fault::ClaimDoesNotCount) {
                row.attempts -= 1;
            }
            job.row = row;
            job.is_old = false;
            worker(state, w).answer = Some(((j, time), false));
        }
    }

    /// A response that is late is not used, and what it brought is released.
    fn receive_claim(&self, state: &mut State, w: WorkerId) {
        let Some((key, is_late)) = worker(state, w).answer.take() else { return };
        let (j, time) = key;
        let job = &mut state.jobs[usize::from(j)];
        if is_late && !self.has(Fault::LateClaimsAreRun) {
            if let Some(row) = job.row.release(&w, &time) {
                job.row = row;
            }
            return;
        }
        let is_leased = job.row.is_leased(&w, &time);
        let attempt = job.row.attempts;
        if !is_leased {
            state.break_rule(LATE_CLAIM);
        }
        let worker = worker(state, w);
        worker.entries.push(Entry { key, attempt, phase: Phase::Waiting });
        if !self.knows(worker, key) {
            worker.known.push(key);
        }
    }

    fn knows(&self, worker: &Worker, (j, time): Key) -> bool {
        self.among(&worker.known, (j, time))
    }

    fn among(&self, known: &[Key], (j, time): Key) -> bool {
        known.iter().any(|&(job, at)| job == j && (at == time || self.has(Fault::LeasesKnownByJob)))
    }

    fn forget_key(&self, worker: &mut Worker, (j, time): Key) {
        let by_job = self.has(Fault::LeasesKnownByJob);
        worker.known.retain(|&(job, at)| job != j || (at != time && !by_job));
    }

    /// Begins a call, unless the effect exists or the lease is lost. Then the run has nothing to do.
    fn call(&self, state: &mut State, w: WorkerId, i: usize) {
        let (j, time) = state.workers[usize::from(w)].entries[i].key;
        let job = &mut state.jobs[usize::from(j)];
        let is_leased = job.row.is_leased(&w, &time);
        let phase = if job.effects == 0 && (is_leased || self.has(Fault::CallIgnoresTheLease)) {
            job.fence += 1;
            job.calls += 1;
            Phase::Calling(job.fence)
        } else {
            Phase::Ended(End::Done)
        };
        if matches!(phase, Phase::Calling(_)) && !is_leased {
            state.break_rule(STRAY_CALL);
        }
        worker(state, w).entries[i].phase = phase;
    }

    /// Commits the effect, if this is the latest call. One that is not ends without an effect.
    fn commit(&self, state: &mut State, w: WorkerId, i: usize) {
        let entry = &state.workers[usize::from(w)].entries[i];
        let (Phase::Calling(number), (j, _)) = (entry.phase, entry.key) else { return };
        let job = &mut state.jobs[usize::from(j)];
        if (number == job.fence && job.effects == 0) || self.has(Fault::EffectIgnoresTheFence) {
            job.effects += 1;
        }
        worker(state, w).entries[i].phase = Phase::Ended(End::Done);
    }

    fn finish(&self, state: &mut State, w: WorkerId, i: usize, is_answered: bool) {
        let entry = state.workers[usize::from(w)].entries[i].clone();
        let Phase::Ended(end) = entry.phase else { return };
        let (j, time) = entry.key;
        let is_lost_for_good = is_answered && self.has(Fault::OutcomesAreNotRepeated);
        let job = &mut state.jobs[usize::from(j)];
        let (by, at) = match job.row.lease {
            Some((by, at)) if self.has(Fault::FinishNamesTheJobOnly) => (by, at),
            Some((by, at)) if self.has(Fault::FinishIgnoresTime) && by == w => (by, at),
            _ => (w, time),
        };
        // In the faulty protocol every other message is lost on its way.
        let arrives = !(is_lost_for_good && entry.attempt % 2 == 1);
        if let Some(row) = job.row.finish(&by, &at, end).filter(|_| arrives) {
            job.row = row;
            if (by, at) != (w, time) {
                state.break_rule(LATE_END);
            }
        }
        if is_answered {
            let worker = worker(state, w);
            worker.entries.remove(i);
            self.forget_key(worker, (j, time));
        }
    }

    fn rescue(&self, state: &mut State, j: JobId) {
        let is_live = |worker: &Worker| worker.life == Life::Alive && !worker.is_silent;
        let holder = state.jobs[usize::from(j)].row.lease.map(|(by, _)| &state.workers[usize::from(by)]);
        let is_wrong = holder.is_some_and(is_live);
        let job = &mut state.jobs[usize::from(j)];
        if let Some(mut row) = job.row.rescue() {
            if self.has(Fault::RescueTakesTheAttemptBack) {
                row.attempts -= 1;
            }
            if self.has(Fault::RescueIgnoresTheCap) {
                row.status = Status::Failed;
            }
            job.row = row;
        }
        if is_wrong {
            state.break_rule(LIVE_RESCUED);
        }
    }

    fn search_begins(&self, state: &mut State, w: WorkerId) {
        let old = if self.has(Fault::AgeMeasuredTooLate) { Vec::new() } else { old_leases(state, w) };
        worker(state, w).search = Some(Search::Aged(old));
    }

    fn search_releases(&self, state: &mut State, w: WorkerId) {
        let Some(Search::Compared { mut old, known }) = worker(state, w).search.take() else { return };
        if self.has(Fault::AgeMeasuredTooLate) {
            old = old_leases(state, w);
        }
        for (j, time) in old {
            if self.among(&known, (j, time)) {
                continue;
            }
            let job = &mut state.jobs[usize::from(j)];
            let Some(row) = job.row.release(&w, &time) else { continue };
            job.row = row;
            if state.workers[usize::from(w)].entries.iter().any(|entry| entry.key == (j, time)) {
                state.break_rule(HELD_RELEASED);
            }
        }
    }

    fn release_waiting(&self, state: &mut State, w: WorkerId, i: usize) {
        let (j, time) = worker(state, w).entries.remove(i).key;
        let job = &mut state.jobs[usize::from(j)];
        let at = match job.row.lease {
            Some((by, at)) if by == w && self.has(Fault::ReleaseIgnoresTime) => at,
            _ => time,
        };
        if let Some(row) = job.row.release(&w, &at) {
            job.row = row;
            if at != time {
                state.break_rule(HELD_RELEASED);
            }
        }
        let worker = worker(state, w);
        self.forget_key(worker, (j, time));
    }

    fn operator_retry(state: &mut State, j: JobId) {
        let job = &mut state.jobs[usize::from(j)];
        job.is_retried = true;
        let is_running = job.row.status == Status::Running;
        let holder = job.row.lease;
        let row = if is_running { job.row.rescue().and_then(|row| row.retry()) } else { job.row.retry() };
        if let Some(row) = row {
            job.row = row;
            job.calls = 0;
        }
        let is_held = |(by, at): (WorkerId, Time)| {
            state.workers[usize::from(by)].entries.iter().any(|entry| entry.key == (j, at))
        };
        if is_running && holder.is_some_and(is_held) {
            state.break_rule(HELD_RELEASED);
        }
    }
}

fn worker(state: &mut State, w: WorkerId) -> &mut Worker {
    &mut state.workers[usize::from(w)]
}

/// Everything in memory is lost.
fn forget(worker: &mut Worker) {
    worker.life = Life::Ended;
    worker.answer = None;
    worker.entries.clear();
    worker.known.clear();
    worker.search = None;
}

fn age(state: &mut State, j: JobId) {
    let job = &mut state.jobs[usize::from(j)];
    job.is_old = true;
    let Some((by, at)) = job.row.lease else { return };
    if let Some((key, is_late)) = &mut worker(state, by).answer
        && *key == (j, at)
    {
        *is_late = true;
    }
}

fn end_run(state: &mut State, w: WorkerId, i: usize, end: End) {
    let (j, _) = state.workers[usize::from(w)].entries[i].key;
    let max_attempts = state.jobs[usize::from(j)].row.max_attempts;
    let entry = &mut worker(state, w).entries[i];
    let is_last = end == End::Retry && entry.attempt >= max_attempts;
    entry.phase = Phase::Ended(if is_last { End::Dead } else { end });
}

fn old_leases(state: &State, w: WorkerId) -> Vec<Key> {
    let of = |(j, job): (JobId, &Job)| job.row.lease.filter(|(by, _)| *by == w && job.is_old).map(|(_, at)| (j, at));
    (0..).zip(&state.jobs).filter_map(of).collect()
}
