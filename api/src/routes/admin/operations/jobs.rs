//! Single jobs.

use cairn_core::admin::jobs::{self, JobAction};
use cairn_core::queue::inspect::{self, Filter, JobDetails, Payload};
use chrono::{DateTime, TimeDelta, Utc};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::registry::MetaSchema;
use poem_openapi::types::{Any, Example, ParseError, ParseFromParameter, ParseResult};
use poem_openapi::{Object, OpenApi};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{JobKind, JobState, QueueName, elsewhere};
use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::params::{Cursor, Limit, Page, PageRequest, parameter_type};
use crate::{App, Code, Problem};

/// Single jobs.
pub struct JobsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[
    ("getJob", &[Code::JobNotFound]),
    ("retryJob", &[Code::JobNotFound, Code::JobRunning, Code::JobFinished]),
    ("discardJob", &[Code::JobNotFound, Code::JobRunning, Code::JobFinished]),
];

/// The id of a job.
pub struct JobId(String);

impl JobId {
    const MAX_LENGTH: usize = 64;
}

parameter_type!(JobId, "job_id", required: true, MetaSchema {
    description: Some("The job."),
    min_length: Some(1),
    max_length: Some(JobId::MAX_LENGTH),
    pattern: Some("^[0-9A-Za-z_-]+$".to_owned()),
    example: Some("01K8Q2V7W3N5R9T1X4Y6Z8A0BC".into()),
    ..MetaSchema::new("string")
});

impl ParseFromParameter for JobId {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        let sane = (1..=Self::MAX_LENGTH).contains(&value.len())
            && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if sane { Ok(Self(value.to_owned())) } else { Err(ParseError::custom("1 to 64 letters, digits, - and _")) }
    }
}

/// A job.
#[derive(Clone, Debug, Object)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// Its queue.
    pub queue: String,
    /// Its kind; null if its payload does not say.
    pub kind: Option<String>,
    /// How far it is.
    pub state: JobState,
    /// Starts so far, since it was last retried by an operator.
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
}

impl From<inspect::JobSummary> for Job {
    fn from(job: inspect::JobSummary) -> Self {
        Self {
            id: job.id,
            queue: job.queue,
            kind: job.kind,
            state: JobState(job.state),
            attempts: job.attempts,
            max_attempts: job.max_attempts,
            run_at: job.run_at,
            started_at: job.started_at,
            worker: job.worker,
            ended_at: job.ended_at,
            error: job.error,
        }
    }
}

impl Example for Job {
    fn example() -> Self {
        Self {
            id: "01K8Q2V7W3N5R9T1X4Y6Z8A0BC".to_owned(),
            queue: "likes".to_owned(),
            kind: Some("count_likes".to_owned()),
            state: JobState(inspect::State::Retrying),
            attempts: 1,
            max_attempts: 25,
            run_at: Some(DateTime::UNIX_EPOCH + TimeDelta::seconds(9)),
            started_at: Some(DateTime::UNIX_EPOCH),
            worker: None,
            ended_at: None,
            error: Some("not finished within 10 s".to_owned()),
        }
    }
}

/// How an attempt failed.
#[derive(Clone, Debug, Object)]
pub struct JobError {
    /// The attempt's number.
    pub attempt: Option<i64>,
    /// When it ended.
    pub at: Option<DateTime<Utc>>,
    /// Why.
    pub error: String,
}

/// A job with everything that is stored of it.
#[derive(Clone, Debug, Object)]
#[oai(example)]
pub struct JobDetail {
    /// What lists tell of it.
    #[oai(flatten)]
    pub job: Job,
    /// When it was enqueued; null if its id does not tell.
    pub enqueued_at: Option<DateTime<Utc>>,
    /// Whether the payload can be read.
    pub payload_readable: bool,
    /// The payload; null if it cannot be read.
    pub payload: Option<Any<Value>>,
    /// The first 64 KiB of a payload that cannot be read, with U+FFFD for what is no text.
    pub payload_text: Option<String>,
    /// The errors of its attempts, oldest first, the newest ten. Kept when it is retried.
    pub errors: Vec<JobError>,
    /// The admin who discarded it; null = nobody (see `state`), or the command line.
    pub discarded_by: Option<Uuid>,
}

