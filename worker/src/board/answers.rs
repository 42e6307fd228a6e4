//! Jobs, queues and workers in the form that the board's pages read.

use apalis_core::backend::{QueueInfo, RunningWorker, StatType, Statistic};
use cairn_core::jobs::board::StoredJob;
use cairn_core::jobs::queues::{QueueState, Worker};
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

/// A job in the serialized form of an apalis task. The pages require every field.
pub(super) fn task(job: &StoredJob) -> Value {
    let args = serde_json::from_slice(&job.payload)
        .unwrap_or_else(|_| json!({"unreadable": String::from_utf8_lossy(&job.payload)}));
    let runs: Vec<Value> = job.result.as_ref().map_or_else(Vec::new, |result| runs(&job.id, result));
    json!({
        "args": args,
        "ctx": {
            "task_id": job.id,
            "attempt": job.attempts.max(0),
            "status": job.status,
            "run_at": job.run_at,
            "done_at": past(job.done_at),
            "lock_at": past(job.lock_at),
            "lock_by": job.lock_by,
            "idempotency_key": null,
            "metadata": {},
            "max_attempts": job.max_attempts.max(0),
            "priority": job.priority.max(0),
            "queue": job.queue,
            "runs": runs,
        }
    })
}

/// The failed runs that are stored with the job. The pages show the last one.
fn runs(id: &str, result: &Value) -> Vec<Value> {
    let attempts = result["attempts"].as_array().map_or(&[][..], Vec::as_slice);
    attempts
        .iter()
        .map(|attempt| {
            let at = attempt["at"].as_str().and_then(|at| DateTime::parse_from_rfc3339(at).ok());
            let at = at.map(|at| at.timestamp());
            json!({
                "result": {
                    "task_id": id,
                    "attempt": attempt["attempt"].as_u64().unwrap_or(0),
                    "status": "Failed",
                    "result": {"Err": attempt["error"].as_str().unwrap_or_default()},
                },
                "lock_at": at.unwrap_or(0),
                "lock_by": "",
                "done_at": at,
            })
        })
        .collect()
}

fn past(seconds: i64) -> Option<i64> {
    (seconds > 0).then_some(seconds)
}

/// Seconds since 1970; what lies before is the beginning.
fn seconds(time: DateTime<Utc>) -> u64 {
    time.timestamp().try_into().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use apalis_board_api::RawTask;

    use super::*;

    fn job(payload: &[u8], result: Option<Value>) -> StoredJob {
        StoredJob {
            id: "01JD0000000000000000000000".to_owned(),
            queue: "likes".to_owned(),
            status: "Killed".to_owned(),
            attempts: 2,
            max_attempts: 25,
            priority: -1,
            lock_by: None,
            run_at: 0,
            lock_at: 0,
            done_at: 7,
            payload: payload.to_vec(),
            result,
        }
    }

    /// Reads a job as the pages do.
    fn read(job: &StoredJob) -> RawTask<Value> {
        serde_json::from_value(task(job)).unwrap()
    }

    #[test]
    fn the_pages_can_read_a_job_as_a_task() {
        let result = json!({"Err": "second", "attempts": [
            {"attempt": 1, "at": "2026-01-01T00:00:00+00:00", "error": "first"},
            {"attempt": 2, "at": "2026-01-01T00:00:01.5+00:00", "error": "second"},
        ]});
        let task = read(&job(br#"{"kind":"count_likes"}"#, Some(result))).0;
        assert_eq!(task.args["kind"], "count_likes");
        let (id, queue) = (task.task_id().unwrap().to_string(), task.queue().unwrap().to_string());
        assert_eq!((id.as_str(), queue.as_str()), ("01JD0000000000000000000000", "likes"));
        assert_eq!((task.attempt(), task.max_attempts(), task.done_at()), (2, Some(25), Some(7)));
        let last = task.runs().last().unwrap().result.clone().unwrap();
        assert_eq!((last.attempt, last.result.unwrap_err().as_str()), (2, "second"));
    }

    #[test]
    fn an_unreadable_payload_is_shown() {
        let task = read(&job(&[b'x', 0xff, 0], Some(json!("what?")))).0;
        assert_eq!(task.args["unreadable"], "x\u{fffd}\0");
        assert!(task.runs().is_empty());
    }
}
