//! One run of a job: decoded, within its deadline, and how it can fail.

use std::time::Duration;

use cairn_core::db::{Purpose, within};
use cairn_core::queue::{Envelope, Job, Queue};
use serde_json::Value;

use crate::Context;
pub use crate::failure::JobError;

/// How long running jobs may continue after the worker was told to stop. Longer than any job's deadline
/// (`adapter::perform` checks it), so an orderly stop repeats nothing.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(25);

/// What the jobs of a queue need connections for.
pub(crate) const fn purpose(queue: Queue) -> Purpose {
    match queue {
        Queue::Maintenance => Purpose::Maintenance,
        Queue::Activity | Queue::Progress | Queue::ProgressBulk | Queue::Likes | Queue::Replies => Purpose::Batches,
    }
}

/// Within which the process has ended after it was told to stop, whatever hangs: [`DRAIN_LIMIT`], and a few seconds to tell the
/// database and to close.
pub const STOP_LIMIT: Duration = Duration::from_secs(DRAIN_LIMIT.as_secs() + 10);

/// Decodes a job and runs it within its deadline.
pub(crate) async fn perform<J: Job, F>(
    context: Context,
    envelope: Envelope<Value>,
    run: impl FnOnce(Context, J) -> F,
) -> Result<(), JobError>
where
    F: Future<Output = Result<(), JobError>>,
{
    const {
        let ends_in_time = J::HEEDS_SHUTDOWN || J::DEADLINE.as_secs() < DRAIN_LIMIT.as_secs();
        assert!(ends_in_time, "a job's deadline must be below the drain limit, or the job must react to a shutdown");
    }
    if envelope.v != 1 {
        return Err(JobError::Unknown(format!("version {} of {} is not supported", envelope.v, J::KIND)));
    }
    let job: J = serde_json::from_value(envelope.data)
        .map_err(|error| JobError::Discard(format!("the payload cannot be read: {error}")))?;
    let work = within(purpose(J::QUEUE).limits().hold, run(context, job));
    let result = tokio::time::timeout(J::DEADLINE, work)
        .await
        .unwrap_or_else(|_| Err(JobError::Retry(format!("not finished within {} s", J::DEADLINE.as_secs()))));
    result.map_err(|error| match error {
        // What a provider was paid for counts as an attempt in any case.
        JobError::Moment(_, error) if matches!(J::QUEUE, Queue::Replies) => JobError::Retry(error),
        error => error,
    })
}

#[cfg(test)]
mod tests {
    use cairn_core::queue::Queue;
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Slow {}

    impl Job for Slow {
        const KIND: &'static str = "slow";
        const QUEUE: Queue = Queue::Activity;
        const MAX_ATTEMPTS: i32 = 3;
        const DEADLINE: Duration = Duration::from_millis(5);
    }

    #[tokio::test]
    async fn a_run_that_exceeds_its_deadline_is_cancelled() {
        let db =
            cairn_core::db::Db::connect("postgres://nobody@127.0.0.1:1/none", "postgres://nobody@127.0.0.1:1/none", 1)
                .unwrap();
        let context = Context::new(db);
        let envelope = Envelope { kind: "slow".to_owned(), v: 1, traceparent: None, data: serde_json::json!({}) };
        let result = perform(context, envelope, |_, _: Slow| std::future::pending()).await;
        assert!(matches!(result, Err(JobError::Retry(error)) if error.contains("not finished")));
    }
}
