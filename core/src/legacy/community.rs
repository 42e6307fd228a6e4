//! Projects and their likes.

use serde_json::json;

use super::clean;
use super::content::titled;
use super::plan::{Plan, Target, Verdict};
use super::row::Row;
use super::state::{State, id_for};

/// A project. One that waited for moderation waits here, too; the number of its likes is counted from the likes.
pub(super) fn project(row: &Row, state: &mut State) -> Verdict {
    project_of(row, state).into()
}

fn project_of(row: &Row, state: &State) -> Result<Plan, String> {
    let owner = if row.text("author_id").is_some() { "author_id" } else { "user_id" };
    let user_id = state.parent(row, owner, "users")?;
    let mut plan = Plan::new(id_for(&row.key()));
    let title = titled(row, "title", 200, &mut plan);
    let created_at = row.created(state.now);
    let status = match row.word("status").as_deref() {
        Some("published") => "published",
        Some("moderation") => "submitted",
        _ => "draft",
    };
    let published_at = (status == "published").then(|| row.time_of(&["moderated_at"]).unwrap_or(created_at));
    let category = match row.word("category").as_deref() {
        Some("лендинг" | "e-commerce") => "website",
        Some("веб-сервис") => "web_app",
        Some("креатив") => "design",
        _ => "other",
    };
    let description = row.text("description").unwrap_or_default();
    let project = json!({
        "id": plan.id, "user_id": user_id, "title": title, "summary": "",
        "description": clean::cut("description", &description, 20_000, &mut plan.notes),
        "project_url": clean::url("demo_url", row.text("demo_url"), &mut plan.notes),
        "repository_url": clean::url("github_url", row.text("github_url"), &mut plan.notes),
        "cover_url": clean::url("image_url", row.text("image_url"), &mut plan.notes), "status": status,
        "published_at": published_at, "submitted_at": (status != "draft").then_some(created_at), "category": category,
        "likes_count": 0, "trending_likes": 0, "version": 1, "created_at": created_at,
        "updated_at": row.updated(state.now), "deleted_at": row.deleted(state.now, &mut plan.notes),
    });
    plan.insert(Target::Projects, project);
    Ok(plan)
}

/// A like.
pub(super) fn like(row: &Row, state: &mut State) -> Verdict {
    like_of(row, state).into()
}

fn like_of(row: &Row, state: &State) -> Result<Plan, String> {
    let user_id = state.parent(row, "user_id", "users")?;
    let project_id = state.parent(row, "project_id", "showcase_projects")?;
    let mut plan = Plan::new(user_id);
    let created_at = row.created(state.now);
    plan.insert(Target::Likes, json!({ "user_id": user_id, "project_id": project_id, "created_at": created_at }));
    Ok(plan)
}
