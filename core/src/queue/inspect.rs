//! Jobs for operators and the board: lists by state, queue and kind, and all details of a job.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use ulid::Ulid;

use super::{JobKind, Queue};
use crate::Result;
use crate::activity::Noun;
use crate::refusal::{NotFound, OrRefuse, Rejected};

/// The state of a job for operators, as the database function `job_state` determines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum State {
    /// Is due now.
    Due,
    /// Has not been attempted and is not due yet.
    Scheduled,
    /// Has failed and waits for its next attempt.
    Retrying,
    /// Is being run by a worker.
    Running,
    /// Its effect is committed.
    Done,
    /// Has failed for good.
    Dead,
    /// Was discarded by an operator.
    Discarded,
}

impl State {
    /// All states.
    pub const ALL: [Self; 7] =
        [Self::Due, Self::Scheduled, Self::Retrying, Self::Running, Self::Done, Self::Dead, Self::Discarded];

    /// The name of the state in the database, in the API and on the command line.
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

    /// The state with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// Which jobs to list. Fields that are `None` are ignored.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    state: Option<State>,
    queue: Option<Queue>,
    kind: Option<JobKind>,
}

impl Filter {
    /// `None` if the kind belongs to another queue.
    pub fn new(state: Option<State>, queue: Option<Queue>, kind: Option<JobKind>) -> Option<Self> {
        let fits = kind.is_none_or(|kind| queue.is_none_or(|queue| queue == kind.queue()));
        fits.then_some(Self { state, queue: queue.or(kind.map(JobKind::queue)), kind })
    }

    /// The state.
    pub fn state(&self) -> Option<State> {
        self.state
    }

    /// The queue. If only a kind was given, the queue of that kind.
    pub fn queue(&self) -> Option<Queue> {
        self.queue
    }

    /// The kind.
    pub fn kind(&self) -> Option<JobKind> {
        self.kind
    }
}

/// A position in a list: [`JobSummary::at`] and the id.
pub type Key = (DateTime<Utc>, String);

/// The most jobs that are read at once: one more than a page of 100.
pub const LIST_LIMIT: i64 = 101;

/// A job in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JobSummary {
    /// The id.
    pub id: String,
    /// The name of its queue, which may be unknown to [`Queue`].
    pub queue: String,
    /// The kind, if the payload contains one.
    pub kind: Option<String>,
    /// The state.
    pub state: State,
    /// The number of attempts since it was enqueued or last retried by an operator.
    pub attempts: i32,
    /// The number of attempts after which it is dead.
    pub max_attempts: i32,
    /// When it is, or was, due.
    pub run_at: Option<DateTime<Utc>>,
    /// When its last attempt started.
    pub started_at: Option<DateTime<Utc>>,
    /// The worker that is running it.
    pub worker: Option<String>,
    /// When it was done, died or was discarded.
    pub ended_at: Option<DateTime<Utc>>,
    /// Its last error. In lists, only its first 300 characters.
    pub error: Option<String>,
    /// Its position in lists: when it ended, or else when it is due.
    #[serde(skip)]
    pub at: Option<DateTime<Utc>>,
}

impl JobSummary {
    /// The position after this job in a list; `None` if the list ends here, because times that cannot be represented come
    /// last.
    pub fn key(&self) -> Option<Key> {
        Some((self.at?, self.id.clone()))
    }
}

/// Lists jobs from newest to oldest, by when they ended, or else when they are due: at most `limit` after that position,
/// and at most [`LIST_LIMIT`].
///
/// Each state is read from its own index, queue by queue. The index of done jobs, of which there are many, also contains
/// the kind. It is searched for a range of kinds, which covers all kinds if none is given, because an index cannot be
/// searched for "this kind or any". The limit is a constant in the query, so that the planner does not sort a table of
/// millions of rows for one page.
pub async fn list(
    connection: &mut PgConnection,
    filter: &Filter,
    after: Option<&Key>,
    limit: i64,
) -> Result<Vec<JobSummary>> {
    let states: Vec<&str> =
        State::ALL.into_iter().filter(|s| filter.state.is_none_or(|state| state == *s)).map(State::name).collect();
    let jobs = sqlx::query_file_as!(
        JobSummary,
        "src/queue/list.sql",
        &states as &[&str],
        filter.queue.map(Queue::name),
        filter.kind.map(JobKind::name),
        after.map(|key| key.0),
        after.map_or("", |key| key.1.as_str()),
        limit
    );
    Ok(jobs.fetch_all(connection).await?)
}

