//! Stored jobs and workers, to be looked at. Rows are read as they are: what no handler could decode is shown all the
//! same.

use serde_json::Value;
use sqlx::PgConnection;

use super::Queue;
use crate::Result;

/// Where a job stands: the statuses of apalis' table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Waits for its first run.
    Pending,
    /// Held by one of apalis' own workers; none of ours does that.
    Queued,
    /// Held by a worker.
    Running,
    /// Its effect is committed.
    Done,
    /// Waits for its next run.
    Failed,
    /// Dead.
    Killed,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Pending, Self::Queued, Self::Running, Self::Done, Self::Failed, Self::Killed];

    /// Its name in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Queued => "Queued",
            Self::Running => "Running",
            Self::Done => "Done",
            Self::Failed => "Failed",
            Self::Killed => "Killed",
        }
    }

    /// The status of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// A job as it is stored.
#[derive(Clone, Debug)]
pub struct StoredJob {
    /// Its id.
    pub id: String,
    /// The name of its queue.
    pub queue: String,
    /// [`Status::name`].
    pub status: String,
    /// How often it was started.
    pub attempts: i32,
    /// Starts after which it is dead.
    pub max_attempts: i32,
    /// Higher comes first.
    pub priority: i32,
    /// The worker that holds it.
    pub lock_by: Option<String>,
    /// When it is, or was, due: seconds since 1970, because Postgres knows times that nobody else does.
    pub run_at: i64,
    /// When a worker took it last; 0 = never.
    pub lock_at: i64,
    /// When it was done or died; 0 = it is not.
    pub done_at: i64,
    /// The envelope, if it is one; at most 64 KiB of it.
    pub payload: Vec<u8>,
    /// How runs ended: `Err` holds the last error, `attempts` the newest ten.
    pub result: Option<Value>,
}

/// Jobs of one status, queue by queue, because every index begins with the queue; each kind of status has its own, and
/// its condition must stand in the query for the planner to see it.
macro_rules! jobs_of_queues {
    ($condition:literal, $order:literal, $queues:expr, $name:expr, $limit:expr, $offset:expr) => {
        sqlx::query_as!(
            StoredJob,
            r#"SELECT j.id AS "id!", j.job_type AS "queue!", j.status AS "status!", j.attempts AS "attempts!",
                   j.max_attempts AS "max_attempts!", coalesce(j.priority, 0) AS "priority!", j.lock_by,
                   least(greatest(extract(epoch FROM j.run_at), 0), 253402300799)::bigint AS "run_at!",
                   least(greatest(extract(epoch FROM j.lock_at), 0), 253402300799)::bigint AS "lock_at!",
                   least(greatest(extract(epoch FROM j.done_at), 0), 253402300799)::bigint AS "done_at!",
                   substr(j.job, 1, 65536) AS "payload!", j.last_result AS result
               FROM unnest($1::text[]) AS q (name)
               CROSS JOIN LATERAL (
                   SELECT * FROM apalis.jobs WHERE job_type = q.name AND "#
                + $condition
                + " ORDER BY "
                + $order
                + " LIMIT $3::bigint + $4::bigint) j ORDER BY "
                + $order
                + " LIMIT $3 OFFSET $4",
            $queues as &[&str],
            $name,
            $limit,
            $offset
        )
    };
}

/// Jobs of one status: those that are over newest first, the others in the order in which they come. `Killed` includes
/// those that apalis' own backend leaves as failed for the last time.
pub async fn page(
    connection: &mut PgConnection,
    status: Status,
    queue: Option<Queue>,
    limit: i64,
    offset: i64,
) -> Result<Vec<StoredJob>> {
    let (queues, name) = (names(queue), status.name());
    let jobs = match status {
        Status::Pending | Status::Failed => {
            jobs_of_queues!(
                "status = $2 AND (status = 'Pending' OR (status = 'Failed' AND attempts < max_attempts))",
                "run_at",
                &queues,
                name,
                limit,
                offset
            )
            .fetch_all(connection)
            .await
        }
        Status::Queued | Status::Running => {
            jobs_of_queues!("status = $2 AND status IN ('Queued', 'Running')", "lock_at", &queues, name, limit, offset)
                .fetch_all(connection)
                .await
        }
        Status::Done => {
            jobs_of_queues!(
                "status = 'Done' AND $2 = 'Done'",
                "coalesce(done_at, run_at) DESC",
                &queues,
                name,
                limit,
                offset
            )
            .fetch_all(connection)
            .await
        }
        Status::Killed => {
            jobs_of_queues!(
                "(status = 'Killed' OR (status = 'Failed' AND attempts >= max_attempts)) AND $2 = 'Killed'",
                "coalesce(done_at, run_at) DESC",
                &queues,
                name,
                limit,
                offset
            )
            .fetch_all(connection)
            .await
        }
    };
    Ok(jobs?)
}

/// How many jobs are done, as far as `most`: a bound on what it costs to know.
pub async fn count_done(connection: &mut PgConnection, queue: Option<Queue>, most: i64) -> Result<i64> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!"
           FROM unnest($1::text[]) AS q (name)
           CROSS JOIN LATERAL (SELECT FROM apalis.jobs WHERE job_type = q.name AND status = 'Done' LIMIT $2) j"#,
        &names(queue) as &[&str],
        most
    );
    Ok(count.fetch_one(connection).await?.min(most))
}

fn names(queue: Option<Queue>) -> Vec<&'static str> {
    Queue::ALL.into_iter().filter(|other| queue.is_none_or(|queue| queue == *other)).map(Queue::name).collect()
}

/// One job of a queue.
pub async fn find(connection: &mut PgConnection, queue: Queue, id: &str) -> Result<Option<StoredJob>> {
    let job = sqlx::query_as!(
        StoredJob,
        r#"SELECT id, job_type AS queue, status, attempts, max_attempts, coalesce(priority, 0) AS "priority!", lock_by,
               least(greatest(extract(epoch FROM run_at), 0), 253402300799)::bigint AS "run_at!",
               least(greatest(extract(epoch FROM lock_at), 0), 253402300799)::bigint AS "lock_at!",
               least(greatest(extract(epoch FROM done_at), 0), 253402300799)::bigint AS "done_at!",
               substr(job, 1, 65536) AS "payload!", last_result AS result
           FROM apalis.jobs WHERE id = $1 AND job_type = $2"#,
        id,
        queue.name()
    );
    Ok(job.fetch_optional(connection).await?)
}
