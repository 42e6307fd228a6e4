//! Modules, lessons, and their materials and tasks.
//!
//! Learners find lessons through a roadmap, which the old platform did not need: one is made, with a stage for each module.

use serde_json::json;
use uuid::Uuid;

use super::clean;
use super::plan::{Plan, Target, Verdict};
use super::row::Row;
use super::state::{COURSE, MODULE_STAGE, State, id_for};
use crate::clock::new_id;

/// How long a lesson takes whose duration nobody wrote down, in minutes.
pub(super) const UNKNOWN_DURATION: i32 = 10;

/// Whether learners see a module or lesson of this state. What they could not open is not shown to them now, so only words that
/// are known to show something do: those of the platform's own states, and those of its other contents.
fn publication(row: &Row, notes: &mut Vec<String>) -> &'static str {
    match row.word("status").as_deref() {
        None | Some("available" | "current" | "completed" | "published" | "active") => "published",
        Some("draft" | "hidden" | "locked") => "draft",
        Some(_) => {
            notes.push("status: a word that is not known; it is a draft until an author publishes it".to_owned());
            "draft"
        }
    }
}

/// A module, and its stage in the roadmap of the course.
pub(super) fn module(row: &Row, state: &mut State) -> Verdict {
    let key = row.key();
    let mut plan = Plan::new(id_for(&key));
    let title = titled(row, "title", 200, &mut plan);
    let slug = state.slug("module", &clean::slug(&title, "module"));
    let summary = clean::cut("description", &row.text("description").unwrap_or_default(), 1000, &mut plan.notes);
    let publication = publication(row, &mut plan.notes);
    let (created_at, updated_at) = (row.created(state.now), row.updated(state.now));
    let deleted_at = row.deleted(state.now, &mut plan.notes);
    let module = json!({
        "id": plan.id, "slug": slug, "title": title, "summary": summary, "position": row.position(),
        "publication": publication, "version": 1, "created_at": created_at, "updated_at": updated_at,
        "deleted_at": deleted_at,
    });
    plan.insert(Target::Modules, module);
    let roadmap_id = special_roadmap(state, &mut plan, "modules", "Курс", "course");
    let stage_id = new_id();
    let new_stage = json!({
        "id": stage_id, "roadmap_id": roadmap_id, "slug": state.slug(&format!("stage {roadmap_id}"), &slug), "title": title,
        "summary": summary, "position": row.position(), "publication": "published", "version": 1,
        "created_at": created_at, "updated_at": updated_at, "deleted_at": deleted_at,
    });
    plan.insert(Target::Stages, new_stage);
    plan.name(MODULE_STAGE, &key, stage_id);
    Verdict::Map(plan)
}

/// The roadmap that is made for what the old platform showed without one. Its title is in the language of that platform.
pub(super) fn special_roadmap(state: &mut State, plan: &mut Plan, name: &str, title: &str, slug: &str) -> Uuid {
    if let Some(id) = state.find(COURSE, name) {
        return id;
    }
    let id = new_id();
    let slug = state.slug("roadmap", slug);
    plan.insert(
        Target::Roadmaps,
        json!({
            "id": id, "slug": slug, "title": title, "summary": "", "is_sequential": false, "position": 0,
            "publication": "published", "content_version": 1, "recomputed_version": 0, "version": 1,
            "created_at": state.now, "updated_at": state.now, "deleted_at": null,
        }),
    );
    plan.name(COURSE, name, id);
    state.remember(COURSE, name, id);
    id
}

/// A lesson, which stands in the stage of its module.
pub(super) fn lesson(row: &Row, state: &mut State) -> Verdict {
    let module = match state.parent(row, "module_id", "course_modules") {
        Ok(id) => id,
        Err(reason) => return Verdict::Skip(reason),
    };
    let mut plan = Plan::new(id_for(&row.key()));
    let title = titled(row, "title", 200, &mut plan);
    let slug = state.slug("lesson", &clean::slug(&title, "lesson"));
    let description = row.text_of(&["description", "content"]).unwrap_or_default();
    let is_short = description.chars().count() <= 1000;
    let summary = if is_short { description.clone() } else { String::new() };
    let body = if is_short { String::new() } else { clean::cut("description", &description, 100_000, &mut plan.notes) };
    let publication = publication(row, &mut plan.notes);
    let lesson = json!({
        "id": plan.id, "module_id": module, "slug": slug, "title": title, "summary": summary, "body": body,
        "video_url": clean::url("video_url", row.text("video_url"), &mut plan.notes),
        "duration_minutes": duration(row, "duration", &mut plan), "completion": "manual", "position": row.position(),
        "publication": publication, "version": 1, "created_at": row.created(state.now),
        "updated_at": row.updated(state.now), "deleted_at": row.deleted(state.now, &mut plan.notes),
    });
    plan.insert(Target::Lessons, lesson);
    if let Some(stage_id) = row.text("module_id").and_then(|id| state.find(MODULE_STAGE, &id)) {
        plan.insert(Target::StageLessons, placed(stage_id, plan.id, row.position()));
    }
    Verdict::Map(plan)
}

