//! Single jobs.

use cairn_core::admin::jobs::{self, JobAction};
use cairn_core::queue::inspect::{self, Filter, JobDetails, Payload};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::registry::MetaSchema;
use poem_openapi::types::{Any, ParseError, ParseFromParameter, ParseResult};
use poem_openapi::{Object, OpenApi};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{JobKind, JobState, QueueName, elsewhere};
use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::params::{Cursor, Limit, Page, PageRequest, parameter_type};
use crate::time::OptionalTime;
use crate::view::view;
use crate::{App, Code, Problem};

/// Single jobs.
pub struct JobsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems =
    &[("retryJob", &[Code::JobRunning, Code::JobFinished]), ("discardJob", &[Code::JobRunning, Code::JobFinished])];

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

view! {
    /// A job.
    pub struct Job from inspect::JobSummary {
        /// Identifies the job.
        id: String,
        /// The queue.
        queue: String,
        /// The kind; null if the payload does not say.
        kind: Option<String>,
        /// The state.
        state: JobState,
        /// The number of attempts since the job was enqueued or last retried by an operator.
        attempts: i32,
        /// The number of attempts after which the job is dead.
        max_attempts: i32,
        /// When the job is, or was, due; null if it is not known.
        run_at: OptionalTime,
        /// When the last attempt started; null if there was none.
        started_at: OptionalTime,
        /// The worker that runs the job; null if none does.
        worker: Option<String>,
        /// When the job was done, failed for good or was discarded; null until then.
        ended_at: OptionalTime,
        /// The last error, in lists its first 300 characters; null if there is none.
        error: Option<String>,
    }
}

view! {
    /// The error of an attempt.
    pub struct JobError from inspect::AttemptError {
        /// The number of the attempt; null if it is not known.
        attempt: Option<i64>,
        /// When the attempt ended; null if it is not known.
        at: OptionalTime,
        /// The error.
        error: String,
    }
}

/// A job with its payload and errors.
#[derive(Clone, Debug, Object)]
pub struct JobDetail {
    /// The job as lists show it.
    #[oai(flatten)]
    pub job: Job,
    /// When the job was enqueued; null if it is not known.
    pub enqueued_at: OptionalTime,
    /// Whether the payload is valid JSON.
    pub is_payload_readable: bool,
    /// The payload; null if it cannot be read.
    pub payload: Option<Any<Value>>,
    /// The first 64 KiB of a payload that cannot be read, with U+FFFD for invalid bytes; null if it can be read.
    pub payload_text: Option<String>,
    /// The errors of the last ten attempts, oldest first. They are kept when the job is retried.
    pub errors: Vec<JobError>,
    /// Identifies the admin who discarded the job; null if it is not discarded, or was discarded on the command line.
    pub discarded_by: Option<Uuid>,
}

impl From<JobDetails> for JobDetail {
    fn from(whole: JobDetails) -> Self {
        let (payload, payload_text) = match whole.payload {
            Payload::Json(json) => (Some(Any(json)), None),
            Payload::Unreadable(text) => (None, Some(text)),
        };
        Self {
            job: whole.job.into(),
            enqueued_at: whole.enqueued_at.into(),
            is_payload_readable: payload_text.is_none(),
            payload,
            payload_text,
            errors: whole.errors.into_iter().map(JobError::from).collect(),
            discarded_by: whole.discarded_by.and_then(|id| id.parse().ok()),
        }
    }
}

#[OpenApi]
impl JobsApi {
    /// List jobs
    ///
    /// Newest first.
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

    /// Get a job
    #[oai(path = "/admin/jobs/:job_id", method = "get", operation_id = "getJob", tag = Tag::Operations)]
    async fn get_job(&self, _caller: Admin, job_id: Path<JobId>) -> Result<Json<JobDetail>, Problem> {
        let mut connection = self.app.connection().await?;
        Ok(Json(find(&mut connection, &job_id.0).await?))
    }

    /// Retry a job
    ///
    /// The job is due now, with all of its attempts. For jobs that are dead, discarded, scheduled or retrying. Repeating
    /// the call has no effect.
    #[oai(path = "/admin/jobs/:job_id/retry", method = "post", operation_id = "retryJob", tag = Tag::Operations)]
    async fn retry_job(&self, caller: Admin, job_id: Path<JobId>) -> Result<Json<JobDetail>, Problem> {
        self.act(&caller, JobAction::Retry, &job_id.0).await
    }

    /// Discard a job
    ///
    /// The job will not run and no longer counts as dead. It is kept as long as dead jobs are, and can be retried until
    /// then. Work that the platform still needs is enqueued again, as after the loss of a job. Repeating the call has no
    /// effect.
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
    Ok(inspect::find(connection, &id.0).await?.into())
}
