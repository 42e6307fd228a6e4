//! What operators can do with jobs: retry or discard them.
//!
//! ```text
//! due · scheduled · retrying · dead ──discard──▶ discarded
//! scheduled · retrying · dead · discarded ──retry──▶ due, with all attempts
//! ```
//!
//! Running and done jobs are never changed, because each statement checks the state while the row is locked. A discarded job is
//! kept like one that has just died, so that the reconciler takes care of what depends on it (a reply, a recomputation). It
//! can be inspected and retried until retention removes it.

use serde_json::json;
use sqlx::PgConnection;
use ulid::Ulid;
use uuid::Uuid;

use crate::Result;
use crate::activity::{Action, Noun, Target, Verb};
use crate::db::Tx;
use crate::queue::inspect::{self, Filter, Key, State};
use crate::queue::{JobKind, Queue};
use crate::refusal::{NotFound, OrRefuse, Rejected};

/// An action on jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobAction {
    /// Makes the job due now, with all its attempts. The errors so far are kept.
    Retry,
    /// Prevents the job from running. It no longer counts as dead.
    Discard,
}

impl JobAction {
    /// The states in which jobs can be selected for the action.
    pub const fn states(self) -> [State; 4] {
        match self {
            Self::Retry => [State::Scheduled, State::Retrying, State::Dead, State::Discarded],
            Self::Discard => [State::Due, State::Scheduled, State::Retrying, State::Dead],
        }
    }

    /// The state of a job after the action.
    const fn result(self) -> State {
        match self {
            Self::Retry => State::Due,
            Self::Discard => State::Discarded,
        }
    }
}

/// Why a job is not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobRefusal {
    /// There is no such job.
    NotFound(NotFound),
    /// The job is running.
    Running,
    /// The job is done.
    Finished,
}

impl From<NotFound> for JobRefusal {
    fn from(not_found: NotFound) -> Self {
        Self::NotFound(not_found)
    }
}

/// Applies an action to one job. Returns whether it changed anything. Repeating it changes nothing.
pub async fn apply_one(tx: &mut Tx, action: JobAction, id: &str) -> Result<bool, Rejected<JobRefusal>> {
    let state = sqlx::query_scalar!(
        r#"SELECT job_state(j) AS "state!: State" FROM apalis.jobs j WHERE j.id = $1 FOR UPDATE"#,
        id
    )
    .fetch_optional(&mut **tx)
    .await?
    .or_not_found(Noun::Job)?;
    match state {
        State::Running => return Err(Rejected::Refused(JobRefusal::Running)),
        State::Done => return Err(Rejected::Refused(JobRefusal::Finished)),
        State::Discarded if action == JobAction::Discard => return Ok(false),
        _ => {}
    }
    let Some(before) = change(tx, action, state, &[id.to_owned()]).await?.pop() else { return Ok(false) };
    let (verb, attempts) = match action {
        JobAction::Retry => (Verb::Retried, 0),
        JobAction::Discard => (Verb::Discarded, before.attempts),
    };
    // A ULID has as many bits as a UUID, so it can be the target of an activity.
    let target = Ulid::from_string(id).ok().map(|ulid| Target::new(Noun::Job, Uuid::from_u128(ulid.0), &before.queue));
    let details = json!({
        "job_id": id,
        "queue": before.queue,
        "before": {"state": state, "attempts": before.attempts},
        "after": {"state": action.result(), "attempts": attempts},
    });
    tx.record(Action::new(Noun::Job, verb).target(target).with(details))?;
    Ok(true)
}

/// The jobs of a queue, or of one kind in it, that are in one state.
#[derive(Clone, Copy, Debug)]
pub struct Selection {
    queue: Queue,
    kind: Option<JobKind>,
    state: State,
}

impl Selection {
    /// `None` if the kind belongs to another queue, or the action cannot be applied to jobs in that state.
    pub fn new(action: JobAction, queue: Queue, kind: Option<JobKind>, state: State) -> Option<Self> {
        let fits = kind.is_none_or(|kind| kind.queue() == queue) && action.states().contains(&state);
        fits.then_some(Self { queue, kind, state })
    }
}

/// The most jobs that one call changes.
pub const BATCH_SIZE: usize = 100;

/// The result of an action on a batch of jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The number of changed jobs, without those that a worker has claimed in the meantime.
    pub changed: usize,
    /// Where to continue; `None` if there are no further jobs.
    pub next: Option<Key>,
}

