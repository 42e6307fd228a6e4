//! The queues of jobs.

use cairn_core::admin;
use cairn_core::queue::queues::{self, QueueState};
use chrono::{DateTime, Utc};
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};
use sqlx::PgConnection;
use uuid::Uuid;

use super::QueueName;
use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::{App, Problem};

/// The queues of jobs.
pub struct QueuesApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

/// A queue of jobs at this moment.
#[derive(Clone, Debug, Object)]
pub struct JobQueue {
    /// Its name. A queue that this release does not know is listed while there are jobs in it.
    pub name: String,
    /// Jobs that could run now.
    #[oai(validator(minimum(value = "0")))]
    pub due: i64,
    /// For how long the oldest of them has been due, in seconds; null = nothing is due.
    pub oldest_due_seconds: Option<f64>,
    /// Jobs that have not been tried and wait for their time.
    #[oai(validator(minimum(value = "0")))]
    pub scheduled: i64,
    /// Jobs that failed and wait for their next attempt.
    #[oai(validator(minimum(value = "0")))]
    pub retrying: i64,
    /// Jobs that a worker has.
    #[oai(validator(minimum(value = "0")))]
    pub running: i64,
    /// Jobs that have given up and that nobody has discarded.
    #[oai(validator(minimum(value = "0")))]
    pub dead: i64,
    /// Jobs done in the last minute.
    #[oai(validator(minimum(value = "0")))]
    pub done_last_minute: i64,
    /// Jobs done in the last hour.
    #[oai(validator(minimum(value = "0")))]
    pub done_last_hour: i64,
    /// Attempts that failed in the last hour, those of lost workers included.
    #[oai(validator(minimum(value = "0")))]
    pub failed_last_hour: i64,
    /// Workers that gave a sign of life in the last 15 seconds.
    #[oai(validator(minimum(value = "0")))]
    pub workers: i64,
    /// Since when it is paused; null = it is not.
    pub paused_at: Option<DateTime<Utc>>,
    /// The admin who paused it; null = nobody, or the command line.
    pub paused_by: Option<Uuid>,
}

impl From<QueueState> for JobQueue {
    fn from(queue: QueueState) -> Self {
        Self {
            name: queue.name,
            due: queue.due,
            oldest_due_seconds: queue.oldest_due_seconds,
            scheduled: queue.scheduled,
            retrying: queue.retrying,
            running: queue.running,
            dead: queue.dead,
            done_last_minute: queue.done_last_minute,
            done_last_hour: queue.done_last_hour,
            failed_last_hour: queue.failed_last_hour,
            workers: queue.workers,
            paused_at: queue.paused_at,
            paused_by: queue.paused_by,
        }
    }
}

/// All queues.
#[derive(Clone, Debug, Object)]
#[oai(example)]
pub struct JobQueueList {
    /// The queues, by name.
    pub items: Vec<JobQueue>,
}

impl Example for JobQueueList {
    fn example() -> Self {
        let queue = JobQueue {
            name: "likes".to_owned(),
            due: 3,
            oldest_due_seconds: Some(0.4),
            scheduled: 0,
            retrying: 1,
            running: 2,
            dead: 0,
            done_last_minute: 40,
            done_last_hour: 2100,
            failed_last_hour: 1,
            workers: 1,
            paused_at: None,
            paused_by: None,
        };
        Self { items: vec![queue] }
    }
}

#[OpenApi]
impl QueuesApi {
    /// List the queues with what waits, runs, fails and is done
    #[oai(path = "/admin/queues", method = "get", operation_id = "listQueues", tag = Tag::Operations)]
    async fn list_queues(&self, _caller: Admin) -> Result<Json<JobQueueList>, Problem> {
        let mut connection = self.app.connection().await?;
        let queues = queues::overview(&mut connection).await?;
        Ok(Json(JobQueueList { items: queues.into_iter().map(JobQueue::from).collect() }))
    }

    /// Pause a queue
    ///
    /// No worker takes jobs from it any more, within about a second and until it is resumed; running jobs go on, new ones
    /// wait. Pausing `maintenance` stops housekeeping and the reconciler, which picks up what a lost job left behind.
    /// Repeating the call changes nothing.
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
    /// Repeating the call changes nothing.
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