/// A lesson's place in a stage.
pub(super) fn placed(stage_id: Uuid, lesson_id: Uuid, position: i32) -> serde_json::Value {
    json!({ "stage_id": stage_id, "lesson_id": lesson_id, "position": position, "is_required": true })
}

/// A material of a lesson. Without an address of the web there is nothing to show.
pub(super) fn material(row: &Row, state: &mut State) -> Verdict {
    let lesson_id = match state.parent(row, "lesson_id", "lessons") {
        Ok(id) => id,
        Err(reason) => return Verdict::Skip(reason),
    };
    let mut plan = Plan::new(id_for(&row.key()));
    let Some(url) = row.text("url").filter(|url| clean::is_url(url)) else {
        return Verdict::skip("url: no http(s) address of at most 2000 characters");
    };
    let title = titled(row, "title", 200, &mut plan);
    let kind = match row.word("type").as_deref() {
        Some("pdf") => "document",
        Some("video") => "video",
        Some("code" | "file") => "file",
        _ => "link",
    };
    let material = json!({
        "id": plan.id, "lesson_id": lesson_id, "kind": kind, "title": title, "url": url, "position": row.position(),
        "created_at": row.created(state.now), "updated_at": row.updated(state.now),
        "deleted_at": row.deleted(state.now, &mut plan.notes),
    });
    plan.insert(Target::Materials, material);
    Verdict::Map(plan)
}

/// A task of a lesson. It is optional, because it never decided whether the lesson is completed.
pub(super) fn task(row: &Row, state: &mut State) -> Verdict {
    match state.parent(row, "lesson_id", "lessons") {
        Ok(lesson_id) => Verdict::Map(task_of(row, state, id_for(&row.key()), lesson_id, "text", false)),
        Err(reason) => Verdict::Skip(reason),
    }
}

/// A task whose text is in `column`: what does not fit into its title is in its description.
pub(super) fn task_of(
    row: &Row,
    state: &mut State,
    id: Uuid,
    lesson_id: Uuid,
    column: &str,
    is_required: bool,
) -> Plan {
    let mut plan = Plan::new(id);
    let text = row.text_of(&[column, "title", "text"]).unwrap_or_default();
    let description =
        if text.chars().count() > 300 { clean::cut(column, &text, 5000, &mut plan.notes) } else { String::new() };
    let short = text.chars().take(300).collect();
    let title =
        clean::title(column, Some(short), 300, &mut plan.notes).unwrap_or_else(|| untitled(column, &mut plan.notes));
    let slug = state.slug(&format!("task {lesson_id}"), &clean::slug(&title, "task"));
    let task = json!({
        "id": plan.id, "lesson_id": lesson_id, "slug": slug, "title": title, "description": description,
        "is_required": is_required, "position": row.position(), "created_at": row.created(state.now),
        "updated_at": row.updated(state.now), "deleted_at": row.deleted(state.now, &mut plan.notes),
    });
    plan.insert(Target::Tasks, task);
    plan
}

/// The title in a column, or one that says that there is none.
pub(super) fn titled(row: &Row, column: &str, most: usize, plan: &mut Plan) -> String {
    let title = clean::title(column, row.text(column), most, &mut plan.notes);
    title.unwrap_or_else(|| untitled(column, &mut plan.notes))
}

fn untitled(column: &str, notes: &mut Vec<String>) -> String {
    notes.push(format!("{column}: nothing that can be seen"));
    "Без названия".to_owned()
}

/// The minutes in a column of text.
pub(super) fn duration(row: &Row, column: &str, plan: &mut Plan) -> i32 {
    let Some(text) = row.text(column) else { return UNKNOWN_DURATION };
    clean::minutes(&text).unwrap_or_else(|| {
        plan.notes.push(format!("{column}: no duration that can be read; it counts as {UNKNOWN_DURATION} minutes"));
        UNKNOWN_DURATION
    })
}
