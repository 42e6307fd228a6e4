//! The workers of the queues.

use cairn_core::queue::queues;
use chrono::{DateTime, Utc};
use poem_openapi::param::Query;
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};

use crate::caller::Admin;
use crate::params::{Cursor, Limit};
use crate::routes::{Problems, Tag};
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

/// A page of workers.
#[derive(Clone, Debug, Object)]
#[oai(example)]
pub struct JobWorkerPage {
    /// The workers, by name, which begins with the queue.
    pub items: Vec<JobWorker>,
    /// Send it as `cursor` for the next page; null on the last.
    pub next_cursor: Option<String>,
}

impl Example for JobWorkerPage {
    fn example() -> Self {
        let worker = JobWorker {
            name: "likes-01K8Q2V7W3N5R9T1X4Y6Z8A0BC-0".to_owned(),
            queue: "likes".to_owned(),
            started_at: Some(DateTime::UNIX_EPOCH),
            last_seen: DateTime::UNIX_EPOCH,
            alive: true,
            held: 2,
        };
        Self { items: vec![worker], next_cursor: None }
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
    ) -> Result<Json<JobWorkerPage>, Problem> {
        let after = cursor.0.as_ref().map(Cursor::text_key).transpose()?;
        let mut connection = self.app.connection().await?;
        let mut rows = queues::workers(&mut connection, after.as_deref(), limit.0.get() + 1).await?;
        let next_cursor = limit.0.trim(&mut rows).map(|last| Cursor::after(&last.name)).transpose()?;
        Ok(Json(JobWorkerPage { items: rows.into_iter().map(JobWorker::from).collect(), next_cursor }))
    }
}
