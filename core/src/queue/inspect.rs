//! Single jobs, as operators see them: lists by state, queue and kind, and one job whole.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use ulid::Ulid;

use super::{Kind, Queue};
use crate::Result;
use crate::activity::Noun;
use crate::refusal::{NotFound, OrRefuse, Rejected};

/// How far a job is, in the words of operators; the function `job_state` of the database decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum State {
    /// Could run now.
    Due,
    /// Has not been tried and waits for its time.
    Scheduled,
    /// Has failed and waits for its next attempt.
    Retrying,
    /// A worker has it.
    Running,
    /// Its effect is committed.
    Done,
    /// Has given up.
    Dead,
    /// An operator gave it up.
    Discarded,
}

impl State {
    /// All states.
    pub const ALL: [Self; 7] =
        [Self::Due, Self::Scheduled, Self::Retrying, Self::Running, Self::Done, Self::Dead, Self::Discarded];

    /// The state's name in the database, in the API and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Scheduled => "scheduled",
            Self::Retrying => "retrying",
            Self::Running => "running",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Discarded => "discarded",
        }
    }

    /// The state of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// Which jobs to list. What is none does not matter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    state: Option<State>,
    queue: Option<Queue>,
    kind: Option<Kind>,
}

impl Filter {
    /// None if the kind goes to another queue.
    pub fn new(state: Option<State>, queue: Option<Queue>, kind: Option<Kind>) -> Option<Self> {
        let fits = kind.is_none_or(|kind| queue.is_none_or(|queue| queue == kind.queue()));
        fits.then_some(Self { state, queue: queue.or(kind.map(Kind::queue)), kind })
    }

    /// The state.
    pub fn state(&self) -> Option<State> {
        self.state
    }

    /// The queue; that of the kind, if only a kind was given.
    pub fn queue(&self) -> Option<Queue> {
        self.queue
    }

    /// The kind.
    pub fn kind(&self) -> Option<Kind> {
        self.kind
    }
}

/// A place in a list: [`Job::at`] and the id.
pub type Key = (DateTime<Utc>, String);

/// Longest list that is read at once; one more than a page of 100.
pub const LIST_LIMIT: i64 = 101;

/// A job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// Its queue; not always one of [`Queue`].
    pub queue: String,
    /// Its kind, if it was stored by this program.
    pub kind: Option<String>,
    /// How far it is.
    pub state: State,
    /// Starts so far, since it was last retried by hand.
    pub attempts: i32,
    /// Starts after which it is dead.
    pub max_attempts: i32,
    /// When it is, or was, due.
    pub run_at: Option<DateTime<Utc>>,
    /// When its last attempt started.
    pub started_at: Option<DateTime<Utc>>,
    /// The worker that has it.
    pub worker: Option<String>,
    /// When it was done, died or was discarded.
    pub ended_at: Option<DateTime<Utc>>,
    /// Its last error; in lists the first 300 characters of it.
    pub error: Option<String>,
    /// Its place in lists: when it ended, or else when it is due.
    #[serde(skip)]
    pub at: Option<DateTime<Utc>>,
}

impl Job {
    /// Where the list goes on after this job. None where it ends: a time that cannot be told is before all others.
    pub fn key(&self) -> Option<Key> {
        Some((self.at?, self.id.clone()))
    }
}

/// Jobs, newest first (by when they ended, or else are due): at most `limit` after that key, and at most [`LIST_LIMIT`].
///
/// Each state is read by its own index, queue by queue; that of done jobs, which are many, also knows their kinds, and is
/// asked for a range of kinds, of all where none is given, because it can look up no "this one or any". A limit that the
/// planner knows keeps it from sorting a table of millions for a page.
pub async fn list(connection: &mut PgConnection, filter: &Filter, after: Option<&Key>, limit: i64) -> Result<Vec<Job>> {
    let states: Vec<&str> =
        State::ALL.into_iter().filter(|s| filter.state.is_none_or(|state| state == *s)).map(State::name).collect();
    let jobs = sqlx::query_file!(
        "src/queue/list.sql",
        &states as &[&str],
        filter.queue.map(Queue::name),
        filter.kind.map(Kind::name),
        after.map(|key| key.0),
        after.map_or("", |key| key.1.as_str()),
        limit
    )
    .fetch_all(connection)
    .await?;
    let jobs = jobs.into_iter().map(|row| Job {
        kind: row.kind,
        id: row.id,
        queue: row.queue,
        state: row.state,
        attempts: row.attempts,
        max_attempts: row.max_attempts,
        run_at: row.run_at,
        started_at: row.started_at,
        worker: row.worker,
        ended_at: row.ended_at,
        error: row.error,
        at: row.at,
    });
    Ok(jobs.collect())
}

