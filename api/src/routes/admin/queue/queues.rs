//! The queues of jobs.

use cairn_core::admin;
use cairn_core::queue::queues::{self, QueueState};
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use sqlx::PgConnection;
use uuid::Uuid;

use super::QueueName;
use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::time::OptionalTime;
use crate::view::view;
use crate::{App, Problem};

/// The queues of jobs.
pub struct QueuesApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

view! {
    /// The current state of a queue.
    pub struct JobQueue from QueueState {
        /// The name. A queue that this release does not know is listed while it has jobs.
        name: String,
        /// The number of jobs that could run now.
        #[oai(validator(minimum(value = "0")))]
        due: i64,
        /// The time since the oldest of them became due, in seconds; null if none is due.
        oldest_due_seconds: Option<f64>,
        /// The number of jobs that have not been tried and are scheduled for later.
        #[oai(validator(minimum(value = "0")))]
        scheduled: i64,
        /// The number of jobs that failed and await their next attempt.
        #[oai(validator(minimum(value = "0")))]
        retrying: i64,
        /// The number of jobs that are running.
        #[oai(validator(minimum(value = "0")))]
        running: i64,
        /// The number of jobs that failed their last attempt and have not been discarded.
        #[oai(validator(minimum(value = "0")))]
        dead: i64,
        /// The number of jobs done in the last minute.
        #[oai(validator(minimum(value = "0")))]
        done_last_minute: i64,
        /// The number of jobs done in the last hour.
        #[oai(validator(minimum(value = "0")))]
        done_last_hour: i64,
        /// The number of attempts that failed in the last hour, including those of lost workers.
        #[oai(validator(minimum(value = "0")))]
        failed_last_hour: i64,
        /// The number of workers with a heartbeat in the last 15 seconds.
        #[oai(validator(minimum(value = "0")))]
        workers: i64,
        /// When the queue was paused; null if it is not paused.
        paused_at: OptionalTime,
        /// Identifies the admin who paused it; null if it is not paused, or was paused on the command line.
        paused_by: Option<Uuid>,
    }
}

/// All queues.
#[derive(Clone, Debug, Object)]
pub struct JobQueueList {
    /// The queues, by name.
    pub items: Vec<JobQueue>,
}

#[OpenApi]
impl QueuesApi {
    /// List queues
    #[oai(path = "/admin/queues", method = "get", operation_id = "listQueues", tag = Tag::Operations)]
    async fn list_queues(&self, _caller: Admin) -> Result<Json<JobQueueList>, Problem> {
        let mut connection = self.app.connection().await?;
        let queues = queues::overview(&mut connection).await?;
        Ok(Json(JobQueueList { items: queues.into_iter().map(JobQueue::from).collect() }))
    }

    /// Pause a queue
    ///
    /// Within about a second, workers stop taking jobs from the queue until it is resumed. Running jobs continue, new ones
    /// wait. Pausing `maintenance` stops housekeeping and the reconciler, which replaces lost jobs. Repeating the call has
    /// no effect.
    #[oai(path = "/admin/queues/:queue_name/pause", method = "put", operation_id = "pauseQueue", tag = Tag::Operations)]
    async fn pause_queue(&self, caller: Admin, queue_name: Path<QueueName>) -> Result<Json<JobQueue>, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        admin::queues::pause(&mut tx, queue_name.0.0).await?;
        let queue = find(&mut tx, queue_name.0).await?;
        tx.commit().await?;
        Ok(Json(queue))
    }

    /// Resume a queue
    ///
    /// Repeating the call has no effect.
    #[oai(
        path = "/admin/queues/:queue_name/pause",
        method = "delete",
        operation_id = "resumeQueue",
        tag = Tag::Operations
    )]
    async fn resume_queue(&self, caller: Admin, queue_name: Path<QueueName>) -> Result<Json<JobQueue>, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        admin::queues::resume(&mut tx, queue_name.0.0).await?;
        let queue = find(&mut tx, queue_name.0).await?;
        tx.commit().await?;
        Ok(Json(queue))
    }
}

async fn find(connection: &mut PgConnection, name: QueueName) -> Result<JobQueue, Problem> {
    let queues = queues::overview(connection).await?;
    let queue = queues.into_iter().find(|queue| queue.name == name.0.name());
    Ok(queue.ok_or_else(|| cairn_core::Error::message("the overview lacks a queue"))?.into())
}