/// Applies an action to the next [`BATCH_SIZE`] jobs of a selection. Proceeds from the newest to the oldest, so that it does not
/// meet a job again that dies at once.
pub async fn apply_batch(tx: &mut Tx, action: JobAction, selection: &Selection, after: Option<&Key>) -> Result<Batch> {
    let Selection { queue, kind, state } = *selection;
    let Some(filter) = Filter::new(Some(state), Some(queue), kind) else { return Ok(Batch { changed: 0, next: None }) };
    let mut jobs = inspect::list(tx, &filter, after, inspect::LIST_LIMIT).await?;
    let is_more = jobs.len() > BATCH_SIZE;
    jobs.truncate(BATCH_SIZE);
    let next = jobs.last().filter(|_| is_more).and_then(inspect::JobSummary::key);
    let ids: Vec<String> = jobs.into_iter().map(|job| job.id).collect();
    let changed = change(tx, action, state, &ids).await?.len();
    if changed > 0 {
        let verb = match action {
            JobAction::Retry => Verb::Retried,
            JobAction::Discard => Verb::Discarded,
        };
        let details = json!({
            "queue": queue.name(),
            "kind": kind.map(JobKind::name),
            "count": changed,
            "before": {"state": state},
            "after": {"state": action.result()},
        });
        tx.record(Action::new(Noun::Jobs, verb).with(details))?;
    }
    Ok(Batch { changed, next })
}

/// The current number of jobs in a selection.
pub async fn count(connection: &mut PgConnection, selection: &Selection) -> Result<i64> {
    let count = sqlx::query_scalar!(
        r#"SELECT
               (SELECT count(*) FROM apalis.jobs j
                WHERE job_type = $1 AND (status = 'Pending' OR (status = 'Failed' AND attempts < max_attempts))
                  AND job_state(j) = $2 AND ($3::text IS NULL OR job_kind(job) = $3))
               + (SELECT count(*) FROM apalis.jobs j
                  WHERE job_type = $1 AND (status = 'Killed' OR (status = 'Failed' AND attempts >= max_attempts))
                    AND job_state(j) = $2 AND ($3 IS NULL OR job_kind(job) = $3)) AS "count!""#,
        selection.queue.name(),
        selection.state.name(),
        selection.kind.map(JobKind::name)
    );
    Ok(count.fetch_one(connection).await?)
}

/// What is recorded about a job before an action.
struct Before {
    queue: String,
    attempts: i32,
}

/// Applies an action to those of the jobs that are in `state`, which the action must be applicable to.
async fn change(tx: &mut Tx, action: JobAction, state: State, ids: &[String]) -> Result<Vec<Before>> {
    let changed = match action {
        JobAction::Retry => retry(tx, state, ids).await?,
        JobAction::Discard => discard(tx, state, ids).await?,
    };
    if action == JobAction::Retry {
        for queue in changed.iter().filter_map(|job| Queue::from_name(&job.queue)) {
            tx.notify_queue(queue);
        }
    }
    Ok(changed)
}

/// A due job keeps its position in the queue, and one that is due for its first attempt is not changed. Jobs are locked in the
/// order of their ids, so that two operators cannot deadlock.
async fn retry(connection: &mut PgConnection, state: State, ids: &[String]) -> Result<Vec<Before>> {
    let changed = sqlx::query_as!(
        Before,
        r#"WITH chosen AS (
               SELECT j.id, j.attempts FROM apalis.jobs j
               WHERE j.id = ANY ($1) AND job_state(j) = $2
                 AND NOT (j.status = 'Pending' AND j.attempts = 0 AND j.run_at <= now())
               ORDER BY j.id
               FOR UPDATE
           )
           UPDATE apalis.jobs j
           SET status = 'Pending', attempts = 0, run_at = CASE WHEN $2 = 'due' THEN j.run_at ELSE now() END,
               lock_by = NULL, lock_at = NULL, done_at = NULL, metadata = j.metadata - 'discarded'::text
           FROM chosen c WHERE j.id = c.id
           RETURNING j.job_type AS queue, c.attempts"#,
        ids,
        state.name()
    );
    Ok(changed.fetch_all(connection).await?)
}

async fn discard(tx: &mut Tx, state: State, ids: &[String]) -> Result<Vec<Before>> {
    let changed = sqlx::query_as!(
        Before,
        r#"WITH chosen AS (
               SELECT j.id, j.attempts FROM apalis.jobs j
               WHERE j.id = ANY ($1) AND job_state(j) = $2
               ORDER BY j.id
               FOR UPDATE
           )
           UPDATE apalis.jobs j
           SET status = 'Killed', lock_by = NULL, lock_at = NULL, done_at = now(),
               metadata = coalesce(j.metadata, '') || hstore('discarded', $3),
               last_result = jsonb_build_object('Err', 'discarded by an operator', 'attempts',
                   jsonb_path_query_array(coalesce(j.last_result -> 'attempts', '[]'), '$[*]'))
           FROM chosen c WHERE j.id = c.id
           RETURNING j.job_type AS queue, c.attempts"#,
        ids,
        state.name(),
        tx.actor().user_id.map_or_else(String::new, |id| id.to_string())
    );
    Ok(changed.fetch_all(&mut **tx).await?)
}
