//! Jobs, queues and workers in the form that the board's pages read.

use apalis_core::backend::{QueueInfo, RunningWorker, StatType, Statistic};
use cairn_core::queue::inspect::{AttemptError, JobDetails, Payload};
use cairn_core::queue::queues::{QueueState, Worker};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

/// The figures of one queue or of all queues. The pages know these titles, and take the length of lists from some of them.
pub(super) fn statistics(state: &QueueState, done: i64) -> Vec<Statistic> {
    [
        ("RUNNING_JOBS", state.running),
        ("PENDING_JOBS", state.due + state.scheduled),
        ("QUEUE_BACKLOG", state.due),
        ("FAILED_JOBS", state.retrying),
        ("KILLED_JOBS", state.dead),
        ("DONE_JOBS", done),
    ]
    .into_iter()
    .map(|(title, count)| Statistic {
        title: title.to_owned(),
        stat_type: StatType::Number,
        value: count.to_string(),
        priority: Some(1),
    })
    .collect()
}

/// The sums over all queues.
pub(super) fn total(states: &[QueueState]) -> QueueState {
    states.iter().fold(QueueState::default(), |total, state| QueueState {
        due: total.due + state.due,
        scheduled: total.scheduled + state.scheduled,
        retrying: total.retrying + state.retrying,
        running: total.running + state.running,
        dead: total.dead + state.dead,
        ..total
    })
}

pub(super) fn queue_info(state: &QueueState, done: i64, workers: &[Worker]) -> QueueInfo {
    let workers = workers.iter().filter(|worker| worker.queue == state.name);
    QueueInfo {
        name: state.name.clone(),
        stats: statistics(state, done),
        workers: workers.map(|worker| worker.name.clone()).collect(),
        activity: Vec::new(),
    }
}

pub(super) fn running_worker(worker: &Worker) -> RunningWorker {
    RunningWorker {
        id: worker.name.clone(),
        queue: worker.queue.clone(),
        backend: "cairn".to_owned(),
        started_at: worker.started_at.map_or(0, seconds),
        last_heartbeat: seconds(worker.last_seen),
        layers: String::new(),
    }
}

/// A job of a list, as [`task`], but without its payload, which may be large and name people.
pub(super) fn listed(details: &JobDetails) -> Value {
    let mut task = task(details);
    task["args"] = json!({"kind": details.job.kind});
    task
}

/// A job in the serialized form of an apalis task. The pages require every field.
pub(super) fn task(details: &JobDetails) -> Value {
    let job = &details.job;
    let args = match &details.payload {
        Payload::Json(json) => json.clone(),
        Payload::Unreadable(text) => json!({"unreadable": text}),
    };
    json!({
        "args": args,
        "ctx": {
            "task_id": job.id,
            "attempt": job.attempts.max(0),
            "status": details.status,
            "run_at": job.run_at.map_or(0, seconds),
            "done_at": job.ended_at.map(seconds),
            "lock_at": job.started_at.map(seconds),
            "lock_by": job.worker,
            "idempotency_key": null,
            "metadata": {},
            "max_attempts": job.max_attempts.max(0),
            "priority": details.priority.max(0),
            "queue": job.queue,
            "runs": details.errors.iter().map(|error| run(&job.id, error)).collect::<Vec<_>>(),
        }
    })
}

/// A failed run. The pages show the last one of a job.
fn run(id: &str, failed: &AttemptError) -> Value {
    let at = failed.at.map(seconds);
    json!({
        "result": {
            "task_id": id,
            "attempt": failed.attempt.unwrap_or(0).max(0),
            "status": "Failed",
            "result": {"Err": failed.error},
        },
        "lock_at": at.unwrap_or(0),
        "lock_by": "",
        "done_at": at,
    })
}

/// Seconds since 1970, or 0 for an earlier time.
fn seconds(time: DateTime<Utc>) -> u64 {
    time.timestamp().try_into().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use apalis_board_api::RawTask;
    use cairn_core::queue::inspect::{JobSummary, State};

    use super::*;

    fn job(payload: Payload, errors: Vec<AttemptError>) -> JobDetails {
        JobDetails {
            job: JobSummary {
                id: "01JD0000000000000000000000".to_owned(),
                queue: "likes".to_owned(),
                kind: None,
                state: State::Dead,
                attempts: 2,
                max_attempts: 25,
                run_at: None,
                started_at: None,
                worker: None,
                ended_at: DateTime::from_timestamp(7, 0),
                error: None,
                at: None,
            },
            status: "Killed".to_owned(),
            priority: -1,
            enqueued_at: None,
            payload,
            errors,
            discarded_by: None,
        }
    }

    fn failed(attempt: i64, error: &str) -> AttemptError {
        AttemptError { attempt: Some(attempt), at: DateTime::from_timestamp(attempt, 0), error: error.to_owned() }
    }

    /// Reads a job as the pages do.
    fn read(job: &JobDetails) -> RawTask<Value> {
        serde_json::from_value(task(job)).unwrap()
    }

    #[test]
    fn the_pages_can_read_a_job_as_a_task() {
        let payload = Payload::Json(json!({"kind": "count_likes"}));
        let task = read(&job(payload, vec![failed(1, "first"), failed(2, "second")])).0;
        assert_eq!(task.args["kind"], "count_likes");
        let (id, queue) = (task.task_id().unwrap().to_string(), task.queue().unwrap().to_string());
        assert_eq!((id.as_str(), queue.as_str()), ("01JD0000000000000000000000", "likes"));
        assert_eq!((task.attempt(), task.max_attempts(), task.done_at()), (2, Some(25), Some(7)));
        let last = task.runs().last().unwrap().result.clone().unwrap();
        assert_eq!((last.attempt, last.result.unwrap_err().as_str()), (2, "second"));
    }

    #[test]
    fn lists_show_no_payloads() {
        let mut job = job(Payload::Json(json!({"kind": "count_likes", "user_id": "u"})), Vec::new());
        job.job.kind = Some("count_likes".to_owned());
        assert_eq!(listed(&job)["args"], json!({"kind": "count_likes"}));
    }

    #[test]
    fn an_unreadable_payload_is_shown() {
        let task = read(&job(Payload::Unreadable("x\u{fffd}\0".to_owned()), Vec::new())).0;
        assert_eq!(task.args["unreadable"], "x\u{fffd}\0");
        assert!(task.runs().is_empty());
    }
}
