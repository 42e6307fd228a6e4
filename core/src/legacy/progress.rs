//! What learners have done. Only facts are carried over: percentages, states of stages and completed roadmaps are computed from
//! them, as for everybody who learns here.

use serde_json::json;

use super::plan::{Plan, Target, Verdict};
use super::row::Row;
use super::state::State;

/// A lesson that a learner has started or completed. A row for a lesson that was never started says nothing.
pub(super) fn lesson(row: &Row, state: &mut State) -> Verdict {
    let completed_at = row.time("completed_at");
    let is_completed = completed_at.is_some() || row.word("status").as_deref() == Some("completed");
    let is_started =
        is_completed || row.time("started_at").is_some() || row.word("status").as_deref() == Some("current");
    if !is_started {
        return Verdict::Derived;
    }
    lesson_of(row, state, is_completed).into()
}

fn lesson_of(row: &Row, state: &State, is_completed: bool) -> Result<Plan, String> {
    let user_id = state.parent(row, "user_id", "users")?;
    let lesson_id = state.parent(row, "lesson_id", "lessons")?;
    let completed_at = row.time_of(&["completed_at", "updated_at", "started_at"]).unwrap_or(state.now);
    // Both were set at once, so a start after the end is a clock that was set back.
    let started_at = row.time_of(&["started_at", "completed_at", "created_at"]).unwrap_or(state.now);
    let started_at = if is_completed { started_at.min(completed_at) } else { started_at };
    let mut plan = Plan::new(user_id);
    let fact = json!({
        "user_id": user_id, "lesson_id": lesson_id, "status": if is_completed { "completed" } else { "in_progress" },
        "started_at": started_at, "completed_at": is_completed.then_some(completed_at), "created_at": started_at,
        "updated_at": if is_completed { completed_at } else { started_at },
    });
    plan.insert(Target::Facts, fact);
    Ok(plan)
}

/// A task of a lesson that a learner has checked.
pub(super) fn lesson_task(row: &Row, state: &mut State) -> Verdict {
    checked(row, state, "lesson_tasks").into()
}

/// A task of a stage that a learner has checked. The lesson that the stage has become is completed in the end (`finish`).
pub(super) fn stage_task(row: &Row, state: &mut State) -> Verdict {
    checked(row, state, "stage_tasks").into()
}

fn checked(row: &Row, state: &State, kind: &'static str) -> Result<Plan, String> {
    let user_id = state.parent(row, "user_id", "users")?;
    let task_id = state.parent(row, "task_id", kind)?;
    let mut plan = Plan::new(user_id);
    let checked_at = row.time_of(&["completed_at", "created_at"]).unwrap_or(state.now);
    plan.insert(Target::CheckedTasks, json!({ "user_id": user_id, "task_id": task_id, "checked_at": checked_at }));
    Ok(plan)
}

/// A step of a roadmap that a learner has done: a lesson completed.
pub(super) fn step(row: &Row, state: &mut State) -> Verdict {
    step_of(row, state).into()
}

fn step_of(row: &Row, state: &State) -> Result<Plan, String> {
    let user_id = state.parent(row, "user_id", "users")?;
    let lesson_id = state.parent(row, "step_id", "roadmap_steps")?;
    let at = row.time_of(&["completed_at", "created_at"]).unwrap_or(state.now);
    let mut plan = Plan::new(user_id);
    let fact = json!({
        "user_id": user_id, "lesson_id": lesson_id, "status": "completed", "started_at": at, "completed_at": at,
        "created_at": at, "updated_at": at,
    });
    plan.insert(Target::Facts, fact);
    Ok(plan)
}

/// The state of a stage or roadmap, which is computed here from what the learner did.
pub(super) fn derived(_: &Row, _: &mut State) -> Verdict {
    Verdict::Derived
}
