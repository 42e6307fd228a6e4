//! The old roadmaps with their steps, and the stages of the old dashboard with their tasks.
//!
//! What a learner does here is to complete lessons and check tasks. So a step is a lesson in the one stage of its roadmap, and a
//! stage of the dashboard is a stage with one lesson, which is completed when its tasks are checked. They get ids of their own,
//! because they now share a table with the lessons and tasks of modules.

use serde_json::json;

use super::clean;
use super::content::{UNKNOWN_DURATION, placed, special_roadmap, task_of, titled};
use super::plan::{Plan, Target, Verdict};
use super::row::Row;
use super::state::{COURSE, ROADMAP_MODULE, ROADMAP_STAGE, State, id_for};
use crate::clock::new_id;

/// A roadmap, its stage, and the module that its steps are lessons of.
pub(super) fn roadmap(row: &Row, state: &mut State) -> Verdict {
    let key = row.key();
    let mut plan = Plan::new(id_for(&key));
    let title = titled(row, "title", 200, &mut plan);
    let slug = state.slug("roadmap", &clean::slug(&title, "roadmap"));
    let summary = clean::cut("description", &row.text("description").unwrap_or_default(), 1000, &mut plan.notes);
    let (created_at, updated_at) = (row.created(state.now), row.updated(state.now));
    let deleted_at = row.deleted(state.now, &mut plan.notes);
    let (stage_id, module_id) = (new_id(), new_id());
    let position = row.position();
    let roadmap = json!({
        "id": plan.id, "slug": slug, "title": title, "summary": summary, "is_sequential": false, "position": position,
        "publication": "published", "content_version": 1, "recomputed_version": 0, "version": 1,
        "created_at": created_at, "updated_at": updated_at, "deleted_at": deleted_at,
    });
    let module = json!({
        "id": module_id, "slug": state.slug("module", &slug), "title": title, "summary": "", "position": position,
        "publication": "published", "version": 1, "created_at": created_at, "updated_at": updated_at, "deleted_at": deleted_at,
    });
    let new_stage = json!({
        "id": stage_id, "roadmap_id": plan.id, "slug": "steps", "title": title, "summary": "", "position": 0,
        "publication": "published", "version": 1, "created_at": created_at, "updated_at": updated_at, "deleted_at": deleted_at,
    });
    plan.insert(Target::Roadmaps, roadmap);
    plan.insert(Target::Modules, module);
    plan.insert(Target::Stages, new_stage);
    plan.name(ROADMAP_STAGE, &key, stage_id);
    plan.name(ROADMAP_MODULE, &key, module_id);
    Verdict::Map(plan)
}

/// A step: a lesson with its description and its link.
pub(super) fn step(row: &Row, state: &mut State) -> Verdict {
    step_of(row, state).into()
}

fn step_of(row: &Row, state: &mut State) -> Result<Plan, String> {
    // First the one whose name is in the reason.
    state.parent(row, "roadmap_id", "roadmaps")?;
    let stage_id = state.parent(row, "roadmap_id", ROADMAP_STAGE)?;
    let module_id = state.parent(row, "roadmap_id", ROADMAP_MODULE)?;
    let mut plan = Plan::new(new_id());
    let title = titled(row, "title", 200, &mut plan);
    let link = clean::url("link_url", row.text("link_url"), &mut plan.notes)
        .map(|url| format!("[{}]({url})", row.text("link_text").unwrap_or_else(|| url.clone())));
    let body = clean::paragraphs(&[row.text("description"), link]);
    let lesson = json!({
        "id": plan.id, "module_id": module_id, "slug": state.slug("lesson", &clean::slug(&title, "step")), "title": title,
        "summary": "", "body": clean::cut("description", &body, 100_000, &mut plan.notes), "video_url": null,
        "duration_minutes": UNKNOWN_DURATION, "completion": "manual", "position": row.position(),
        "publication": "published", "version": 1, "created_at": row.created(state.now),
        "updated_at": row.updated(state.now), "deleted_at": row.deleted(state.now, &mut plan.notes),
    });
    plan.insert(Target::Lessons, lesson);
    plan.insert(Target::StageLessons, placed(stage_id, plan.id, row.position()));
    Ok(plan)
}

/// A stage of the dashboard: a stage with one lesson, whose id is what the tasks of the stage refer to.
pub(super) fn dashboard_stage(row: &Row, state: &mut State) -> Verdict {
    let mut plan = Plan::new(new_id());
    let title = titled(row, "title", 200, &mut plan);
    let roadmap_id = special_roadmap(state, &mut plan, "stages", "Этапы обучения", "stages");
    let module_id = module_of_stages(state, &mut plan);
    let stage_id = new_id();
    let slug = clean::slug(&title, "stage");
    let summary = clean::cut("subtitle", &row.text("subtitle").unwrap_or_default(), 1000, &mut plan.notes);
    let (created_at, updated_at) = (row.created(state.now), row.updated(state.now));
    let deleted_at = row.deleted(state.now, &mut plan.notes);
    let new_stage = json!({
        "id": stage_id, "roadmap_id": roadmap_id, "slug": state.slug(&format!("stage {roadmap_id}"), &slug), "title": title,
        "summary": summary, "position": row.position(), "publication": "published", "version": 1, "created_at": created_at,
        "updated_at": updated_at, "deleted_at": deleted_at,
    });
    let lesson = json!({
        "id": plan.id, "module_id": module_id, "slug": state.slug("lesson", &slug), "title": title, "summary": summary,
        "body": "", "video_url": null, "duration_minutes": UNKNOWN_DURATION, "completion": "tasks",
        "position": row.position(), "publication": "published", "version": 1, "created_at": created_at,
        "updated_at": updated_at, "deleted_at": deleted_at,
    });
    plan.insert(Target::Stages, new_stage);
    plan.insert(Target::Lessons, lesson);
    plan.insert(Target::StageLessons, placed(stage_id, plan.id, row.position()));
    Verdict::Map(plan)
}

/// The module of the lessons that are stages of the dashboard.
fn module_of_stages(state: &mut State, plan: &mut Plan) -> uuid::Uuid {
    if let Some(id) = state.find(COURSE, "stages module") {
        return id;
    }
    let id = new_id();
    let module = json!({
        "id": id, "slug": state.slug("module", "stages"), "title": "Этапы обучения", "summary": "", "position": 0,
        "publication": "published", "version": 1, "created_at": state.now, "updated_at": state.now, "deleted_at": null,
    });
    plan.insert(Target::Modules, module);
    plan.name(COURSE, "stages module", id);
    state.remember(COURSE, "stages module", id);
    id
}

/// A task of a stage.
pub(super) fn stage_task(row: &Row, state: &mut State) -> Verdict {
    match state.parent(row, "stage_id", "dashboard_stages") {
        Ok(lesson_id) => Verdict::Map(task_of(row, state, new_id(), lesson_id, "title", true)),
        Err(reason) => Verdict::Skip(reason),
    }
}
