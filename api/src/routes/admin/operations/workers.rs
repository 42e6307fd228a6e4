//! The workers of the queues.

use cairn_core::queue::queues;
use chrono::{DateTime, Utc};
use poem_openapi::param::Query;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};

use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::params::{Cursor, Limit, Page, PageRequest};
use crate::{App, Problem};

/// The workers of the queues.
pub struct WorkersApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

/// One start of a worker process, in the role of working one queue.
#[derive(Clone, Debug, Object)]
pub struct JobWorker {
    /// Its name; never used by another start.
    pub name: String,
    /// The queue that it works.
    pub queue: String,
    /// When it started.
    pub started_at: Option<DateTime<Utc>>,
    /// Its last sign of life.
    pub last_seen: DateTime<Utc>,
    /// Whether that was in the last 15 seconds. If not, its jobs are about to be given to others.
    pub alive: bool,
    /// Jobs that it has.
    #[oai(validator(minimum(value = "0")))]
    pub held: i64,
}

impl From<queues::Worker> for JobWorker {
    fn from(worker: queues::Worker) -> Self {
        Self {
            name: worker.name,
            queue: worker.queue,
            started_at: worker.started_at,
            last_seen: worker.last_seen,
            alive: worker.is_alive,
            held: worker.held,
        }
    }
}

#[OpenApi]
impl WorkersApi {
    /// List the workers that are alive, and those that are not and still have jobs
    #[oai(path = "/admin/workers", method = "get", operation_id = "listWorkers", tag = Tag::Operations)]
    async fn list_workers(
        &self,
        _caller: Admin,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<JobWorker>>, Problem> {
        let page = PageRequest::new(limit.0, cursor.0);
        let mut connection = self.app.connection().await?;
        let rows = queues::workers(&mut connection, page.after::<String>()?.as_deref(), page.rows()).await?;
        page.answer(rows, |last| Some(last.name.clone()))
    }
}
