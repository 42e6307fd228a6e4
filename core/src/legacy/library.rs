//! Style cards, the glossary, and prompts with their categories, steps and favorites.

use serde_json::json;
use uuid::Uuid;

use super::clean;
use super::content::titled;
use super::plan::{Plan, Target, Verdict};
use super::row::Row;
use super::state::{State, id_for};
use crate::clock::new_id;

/// Whether learners see what has this state.
fn publication(row: &Row) -> &'static str {
    match row.word("status").as_deref() {
        None | Some("published" | "active") => "published",
        Some("archived") => "archived",
        Some(_) => "draft",
    }
}

/// A style card. The old categories say how light a style is, so they are tags as well.
pub(super) fn style(row: &Row, state: &mut State) -> Verdict {
    let mut plan = Plan::new(id_for(&row.key()));
    let title = titled(row, "name", 200, &mut plan);
    let category = match row.word("category").as_deref() {
        Some("тёмные" | "темные") => "futuristic",
        Some("яркие") => "playful",
        _ => "minimal",
    };
    let mut tags = row.list("tags", &mut plan.notes);
    tags.extend(row.text("category"));
    let description = clean::paragraphs(&[row.text("description"), row.text("long_description")]);
    let style = json!({
        "id": plan.id, "slug": state.slug("style", &clean::slug(&title, "style")), "title": title, "category": category,
        "description": clean::cut("description", &description, 5000, &mut plan.notes),
        "prompt": clean::cut("prompt", &row.text("prompt").unwrap_or_default(), 20_000, &mut plan.notes),
        "tags": clean::tags("tags", tags, &mut plan.notes),
        "preview_url": clean::url("image_url", row.text("image_url"), &mut plan.notes), "usage_count": 0,
        "position": row.position(), "publication": publication(row), "version": 1, "created_at": row.created(state.now),
        "updated_at": row.updated(state.now), "deleted_at": row.deleted(state.now, &mut plan.notes),
    });
    plan.insert(Target::Styles, style);
    Verdict::Map(plan)
}

/// A term of the glossary. What people call it otherwise is tags, which the search finds.
pub(super) fn term(row: &Row, state: &mut State) -> Verdict {
    let Some(definition) = row.text("definition") else { return Verdict::skip("definition is empty") };
    let mut plan = Plan::new(id_for(&row.key()));
    let term = titled(row, "term", 200, &mut plan);
    let slang = row.list("slang", &mut plan.notes);
    let category = row.text("category").map(|category| clean::slug(&category, "other"));
    let record = json!({
        "id": plan.id, "slug": state.slug("term", &clean::slug(&term, "term")), "term": term,
        "definition": clean::cut("definition", &definition, 5000, &mut plan.notes),
        "tags": clean::tags("slang", slang, &mut plan.notes), "category": category,
        "publication": "published", "version": 1, "created_at": row.created(state.now),
        "updated_at": row.updated(state.now), "deleted_at": row.deleted(state.now, &mut plan.notes),
    });
    plan.insert(Target::Glossary, record);
    Verdict::Map(plan)
}

/// A category of prompts, where the old platform had a table of them.
pub(super) fn category(row: &Row, state: &mut State) -> Verdict {
    let mut plan = Plan::new(id_for(&row.key()));
    let name = titled(row, "name", 100, &mut plan);
    let deleted_at = row.deleted(state.now, &mut plan.notes).map(|time| json!(time));
    if let (None, Some(same)) = (&deleted_at, state.category(&name)) {
        plan.id = same;
        return Verdict::Map(plan);
    }
    new_category(state, &mut plan, &name, row.position(), deleted_at.as_ref());
    Verdict::Map(plan)
}

/// Plans a category with the id of the plan.
fn new_category(state: &mut State, plan: &mut Plan, name: &str, position: i32, deleted_at: Option<&serde_json::Value>) {
    let kind = match name.to_lowercase().as_str() {
        "лендинг" => "frontend",
        "веб-сервис" | "функции" | "api" => "backend",
        "дизайн" => "design",
        "фиксы" | "оптимизация" => "debugging",
        _ => "content",
    };
    if deleted_at.is_none() {
        state.add_category(name, plan.id);
    }
    let slug = state.slug("category", &clean::slug(name, "category"));
    plan.insert(
        Target::Categories,
        json!({
            "id": plan.id, "slug": slug, "name": name, "kind": kind, "color": "#64748b", "position": position, "version": 1,
            "created_at": state.now, "updated_at": state.now, "deleted_at": deleted_at,
        }),
    );
}