/// One job, whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Whole {
    /// What lists tell of it.
    #[serde(flatten)]
    pub job: Job,
    /// When it was enqueued, as far as its id tells.
    pub enqueued_at: Option<DateTime<Utc>>,
    /// What was stored for it.
    pub payload: Payload,
    /// The errors of its attempts, oldest first, the newest ten.
    pub errors: Vec<AttemptError>,
    /// Who discarded it: the id of an admin, or empty for the command line. None = it is not discarded.
    pub discarded_by: Option<String>,
}

/// What was stored for a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// As it should be.
    Json(Value),
    /// It cannot be read: at most 64 KiB of it, with U+FFFD for what is no text.
    Unreadable(String),
}

/// Most of a payload that is shown, in bytes.
const SHOWN: i32 = 65_536;

impl Payload {
    fn of(bytes: &[u8]) -> Self {
        match serde_json::from_slice(bytes) {
            Ok(json) => Self::Json(json),
            Err(_) => Self::Unreadable(String::from_utf8_lossy(bytes).into_owned()),
        }
    }
}

/// How an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AttemptError {
    /// The attempt's number.
    pub attempt: Option<i64>,
    /// When it ended.
    pub at: Option<DateTime<Utc>>,
    /// Why.
    pub error: String,
}

/// Everything about one job.
pub async fn find(connection: &mut PgConnection, id: &str) -> Result<Whole, Rejected<NotFound>> {
    let row = sqlx::query!(
        r#"SELECT j.id, j.job_type AS queue, nullif(job_kind(j.job), '') AS kind,
               substr(j.job, 1, $2) AS "payload!", job_state(j) AS "state!: State", j.attempts, j.max_attempts,
               readable_time(j.run_at) AS run_at, readable_time(j.lock_at) AS started_at, j.lock_by AS worker,
               readable_time(j.done_at) AS ended_at,
               readable_time(coalesce(j.done_at, j.run_at)) AS at, j.last_result AS result,
               j.metadata -> 'discarded' AS discarded_by
           FROM apalis.jobs j WHERE j.id = $1"#,
        id,
        SHOWN
    )
    .fetch_optional(connection)
    .await?
    .or_not_found(Noun::Job)?;
    Ok(Whole {
        enqueued_at: Ulid::from_string(&row.id).ok().map(|id| id.datetime().into()),
        payload: Payload::of(&row.payload),
        errors: row.result.as_ref().map(errors).unwrap_or_default(),
        discarded_by: row.discarded_by,
        job: Job {
            kind: row.kind,
            id: row.id,
            queue: row.queue,
            state: row.state,
            attempts: row.attempts,
            max_attempts: row.max_attempts,
            run_at: row.run_at,
            started_at: row.started_at,
            worker: row.worker,
            ended_at: row.ended_at,
            error: row.result.as_ref().and_then(|result| result["Err"].as_str()).map(str::to_owned),
            at: row.at,
        },
    })
}

/// The history in a stored result, of which another program may have left anything.
fn errors(result: &Value) -> Vec<AttemptError> {
    let entries = result["attempts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let error = |entry: &Value| AttemptError {
        attempt: entry["attempt"].as_i64(),
        at: entry["at"].as_str().and_then(|time| time.parse().ok()),
        error: entry["error"].as_str().map_or_else(|| entry.to_string(), str::to_owned),
    };
    entries.iter().map(error).collect()
}
