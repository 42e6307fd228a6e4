//! What the queues are like.

use cairn_core::queue::queues::QueueState;

use super::report::Verdict::{self, Bad, Good, Note};

/// How long a due job may have been waiting, in seconds.
const WAIT_LIMIT: f64 = 60.0;

/// Whether due jobs have been waiting for too long. Those of a paused queue do not count.
pub(super) fn jobs(queues: &[QueueState]) -> Verdict {
    let late = |queue: &&QueueState| queue.oldest_due_seconds.is_some_and(|seconds| seconds > WAIT_LIMIT);
    let late = named(queues.iter().filter(|queue| queue.paused_at.is_none()).filter(late), |queue| {
        let seconds = queue.oldest_due_seconds.unwrap_or_default();
        format!("{} in {}, the oldest for {seconds:.0} s", queue.due, queue.name)
    });
    let unfinished: i64 = queues.iter().map(|q| q.due + q.scheduled + q.retrying + q.running).sum();
    match late {
        Some(late) => Bad(format!("due jobs are waiting: {late}: start cairn-worker, or more instances of it")),
        None => Good(format!("{unfinished} unfinished, none late")),
    }
}

pub(super) fn dead(queues: &[QueueState]) -> Verdict {
    match named(queues.iter().filter(|q| q.dead > 0), |queue| format!("{} in {}", queue.dead, queue.name)) {
        Some(dead) => Note(format!("{dead}: see `cairn jobs list --state dead`, then retry or discard them")),
        None => Good("no job is dead".to_owned()),
    }
}

pub(super) fn paused(queues: &[QueueState]) -> Verdict {
    match named(queues.iter().filter(|q| q.paused_at.is_some()), |queue| queue.name.clone()) {
        Some(paused) => Note(format!("{paused}: run `cairn jobs resume QUEUE` to continue")),
        None => Good("no queue is paused".to_owned()),
    }
}

/// Whether every queue that has due jobs has a worker.
pub(super) fn workers(queues: &[QueueState]) -> Verdict {
    let without_worker = || queues.iter().filter(|queue| queue.workers == 0);
    let abandoned = named(without_worker().filter(|q| q.due > 0 && q.paused_at.is_none()), |queue| queue.name.clone());
    if let Some(abandoned) = abandoned {
        return Bad(format!(
            "no worker for {abandoned}, and jobs are due: start cairn-worker, and check CAIRN_WORKER_QUEUES"
        ));
    }
    match named(without_worker(), |queue| queue.name.clone()) {
        Some(_) if queues.iter().all(|queue| queue.workers == 0) => {
            Note("no worker has sent a heartbeat for 15 s: start cairn-worker or `cairn dev`".to_owned())
        }
        Some(idle) => Note(format!("no worker for {idle}: start cairn-worker, and check CAIRN_WORKER_QUEUES")),
        None => Good("every queue has a worker".to_owned()),
    }
}

/// Describes the queues on one line; `None` if there are none.
fn named<'a>(queues: impl Iterator<Item = &'a QueueState>, describe: impl Fn(&QueueState) -> String) -> Option<String> {
    let described: Vec<String> = queues.map(describe).collect();
    if described.is_empty() { None } else { Some(described.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A healthy, busy queue.
    fn queue(name: &str) -> QueueState {
        QueueState {
            name: name.to_owned(),
            due: 3,
            oldest_due_seconds: Some(2.0),
            scheduled: 0,
            retrying: 1,
            running: 1,
            dead: 0,
            done_last_minute: 0,
            done_last_hour: 0,
            failed_last_hour: 0,
            workers: 1,
            paused_at: None,
            paused_by: None,
        }
    }

    fn says(verdict: &Verdict, all: &[&str]) -> bool {
        let (Good(text) | Note(text) | Bad(text)) = verdict;
        all.iter().all(|part| text.contains(part))
    }

    #[test]
    fn healthy_queues_pass() {
        let queues = [queue("likes"), queue("replies")];
        for verdict in [jobs(&queues), dead(&queues), paused(&queues), workers(&queues)] {
            assert!(matches!(verdict, Good(_)));
        }
    }

    #[test]
    fn late_jobs_fail_unless_their_queue_is_paused() {
        let late = QueueState { oldest_due_seconds: Some(61.0), ..queue("likes") };
        let verdict = jobs(&[late.clone(), queue("replies")]);
        assert!(matches!(verdict, Bad(_)) && says(&verdict, &["3 in likes", "61 s", "start cairn-worker"]));
        let waits = QueueState { paused_at: Some(chrono::DateTime::UNIX_EPOCH), workers: 0, ..late };
        assert!(matches!(jobs(std::slice::from_ref(&waits)), Good(_)));
        let verdict = paused(&[queue("replies"), waits]);
        assert!(matches!(verdict, Note(_)) && says(&verdict, &["likes", "cairn jobs resume"]));
    }

    #[test]
    fn dead_jobs_are_noted() {
        let verdict = dead(&[queue("replies"), QueueState { dead: 2, ..queue("likes") }]);
        assert!(matches!(verdict, Note(_)) && says(&verdict, &["2 in likes", "cairn jobs list --state dead"]));
    }

    #[test]
    fn a_queue_without_a_worker_fails_once_it_has_due_jobs() {
        let alone = QueueState { workers: 0, ..queue("likes") };
        let verdict = workers(&[queue("replies"), alone.clone()]);
        assert!(matches!(verdict, Bad(_)) && says(&verdict, &["no worker for likes", "CAIRN_WORKER_QUEUES"]));
        let empty = QueueState { due: 0, oldest_due_seconds: None, ..alone };
        let verdict = workers(&[queue("replies"), empty.clone()]);
        assert!(matches!(verdict, Note(_)) && says(&verdict, &["no worker for likes"]));
        let verdict = workers(&[empty]);
        assert!(matches!(verdict, Note(_)) && says(&verdict, &["cairn dev"]));
    }
}
