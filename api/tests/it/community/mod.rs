//! Projects, their likes, and their moderation.

mod admin;
mod likes;
mod moderation;
mod own_projects;
mod projects;
mod trending;

use poem::http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Actor, Reply, TestApp};

async fn project(author: &Actor, title: &str) -> Uuid {
    let reply = author.post("/v1/projects", json!({"title": title})).await.expect(201);
    id_of(&reply.json)
}

fn like_path(project_id: Uuid) -> String {
    format!("/v1/projects/{project_id}/like")
}

fn id_of(project: &Value) -> Uuid {
    project["id"].as_str().unwrap().parse().unwrap()
}

fn ids(page: &Value) -> Vec<Uuid> {
    page["items"].as_array().unwrap().iter().map(id_of).collect()
}

/// The ids of all pages of two, beginning with the one at `path`.
async fn all_ids(actor: &Actor, path: &str) -> Vec<Uuid> {
    let separator = if path.contains('?') { '&' } else { '?' };
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = actor.get(&format!("{path}{separator}limit=2{cursor}")).await.expect(200).json;
        seen.extend(ids(&page));
        let Some(next) = page["next_cursor"].as_str() else { return seen };
        cursor = format!("&cursor={next}");
    }
}

/// Learners' projects wait for a mentor from now on.
async fn moderate(app: &TestApp) {
    sqlx::query("UPDATE platform_settings SET value = '\"on\"' WHERE key = 'projects.moderation'")
        .execute(app.app.pool())
        .await
        .unwrap();
    app.app.settings.invalidate();
}

/// A call that changes this version of a project; `action` is appended to its path.
async fn act(actor: &Actor, id: Uuid, action: &str, version: i64) -> Reply {
    let call = actor.call(Method::POST, &format!("/v1/projects/{id}/{action}"));
    call.header("If-Match", &format!("\"{version}\"")).await
}

async fn patch(actor: &Actor, id: Uuid, version: i64, changes: Value) -> Reply {
    actor.patch(&format!("/v1/projects/{id}"), changes).header("If-Match", &format!("\"{version}\"")).await
}

async fn delete(actor: &Actor, id: Uuid, version: i64) -> Reply {
    actor.delete(&format!("/v1/projects/{id}")).header("If-Match", &format!("\"{version}\"")).await
}

/// A moderator's decision about this version of a project.
async fn decide(moderator: &Actor, id: Uuid, decision: &str, version: i64) -> Reply {
    let call = moderator.call(Method::POST, &format!("/v1/mentor/projects/{id}/{decision}"));
    let call = call.header("If-Match", &format!("\"{version}\""));
    if decision == "approve" { call.await } else { call.json(json!({"reason": "Too short"})).await }
}

/// Changes rows by hand.
async fn by_hand(app: &TestApp, statement: &'static str) {
    sqlx::raw_sql(statement).execute(app.app.pool()).await.unwrap();
}

/// What was recorded, in order.
async fn logged(app: &TestApp) -> Vec<String> {
    app.run_jobs().await;
    sqlx::query_scalar("SELECT action FROM activity_log ORDER BY occurred_at, id")
        .fetch_all(app.app.pool())
        .await
        .unwrap()
}