impl From<JobDetails> for JobDetail {
    fn from(whole: JobDetails) -> Self {
        let (payload, payload_text) = match whole.payload {
            Payload::Json(json) => (Some(Any(json)), None),
            Payload::Unreadable(text) => (None, Some(text)),
        };
        let errors = whole.errors.into_iter();
        Self {
            job: whole.job.into(),
            enqueued_at: whole.enqueued_at,
            payload_readable: payload_text.is_none(),
            payload,
            payload_text,
            errors: errors.map(|e| JobError { attempt: e.attempt, at: e.at, error: e.error }).collect(),
            discarded_by: whole.discarded_by.and_then(|id| id.parse().ok()),
        }
    }
}

impl Example for JobDetail {
    fn example() -> Self {
        let job = Job::example();
        let error = JobError {
            attempt: Some(1),
            at: Some(DateTime::UNIX_EPOCH + TimeDelta::seconds(8)),
            error: job.error.clone().unwrap_or_default(),
        };
        Self {
            job,
            enqueued_at: Some(DateTime::UNIX_EPOCH),
            payload_readable: true,
            payload: Some(Any(json!({
                "kind": "count_likes",
                "v": 1,
                "data": {"project_id": "0198c2f0-7a53-7cc1-9d2e-3f6b8a1c5d01"},
            }))),
            payload_text: None,
            errors: vec![error],
            discarded_by: None,
        }
    }
}

#[OpenApi]
impl JobsApi {
    /// List jobs, newest first
    #[oai(path = "/admin/jobs", method = "get", operation_id = "listJobs", tag = Tag::Operations)]
    async fn list_jobs(
        &self,
        _caller: Admin,
        state: Query<Option<JobState>>,
        queue: Query<Option<QueueName>>,
        kind: Query<Option<JobKind>>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<Job>>, Problem> {
        let page = PageRequest::new(limit.0, cursor.0);
        let filter = Filter::new(state.0.map(|s| s.0), queue.0.map(|q| q.0), kind.0.map(|k| k.0));
        let Some(filter) = filter else {
            let message = kind.0.map(elsewhere).unwrap_or_default();
            return Err(Problem::invalid_parameter("kind", "not_allowed", message));
        };
        let mut connection = self.app.connection().await?;
        let rows = inspect::list(&mut connection, &filter, page.after()?.as_ref(), page.rows()).await?;
        page.answer(rows, inspect::JobSummary::key)
    }

    /// Get a job with its payload and the errors of its attempts
    #[oai(path = "/admin/jobs/:job_id", method = "get", operation_id = "getJob", tag = Tag::Operations)]
    async fn get_job(&self, _caller: Admin, job_id: Path<JobId>) -> Result<Json<JobDetail>, Problem> {
        let mut connection = self.app.connection().await?;
        Ok(Json(find(&mut connection, &job_id.0).await?))
    }

    /// Have a job tried again
    ///
    /// It is due now, with all its attempts ahead. For jobs that are dead or discarded, and for those that wait. Repeating
    /// the call changes nothing.
    #[oai(path = "/admin/jobs/:job_id/retry", method = "post", operation_id = "retryJob", tag = Tag::Operations)]
    async fn retry_job(&self, caller: Admin, job_id: Path<JobId>) -> Result<Json<JobDetail>, Problem> {
        self.act(&caller, JobAction::Retry, &job_id.0).await
    }

    /// Give a job up
    ///
    /// It will not run, and no longer counts as dead. It is kept as long as dead jobs are and can be retried until then.
    /// What the platform needs done it makes another job for, as for any job that is lost. Repeating the call changes
    /// nothing.
    #[oai(path = "/admin/jobs/:job_id/discard", method = "post", operation_id = "discardJob", tag = Tag::Operations)]
    async fn discard_job(&self, caller: Admin, job_id: Path<JobId>) -> Result<Json<JobDetail>, Problem> {
        self.act(&caller, JobAction::Discard, &job_id.0).await
    }
}

impl JobsApi {
    async fn act(&self, caller: &Admin, act: JobAction, id: &JobId) -> Result<Json<JobDetail>, Problem> {
        let mut tx = self.app.begin_as(caller).await?;
        jobs::apply_one(&mut tx, act, &id.0).await?;
        let job = find(&mut tx, id).await?;
        tx.commit().await?;
        Ok(Json(job))
    }
}

async fn find(connection: &mut PgConnection, id: &JobId) -> Result<JobDetail, Problem> {
    Ok(inspect::find(connection, &id.0).await?.ok_or_else(Problem::job_not_found)?.into())
}
