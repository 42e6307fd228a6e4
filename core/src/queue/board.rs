//! Pages of jobs as the apalis board requests them: by apalis' status, with an offset. (Everything else lists jobs by
//! [`super::inspect`], with a position.)

use sqlx::PgConnection;

use super::Queue;
use super::inspect::{self, JobDetails};
use crate::Result;

/// The status of a job in apalis' table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Waits for its first run.
    Pending,
    /// Claimed by one of apalis' own workers. Ours do not use it.
    Queued,
    /// Claimed by a worker.
    Running,
    /// Its effect is committed.
    Done,
    /// Waits for its next run.
    Failed,
    /// Dead.
    Killed,
}

impl Status {
    /// All statuses.
    pub const ALL: [Self; 6] = [Self::Pending, Self::Queued, Self::Running, Self::Done, Self::Failed, Self::Killed];

    /// The name in the table.
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

    /// The status with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// Selects the ids of a page of jobs with one status. Every index begins with the queue, so the jobs are read queue by queue.
/// The statuses have different indexes, whose conditions must be literals in the query for the planner to use them.
macro_rules! page_of_ids {
    ($connection:expr, $condition:literal, $order:literal, $queues:expr, $status:expr, $limit:expr, $offset:expr) => {
        sqlx::query_scalar!(
            r#"SELECT j.id AS "id!"
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
            $status.name(),
            $limit,
            $offset
        )
        .fetch_all(&mut *$connection)
        .await?
    };
}

/// Jobs with one status. Jobs that have ended are listed from newest to oldest, the others in the order in which they are due
/// or were claimed. `Killed` includes the jobs that apalis' own backend leaves as failed for the last time.
pub async fn page(
    connection: &mut PgConnection,
    status: Status,
    queue: Option<Queue>,
    limit: i64,
    offset: i64,
) -> Result<Vec<JobDetails>> {
    let queues = names(queue);
    let ids = match status {
        Status::Pending | Status::Failed => page_of_ids!(
            connection,
            "status = $2 AND (status = 'Pending' OR (status = 'Failed' AND attempts < max_attempts))",
            "run_at",
            &queues,
            status,
            limit,
            offset
        ),
        Status::Queued | Status::Running => page_of_ids!(
            connection,
            "status = $2 AND status IN ('Queued', 'Running')",
            "lock_at",
            &queues,
            status,
            limit,
            offset
        ),
        Status::Done => page_of_ids!(
            connection,
            "status = 'Done' AND $2 = 'Done'",
            "coalesce(done_at, run_at) DESC",
            &queues,
            status,
            limit,
            offset
        ),
        Status::Killed => page_of_ids!(
            connection,
            "(status = 'Killed' OR (status = 'Failed' AND attempts >= max_attempts)) AND $2 = 'Killed'",
            "coalesce(done_at, run_at) DESC",
            &queues,
            status,
            limit,
            offset
        ),
    };
    inspect::find_all(connection, &ids).await
}

/// The number of done jobs, counted up to `limit`, which bounds the cost.
pub async fn count_done(connection: &mut PgConnection, queue: Option<Queue>, limit: i64) -> Result<i64> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!"
           FROM unnest($1::text[]) AS q (name)
           CROSS JOIN LATERAL (SELECT FROM apalis.jobs WHERE job_type = q.name AND status = 'Done' LIMIT $2) j"#,
        &names(queue) as &[&str],
        limit
    );
    Ok(count.fetch_one(connection).await?.min(limit))
}

fn names(queue: Option<Queue>) -> Vec<&'static str> {
    Queue::ALL.into_iter().filter(|other| queue.is_none_or(|queue| queue == *other)).map(Queue::name).collect()
}
