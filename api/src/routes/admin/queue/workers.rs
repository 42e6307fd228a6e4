//! The workers of the queues.

use cairn_core::queue::queues;
use poem_openapi::OpenApi;
use poem_openapi::param::Query;
use poem_openapi::payload::Json;

use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::params::{Cursor, Limit, Page, PageRequest};
use crate::time::{OptionalTime, Time};
use crate::view::view;
use crate::{App, Problem};

/// The workers of the queues.
pub struct WorkersApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

view! {
    /// A worker of one queue, from the start to the end of its process.
    pub struct JobWorker from queues::Worker {
        /// The name, which is never reused.
        name: String,
        /// The queue that it takes jobs from.
        queue: String,
        /// When it started; null if it is not known.
        started_at: OptionalTime,
        /// The last heartbeat.
        last_seen: Time,
        /// Whether the last heartbeat was within 15 seconds. If not, its jobs are about to be given to other workers.
        is_alive: bool,
        /// The number of jobs that it is running.
        #[oai(validator(minimum(value = "0")))]
        held: i64,
    }
}

#[OpenApi]
impl WorkersApi {
    /// List workers
    ///
    /// Those that are alive, and those that are not but still hold jobs.
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
