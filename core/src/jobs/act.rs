//! What operators do to jobs: have them tried again, or give them up.
//!
//! ```text
//! due · scheduled · retrying · dead ──discard──▶ discarded      due now, with all attempts:
//!           scheduled · retrying · dead · discarded ──retry──▶ due
//! ```
//!
//! A job that runs or is done is never touched: each statement looks at the state under the row's lock. A discarded job
//! stays, as one that died just now, so that whatever depends on its end (a reply, a walk over a roadmap's learners) is
//! taken care of by the reconciler; it can be looked at, and retried, until retention removes it.

use serde_json::json;
use sqlx::PgConnection;
use ulid::Ulid;
use uuid::Uuid;

use super::inspect::{self, Filter, Key, State};
use super::{Kind, Queue};
use crate::Result;
use crate::admin::activity::{Action, Event, Target};
use crate::clock::Clock;
use crate::db::Tx;
use crate::users::Caller;

/// What is done to jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Due now, with all attempts ahead again. The errors so far are kept.
    Retry,
    /// Never to be run, and not counted as dead any more.
    Discard,
}

impl Act {
    /// The states of many jobs at once that it can be done to.
    pub const fn states(self) -> [State; 4] {
        match self {
            Self::Retry => [State::Scheduled, State::Retrying, State::Dead, State::Discarded],
            Self::Discard => [State::Due, State::Scheduled, State::Retrying, State::Dead],
        }
    }

    /// The state of a job that it was done to.
    const fn result(self) -> State {
        match self {
            Self::Retry => State::Due,
            Self::Discard => State::Discarded,
        }
    }
}

/// What became of an act on one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acted {
    /// Done.
    Changed,
    /// The job was so already.
    Unchanged,
    /// There is no such job.
    NotFound,
    /// A worker has it.
    Running,
    /// It is done.
    Finished,
}

/// Acts on one job. Repeating it changes nothing.
pub async fn on_one(tx: &mut Tx, clock: &Clock, operator: Option<&Caller>, act: Act, id: &str) -> Result<Acted> {
    let state = sqlx::query_scalar!(
        r#"SELECT job_state(j) AS "state!: State" FROM apalis.jobs j WHERE j.id = $1 FOR UPDATE"#,
        id
    )
    .fetch_optional(&mut **tx)
    .await?;
    let state = match state {
        None => return Ok(Acted::NotFound),
        Some(State::Running) => return Ok(Acted::Running),
        Some(State::Done) => return Ok(Acted::Finished),
        Some(State::Discarded) if act == Act::Discard => return Ok(Acted::Unchanged),
        Some(state) => state,
    };
    let Some(before) = change(tx, operator, act, state, &[id.to_owned()]).await?.pop() else {
        return Ok(Acted::Unchanged);
    };
    let (action, attempts) = match act {
        Act::Retry => (Action::JobRetried, 0),
        Act::Discard => (Action::JobDiscarded, before.attempts),
    };
    // A ULID has as many bits as a UUID, and so can be the target of an activity.
    let target = Ulid::from_string(id).ok().map(|ulid| Target::new("job", Uuid::from_u128(ulid.0), &before.queue));
    let details = json!({
        "job_id": id,
        "queue": before.queue,
        "before": {"state": state, "attempts": before.attempts},
        "after": {"state": act.result(), "attempts": attempts},
    });
    Event::by_operator(operator, clock, action, target).with(details).record(tx)?;
    Ok(Acted::Changed)
}

/// Many jobs to act on: those of a queue, or of one kind in it, that are in one state.
#[derive(Clone, Copy, Debug)]
pub struct Selection {
    queue: Queue,
    kind: Option<Kind>,
    state: State,
}

impl Selection {
    /// None if the kind goes to another queue, or the act is not for jobs in that state.
    pub fn new(act: Act, queue: Queue, kind: Option<Kind>, state: State) -> Option<Self> {
        let fits = kind.is_none_or(|kind| kind.queue() == queue) && act.states().contains(&state);
        fits.then_some(Self { queue, kind, state })
    }
}

/// Jobs that one call acts on at most.
pub const CHUNK: usize = 100;

/// What became of an act on many jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Jobs that were changed. Those that a worker took meanwhile are not among them.
    pub changed: usize,
    /// Where to go on; none = all have been seen.
    pub next: Option<Key>,
}

/// Acts on the next [`CHUNK`] jobs of a selection. Goes from the newest to the oldest, so that a job that dies again at
/// once is not met again.
pub async fn on_chunk(
    tx: &mut Tx,
    clock: &Clock,
    operator: Option<&Caller>,
    act: Act,
    selection: &Selection,
    after: Option<&Key>,
) -> Result<Chunk> {
    let Selection { queue, kind, state } = *selection;
    let Some(filter) = Filter::new(Some(state), Some(queue), kind) else { return Ok(Chunk { changed: 0, next: None }) };
    let mut jobs = inspect::list(tx, &filter, after, inspect::LIST_LIMIT).await?;
    let is_more = jobs.len() > CHUNK;
    jobs.truncate(CHUNK);
    let next = jobs.last().filter(|_| is_more).and_then(inspect::Job::key);
    let ids: Vec<String> = jobs.into_iter().map(|job| job.id).collect();
    let changed = change(tx, operator, act, state, &ids).await?.len();
    if changed > 0 {
        let action = match act {
            Act::Retry => Action::JobsRetried,
            Act::Discard => Action::JobsDiscarded,
        };
        let details = json!({
            "queue": queue.name(),
            "kind": kind.map(Kind::name),
            "count": changed,
            "before": {"state": state},
            "after": {"state": act.result()},
        });
        Event::by_operator(operator, clock, action, None).with(details).record(tx)?;
    }
    Ok(Chunk { changed, next })
}

/// How many jobs a selection has at the moment.
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
        selection.kind.map(Kind::name)
    );
    Ok(count.fetch_one(connection).await?)
}

/// What is told of a job as it was before.
struct Before {
    queue: String,
    attempts: i32,
}

/// Acts on those of the jobs that are in `state`, all of which the act must be for.
async fn change(tx: &mut Tx, operator: Option<&Caller>, act: Act, state: State, ids: &[String]) -> Result<Vec<Before>> {
    let changed = match act {
        Act::Retry => retry(tx, state, ids).await?,
        Act::Discard => discard(tx, operator, state, ids).await?,
    };
    if act == Act::Retry {
        for queue in changed.iter().filter_map(|job| Queue::from_name(&job.queue)) {
            tx.ring(queue);
        }
    }
    Ok(changed)
}

/// A job that is due keeps its place; one that is due for its first attempt has nothing to gain. Locked in the order of
/// the ids, so that two operators do not wait in a circle.
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

async fn discard(
    connection: &mut PgConnection,
    operator: Option<&Caller>,
    state: State,
    ids: &[String],
) -> Result<Vec<Before>> {
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
        operator.map_or_else(String::new, |caller| caller.user_id.to_string())
    );
    Ok(changed.fetch_all(connection).await?)
}
