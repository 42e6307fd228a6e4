//! Runs one job: decodes it, enforces its deadline, catches its panics, and turns the result into an [`Outcome`].
//!
//! All of it happens here rather than in layers around the worker, because what a layer catches leaves the job's row
//! `Running`.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use cairn_core::Transient;
use cairn_core::failpoint;
use cairn_core::queue::lease::{Lease, Outcome};
use cairn_core::queue::{Envelope, Queue, TRACEPARENT};
use cairn_core::telemetry::trace;
use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use serde_json::Value;
use tracing::Instrument;
use tracing::field::Empty;
use ulid::Ulid;

use crate::Context;
use crate::jobs::{dispatch, metric_name};
use crate::run::JobError;

/// How long a job of an unknown kind or version waits for a worker that knows it: longer than it takes to replace all workers.
pub(crate) const WAIT_FOR_NEWER: Duration = Duration::from_hours(1);

/// How long such a job waits before the next worker looks at it, more or less.
const PAUSE_FOR_NEWER: Duration = Duration::from_secs(10);

/// How long a job waits, on average, that failed for a reason of the moment.
const POSTPONEMENT: Duration = Duration::from_secs(3);

/// Runs a job. Returns the kind as metrics name it, and the outcome. Never panics, and never returns before the effect is
/// committed.
pub(crate) async fn run(context: &Context, queue: Queue, lease: &Lease) -> (&'static str, Outcome) {
    let envelope: Envelope<Value> = match serde_json::from_slice(&lease.payload) {
        Ok(envelope) => envelope,
        Err(error) => return (metric_name("?"), dead(lease, "?", format!("the payload cannot be read: {error}"))),
    };
    let kind = envelope.kind.clone();
    failpoint::pass(&kind);
    let span = tracing::info_span!("job", job.queue = queue.name(), job.kind = %kind, job.id = %lease.id,
        job.attempt = lease.attempt, trace_id = Empty, otel.kind = trace::kind("consumer"));
    let traceparent = trace::join(&span, envelope.traceparent.as_deref());
    trace::rename(&span, metric_name(&kind).to_owned());
    let context = context.clone().under(queue, lease);
    let postponed = context.postponed.clone();
    let work = TRACEPARENT.scope(Some(traceparent), dispatch(context, envelope));
    let (outcome, reason) = outcome(lease, &kind, work).instrument(span).await;
    if let (Some(reason), Some(postponed)) = (reason, &postponed) {
        postponed.with_label_values(&[queue.name(), reason.name()]).inc();
    }
    (metric_name(&kind), outcome)
}

/// Turns the result of a run, including a panic, into the outcome of the job. Also returns why it was postponed, if it was.
async fn outcome(
    lease: &Lease,
    kind: &str,
    work: impl Future<Output = Result<(), JobError>>,
) -> (Outcome, Option<Transient>) {
    let error = match AssertUnwindSafe(work).catch_unwind().await {
        Ok(Ok(())) => {
            failpoint::pass(failpoint::AFTER_EFFECT);
            return (Outcome::Done, None);
        }
        Ok(Err(error)) => error,
        Err(panic) => JobError::Retry(format!("panicked: {}", panic_message(panic.as_ref()))),
    };
    let outcome = match error {
        JobError::Moment(reason, error) => return (postpone(lease, kind, &error), Some(reason)),
        JobError::Discard(error) => dead(lease, kind, error),
        JobError::Unknown(error) if age(lease).is_none_or(|age| age >= WAIT_FOR_NEWER) => dead(lease, kind, error),
        JobError::Unknown(error) => {
            tracing::warn!(job.kind = kind, job.id = %lease.id, error, "a job of a newer release waits for a newer worker");
            Outcome::Snooze { delay: PAUSE_FOR_NEWER.mul_f64(0.5 + rand::random::<f64>()) }
        }
        JobError::Retry(error) | JobError::RetryIn(_, error) if lease.attempt >= lease.max_attempts => {
            dead(lease, kind, error)
        }
        JobError::Retry(error) => retry(lease, kind, backoff(lease.attempt, rand::random()), error),
        JobError::RetryIn(delay, error) => retry(lease, kind, delay, error),
        JobError::Snooze(delay) => Outcome::Snooze { delay },
    };
    (outcome, None)
}

/// The time since the job was enqueued, by its id; `None` if nothing of this platform made the id.
fn age(lease: &Lease) -> Option<Duration> {
    let enqueued_at: DateTime<Utc> = Ulid::from_string(&lease.id).ok()?.datetime().into();
    Some((lease.taken_at - enqueued_at).to_std().unwrap_or_default())
}

/// Has the job tried again in a few seconds, without counting the attempt. Jobs that failed together come back one by one.
fn postpone(lease: &Lease, kind: &str, error: &str) -> Outcome {
    let delay = POSTPONEMENT.mul_f64(0.5 + rand::random::<f64>());
    tracing::warn!(job.kind = kind, job.id = %lease.id, retry_in_ms = delay.as_millis(), error,
        "a job failed for a reason of the moment and is postponed");
    Outcome::Snooze { delay }
}

fn retry(lease: &Lease, kind: &str, delay: Duration, error: String) -> Outcome {
    tracing::warn!(job.kind = kind, job.id = %lease.id, job.attempt = lease.attempt, retry_in_ms = delay.as_millis(),
        error = %error, "a job failed and will be retried");
    Outcome::Retry { delay, error: truncated(error) }
}