/// A job with everything that is stored about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JobDetails {
    /// The fields that are also listed.
    #[serde(flatten)]
    pub job: JobSummary,
    /// The status in the table, which is one of apalis.
    #[serde(skip)]
    pub status: String,
    /// Jobs with a higher priority are claimed first.
    #[serde(skip)]
    pub priority: i32,
    /// When it was enqueued, if its id tells.
    pub enqueued_at: Option<DateTime<Utc>>,
    /// The stored payload.
    pub payload: Payload,
    /// The errors of its newest ten attempts, oldest first.
    pub errors: Vec<AttemptError>,
    /// Who discarded it: the id of an admin, or empty for the command line; `None` if it is not discarded.
    pub discarded_by: Option<String>,
}

/// The stored payload of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// Valid JSON.
    Json(Value),
    /// Anything else: at most 64 KiB of it, with U+FFFD in place of invalid characters.
    Unreadable(String),
}

/// Most bytes of a payload that are read.
const MAX_PAYLOAD: i32 = 65_536;

impl Payload {
    fn of(bytes: &[u8]) -> Self {
        match serde_json::from_slice(bytes) {
            Ok(json) => Self::Json(json),
            Err(_) => Self::Unreadable(String::from_utf8_lossy(bytes).into_owned()),
        }
    }
}

/// The error of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AttemptError {
    /// The number of the attempt.
    pub attempt: Option<i64>,
    /// When it ended.
    pub at: Option<DateTime<Utc>>,
    /// The error.
    pub error: String,
}

/// All details of a job.
pub async fn find(connection: &mut PgConnection, id: &str) -> Result<JobDetails, Rejected<NotFound>> {
    find_all(connection, &[id.to_owned()]).await?.pop().or_not_found(Noun::Job)
}

/// All details of jobs, in the order of their ids in `ids`. Jobs that do not exist are left out.
pub(super) async fn find_all(connection: &mut PgConnection, ids: &[String]) -> Result<Vec<JobDetails>> {
    let rows = sqlx::query!(
        r#"SELECT j.id, j.job_type AS queue, j.status, coalesce(j.priority, 0) AS "priority!",
               nullif(job_kind(j.job), '') AS kind, substr(j.job, 1, $2) AS "payload!", job_state(j) AS "state!: State",
               j.attempts, j.max_attempts, readable_time(j.run_at) AS run_at, readable_time(j.lock_at) AS started_at,
               j.lock_by AS worker, readable_time(j.done_at) AS ended_at,
               readable_time(coalesce(j.done_at, j.run_at)) AS at, j.last_result AS result,
               j.metadata -> 'discarded' AS discarded_by
           FROM apalis.jobs j WHERE j.id = ANY ($1) ORDER BY array_position($1, j.id)"#,
        ids,
        MAX_PAYLOAD
    )
    .fetch_all(connection)
    .await?;
    let jobs = rows.into_iter().map(|row| JobDetails {
        status: row.status,
        priority: row.priority,
        enqueued_at: Ulid::from_string(&row.id).ok().map(|id| id.datetime().into()),
        payload: Payload::of(&row.payload),
        errors: row.result.as_ref().map(errors).unwrap_or_default(),
        discarded_by: row.discarded_by,
        job: JobSummary {
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
    });
    Ok(jobs.collect())
}

/// The errors in a stored result. Another program may have stored any value there.
fn errors(result: &Value) -> Vec<AttemptError> {
    let entries = result["attempts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let error = |entry: &Value| AttemptError {
        attempt: entry["attempt"].as_i64(),
        at: entry["at"].as_str().and_then(|time| time.parse().ok()),
        error: entry["error"].as_str().map_or_else(|| entry.to_string(), str::to_owned),
    };
    entries.iter().map(error).collect()
}
