//! Checks what a database recorded: every change of a job must be one that a statement of the protocol makes.

use crate::row::{End, Row, Status};

/// A row as it was recorded: workers are named, and times are those of the database.
pub type Recorded = Row<String, String>;

/// What changed a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Step {
    Enqueued,
    Claimed,
    Done,
    Retried,
    Released,
    Died,
    Rescued,
    RetriedByOperator,
    Discarded,
    Moved,
    Removed,
}

/// The step that leads from one row to the next; `None` if there is none. The row that is `None` does not exist.
pub fn explain(before: Option<&Recorded>, after: Option<&Recorded>) -> Option<Step> {
    match (before, after) {
        (None, None) => None,
        (None, Some(after)) => (*after == Row::new(after.max_attempts)).then_some(Step::Enqueued),
        (Some(before), None) => matches!(before.status, Status::Done | Status::Dead).then_some(Step::Removed),
        (Some(before), Some(after)) if before == after => Some(Step::Moved),
        (Some(before), Some(after)) => changed(before, after),
    }
}

fn changed(before: &Recorded, after: &Recorded) -> Option<Step> {
    let is = |row: Option<Recorded>| row.as_ref() == Some(after);
    if let Some((worker, time)) = &after.lease {
        return is(before.claim(worker.clone(), time.clone())).then_some(Step::Claimed);
    }
    if let Some((worker, time)) = &before.lease {
        let ends = [(End::Done, Step::Done), (End::Snooze, Step::Released), (End::Dead, Step::Died)];
        let step = ends.into_iter().find(|(end, _)| is(before.finish(worker, time, *end))).map(|(_, step)| step);
        // An attempt that failed and one that was lost look alike, except at the cap.
        let retried = || is(before.finish(worker, time, End::Retry)).then_some(Step::Retried);
        return step.or_else(retried).or_else(|| is(before.rescue()).then_some(Step::Rescued));
    }
    if is(before.retry()) {
        return Some(Step::RetriedByOperator);
    }
    is(before.discard()).then_some(Step::Discarded)
}