fn dead(lease: &Lease, kind: &str, error: String) -> Outcome {
    tracing::error!(job.kind = kind, job.id = %lease.id, job.attempt = lease.attempt, error = %error, "a job is dead");
    Outcome::Dead { error: truncated(error) }
}

/// How long to wait before the next attempt: doubles from 1 s to 10 min, minus up to half of it at random, so that jobs
/// that failed together are not retried together. `jitter` is from 0 to 1.
fn backoff(attempt: i32, jitter: f64) -> Duration {
    let exponent = u32::try_from(attempt.clamp(1, 12) - 1).unwrap_or(0);
    let ceiling = Duration::from_secs(1 << exponent).min(Duration::from_mins(10));
    ceiling.mul_f64(0.5 + jitter / 2.0)
}

fn truncated(error: String) -> String {
    if error.chars().count() <= 2000 { error } else { error.chars().take(2000).collect() }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    async fn ended(lease: &Lease, work: impl Future<Output = Result<(), JobError>>) -> Outcome {
        outcome(lease, "k", work).await.0
    }

    fn lease(attempt: i32) -> Lease {
        let taken_at = DateTime::UNIX_EPOCH;
        let (id, worker, payload) = ("job".to_owned(), "w".to_owned(), Vec::new());
        Lease { id, worker, payload, attempt, max_attempts: 3, taken_at, waited: 0.0 }
    }

    fn error(outcome: &Outcome) -> &str {
        match outcome {
            Outcome::Done | Outcome::Snooze { .. } => "",
            Outcome::Retry { error, .. } | Outcome::Dead { error } => error,
        }
    }

    #[tokio::test]
    async fn each_result_of_a_run_maps_to_its_outcome() {
        assert_eq!(ended(&lease(1), async { Ok(()) }).await, Outcome::Done);
        let failed = ended(&lease(2), async { Err(JobError::retry("no luck")) }).await;
        assert!(matches!(&failed, Outcome::Retry { delay, .. } if *delay >= Duration::from_secs(1)), "{failed:?}");
        let delayed = ended(&lease(1), async { Err(JobError::RetryIn(Duration::from_secs(77), "later".into())) }).await;
        assert_eq!(delayed, Outcome::Retry { delay: Duration::from_secs(77), error: "later".into() });
        let last = ended(&lease(3), async { Err(JobError::RetryIn(Duration::ZERO, "again".into())) }).await;
        assert_eq!(last, Outcome::Dead { error: "again".into() });
        let later = ended(&lease(3), async { Err(JobError::Snooze(Duration::from_millis(7))) }).await;
        assert_eq!(later, Outcome::Snooze { delay: Duration::from_millis(7) }, "even the last attempt may snooze");
        let never = ended(&lease(1), async { Err(JobError::discard("bad")) }).await;
        assert_eq!(never, Outcome::Dead { error: "bad".into() });
    }

    #[tokio::test]
    async fn a_job_of_a_newer_release_waits_for_a_newer_worker_for_an_hour() {
        let unknown = async |id: String, age: Duration| {
            ended(&Lease { id, taken_at: (SystemTime::UNIX_EPOCH + age).into(), ..lease(3) }, async {
                Err(JobError::Unknown("what?".into()))
            })
            .await
        };
        let id = Ulid::from_datetime(SystemTime::UNIX_EPOCH).to_string();
        // The clock of the database may be behind that of the program.
        let early = Ulid::from_datetime(SystemTime::UNIX_EPOCH + WAIT_FOR_NEWER).to_string();
        for (id, age) in [(&id, Duration::ZERO), (&id, WAIT_FOR_NEWER.mul_f64(0.99)), (&early, Duration::ZERO)] {
            let outcome = unknown(id.clone(), age).await;
            assert!(
                matches!(outcome, Outcome::Snooze { delay } if delay >= PAUSE_FOR_NEWER / 2),
                "{age:?}: {outcome:?}"
            );
        }
        for id in [id, "not ours".to_owned()] {
            assert_eq!(unknown(id, WAIT_FOR_NEWER).await, Outcome::Dead { error: "what?".into() });
        }
    }

    #[tokio::test]
    async fn a_panic_fails_the_run_and_not_the_worker() {
        let first = ended(&lease(1), async { panic!("out of cheese") }).await;
        assert!(matches!(first, Outcome::Retry { .. }) && error(&first).contains("out of cheese"), "{first:?}");
        let last = ended(&lease(3), async { panic!("{}", 7) }).await;
        assert!(matches!(last, Outcome::Dead { .. }) && error(&last).contains('7'), "{last:?}");
    }

    #[tokio::test]
    async fn what_is_wrong_for_the_moment_costs_no_attempt() {
        for reason in Transient::ALL {
            let (outcome, postponed) =
                outcome(&lease(3), "k", async { Err(JobError::Moment(reason, "not now".into())) }).await;
            let Outcome::Snooze { delay } = outcome else { panic!("{outcome:?}") };
            assert!(delay >= POSTPONEMENT / 2 && delay <= POSTPONEMENT * 2, "{delay:?}");
            assert_eq!(postponed, Some(reason));
        }
    }

    #[test]
    fn backoff_doubles_within_bounds() {
        assert_eq!(backoff(1, 1.0), Duration::from_secs(1));
        assert_eq!(backoff(1, 0.0), Duration::from_millis(500));
        assert_eq!(backoff(4, 1.0), Duration::from_secs(8));
        assert_eq!(backoff(25, 1.0), Duration::from_mins(10));
        assert_eq!(backoff(0, 1.0), Duration::from_secs(1));
    }
}