/// A prompt. Its category is a row of a table, or else a word, of which a category is made when it is first met.
pub(super) fn prompt(row: &Row, state: &mut State) -> Verdict {
    let mut plan = Plan::new(id_for(&row.key()));
    let title = titled(row, "title", 200, &mut plan);
    let category_id = category_of(row, state, &mut plan);
    let description = clean::paragraphs(&[row.text("description"), row.text("usage_instruction")]);
    let tags = row.list("tags", &mut plan.notes);
    // One that consists of steps has no text of its own.
    let body = row.text_of(&["content", "usage_instruction", "description"]).unwrap_or_else(|| title.clone());
    let prompt = json!({
        "id": plan.id, "category_id": category_id, "slug": state.slug("prompt", &clean::slug(&title, "prompt")), "title": title,
        "description": clean::cut("description", &description, 5000, &mut plan.notes),
        "body": clean::cut("content", &body, 50_000, &mut plan.notes),
        "tags": clean::tags("tags", tags, &mut plan.notes), "copy_count": 0, "position": row.position(),
        "publication": publication(row), "version": 1, "created_at": row.created(state.now),
        "updated_at": row.updated(state.now), "deleted_at": row.deleted(state.now, &mut plan.notes),
    });
    plan.insert(Target::Prompts, prompt);
    Verdict::Map(plan)
}

/// The category of a prompt, which cannot be without. If the row that it refers to was deleted or is not there, the prompt stays, in
/// another category: nobody deleted it.
fn category_of(row: &Row, state: &mut State, plan: &mut Plan) -> Uuid {
    let given = row.text("category_id");
    if let Some(id) = given.as_ref().and_then(|legacy_id| state.find("prompt_categories", legacy_id)) {
        let is_deleted = row.deleted(state.now, &mut Vec::new()).is_some();
        if is_deleted || state.is_live_category(id) {
            return id;
        }
    }
    let name =
        clean::title("category", row.text("category"), 100, &mut plan.notes).unwrap_or_else(|| "Другое".to_owned());
    if given.is_some() {
        plan.notes.push(format!("category_id: the category was deleted or is not there; the prompt is in “{name}”"));
    }
    if let Some(id) = state.category(&name) {
        return id;
    }
    let mut category = Plan::new(new_id());
    new_category(state, &mut category, &name, 0, None);
    plan.records.append(&mut category.records);
    category.id
}

/// A step of a prompt.
pub(super) fn prompt_step(row: &Row, state: &mut State) -> Verdict {
    let prompt_id = match state.parent(row, "prompt_id", "prompts") {
        Ok(id) => id,
        Err(reason) => return Verdict::Skip(reason),
    };
    let mut plan = Plan::new(id_for(&row.key()));
    let title = titled(row, "title", 200, &mut plan);
    let body = clean::paragraphs(&[row.text("description"), row.text("content")]);
    let body = if body.is_empty() { title.clone() } else { body };
    let step = json!({
        "id": plan.id, "prompt_id": prompt_id, "title": title, "body": clean::cut("content", &body, 20_000, &mut plan.notes),
        "position": row.position(), "created_at": row.created(state.now), "updated_at": row.updated(state.now),
        "deleted_at": row.deleted(state.now, &mut plan.notes),
    });
    plan.insert(Target::PromptSteps, step);
    Verdict::Map(plan)
}

/// A prompt that a user has marked.
pub(super) fn favorite(row: &Row, state: &mut State) -> Verdict {
    favorite_of(row, state).into()
}

fn favorite_of(row: &Row, state: &State) -> Result<Plan, String> {
    let user_id = state.parent(row, "user_id", "users")?;
    let prompt_id = state.parent(row, "prompt_id", "prompts")?;
    let mut plan = Plan::new(user_id);
    let created_at = row.created(state.now);
    plan.insert(Target::Favorites, json!({ "user_id": user_id, "prompt_id": prompt_id, "created_at": created_at }));
    Ok(plan)
}
