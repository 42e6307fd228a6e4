//! Actions on many jobs at once.

use cairn_core::admin::jobs::{self, JobAction, Selection};
use cairn_core::queue::inspect::State;
use poem_openapi::param::Query;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};

use super::{JobKind, JobState, QueueName, elsewhere, one_of};
use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::params::{Body, Cursor};
use crate::{App, Problem};

/// Actions on many jobs at once.
pub struct BulkApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

/// A selection of jobs.
#[derive(Clone, Debug, Object)]
pub struct JobSelection {
    /// The queue of the jobs.
    pub queue: QueueName,
    /// The state of the jobs.
    pub state: JobState,
    /// The kind of the jobs; null if any.
    pub kind: Option<JobKind>,
}

impl JobSelection {
    fn checked(&self, act: JobAction) -> Result<Selection, Problem> {
        let selection = Selection::new(act, self.queue.0, self.kind.map(|kind| kind.0), self.state.0);
        selection.ok_or_else(|| match self.kind {
            Some(kind) if kind.0.queue() != self.queue.0 => {
                Problem::invalid_field("/kind", "not_allowed", elsewhere(kind))
            }
            _ => Problem::invalid_field("/state", "not_allowed", one_of(&act.states().map(State::name))),
        })
    }
}

/// The result of an action on up to 100 jobs.
#[derive(Clone, Debug, Object)]
pub struct JobsChanged {
    /// The number of jobs that were changed. Jobs that a worker took in the meantime are not included.
    #[oai(validator(minimum(value = "0")))]
    pub changed_count: u32,
    /// The cursor of the next jobs, to send with the same body; null if there are no more.
    pub next_cursor: Option<String>,
}

#[OpenApi]
impl BulkApi {
    /// Retry jobs
    ///
    /// Up to 100 jobs per call, the newest first; continue with `next_cursor`, which does not return to jobs that failed
    /// again in the meantime. For the states `scheduled`, `retrying`, `dead` and `discarded`.
    #[oai(path = "/admin/jobs/retry", method = "post", operation_id = "retryJobs", tag = Tag::Operations)]
    async fn retry_jobs(
        &self,
        caller: Admin,
        cursor: Query<Option<Cursor>>,
        body: Body<JobSelection>,
    ) -> Result<Json<JobsChanged>, Problem> {
        self.act(&caller, JobAction::Retry, cursor.0.as_ref(), &body).await
    }

    /// Discard jobs
    ///
    /// Up to 100 jobs per call, the newest first; continue with `next_cursor`. For the states `due`, `scheduled`,
    /// `retrying` and `dead`.
    #[oai(path = "/admin/jobs/discard", method = "post", operation_id = "discardJobs", tag = Tag::Operations)]
    async fn discard_jobs(
        &self,
        caller: Admin,
        cursor: Query<Option<Cursor>>,
        body: Body<JobSelection>,
    ) -> Result<Json<JobsChanged>, Problem> {
        self.act(&caller, JobAction::Discard, cursor.0.as_ref(), &body).await
    }
}

impl BulkApi {
    async fn act(
        &self,
        caller: &Admin,
        act: JobAction,
        cursor: Option<&Cursor>,
        body: &JobSelection,
    ) -> Result<Json<JobsChanged>, Problem> {
        let selection = body.checked(act)?;
        let after = cursor.map(Cursor::key).transpose()?;
        let mut tx = self.app.begin_as(caller).await?;
        let chunk = jobs::apply_batch(&mut tx, act, &selection, after.as_ref()).await?;
        tx.commit().await?;
        let next_cursor = chunk.next.map(|key| Cursor::after(&key)).transpose()?.map(String::from);
        Ok(Json(JobsChanged { changed_count: u32::try_from(chunk.changed).unwrap_or(u32::MAX), next_cursor }))
    }
}
