//! Many jobs at once.

use cairn_core::admin::jobs::{self, JobAction, Selection};
use cairn_core::queue::inspect::State;
use poem_openapi::param::Query;
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};

use super::{JobKind, JobState, QueueName, elsewhere, one_of};
use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::params::{Body, Cursor};
use crate::{App, Problem};

/// Many jobs at once.
pub struct BulkApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

/// Which jobs.
#[derive(Clone, Debug, Object)]
#[oai(example)]
pub struct JobSelection {
    /// Those of this queue
    pub queue: QueueName,
    /// that are in this state
    pub state: JobState,
    /// and of this kind; null = of any.
    pub kind: Option<JobKind>,
}

impl Example for JobSelection {
    fn example() -> Self {
        Self { queue: QueueName(cairn_core::queue::Queue::Likes), state: JobState(State::Dead), kind: None }
    }
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

/// What became of a hundred jobs at most.
#[derive(Clone, Debug, Object)]
#[oai(example)]
pub struct JobsChanged {
    /// Jobs that were changed. Those that a worker took meanwhile are not among them.
    #[oai(validator(minimum(value = "0")))]
    pub changed: u32,
    /// Send it as `cursor`, with the same body, for the next jobs; null = all have been seen.
    pub next_cursor: Option<String>,
}

impl Example for JobsChanged {
    fn example() -> Self {
        Self { changed: 7, next_cursor: None }
    }
}

#[OpenApi]
impl BulkApi {
    /// Have many jobs tried again
    ///
    /// At most a hundred in a call, the newest first; go on with `next_cursor`, which does not meet again a job that has
    /// died again meanwhile. For the states `scheduled`, `retrying`, `dead` and `discarded`.
    #[oai(path = "/admin/jobs/retry", method = "post", operation_id = "retryJobs", tag = Tag::Operations)]
    async fn retry_jobs(
        &self,
        caller: Admin,
        cursor: Query<Option<Cursor>>,
        body: Body<JobSelection>,
    ) -> Result<Json<JobsChanged>, Problem> {
        self.act(&caller, JobAction::Retry, cursor.0.as_ref(), &body).await
    }

    /// Give many jobs up
    ///
    /// At most a hundred in a call, the newest first; go on with `next_cursor`. For the states `due`, `scheduled`,
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
        Ok(Json(JobsChanged { changed: u32::try_from(chunk.changed).unwrap_or(u32::MAX), next_cursor }))
    }
}
