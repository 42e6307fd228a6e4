//! Roadmaps, lessons, and what a learner does with them.

mod completion;
mod course;
mod edits_together;
mod kept_content;
mod lesson_edits;
mod lessons;
mod modules;
mod previews;
mod progress;
mod recalculating;
mod roadmap_progress;
mod roadmaps;
mod stage_lessons;
mod stages;
mod students;
mod task_edits;
mod tasks;
mod visibility;

use std::sync::Arc;

use poem::http::Method;
use serde_json::Value;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::support::{Actor, Reply, TestApp};

fn lesson_path(lesson: Uuid) -> String {
    format!("/v1/lessons/{lesson}")
}

fn completion_path(lesson: Uuid) -> String {
    format!("/v1/lessons/{lesson}/completion")
}

fn check_path(lesson: Uuid, task: Uuid) -> String {
    format!("/v1/lessons/{lesson}/tasks/{task}/check")
}

async fn start(actor: &Actor, lesson: Uuid) -> Reply {
    actor.call(Method::POST, &format!("/v1/lessons/{lesson}/start")).await
}

async fn complete(actor: &Actor, lesson: Uuid) -> Reply {
    actor.put(&completion_path(lesson)).await
}

async fn uncomplete(actor: &Actor, lesson: Uuid) -> Reply {
    actor.delete(&completion_path(lesson)).await
}

async fn check(actor: &Actor, lesson: Uuid, task: Uuid) -> Reply {
    actor.put(&check_path(lesson, task)).await
}

async fn uncheck(actor: &Actor, lesson: Uuid, task: Uuid) -> Reply {
    actor.delete(&check_path(lesson, task)).await
}

async fn lesson(actor: &Actor, lesson: Uuid) -> Value {
    actor.get(&lesson_path(lesson)).await.expect(200).json
}

async fn tree(actor: &Actor, roadmap: Uuid) -> Value {
    actor.get(&format!("/v1/roadmaps/{roadmap}")).await.expect(200).json
}

async fn progress(actor: &Actor, roadmap: Uuid, query: &str) -> Value {
    actor.get(&format!("/v1/roadmaps/{roadmap}/progress{query}")).await.expect(200).json
}

/// The path of something that admins edit.
fn admin_path(resource: &str, id: impl std::fmt::Display) -> String {
    format!("/v1/admin/{resource}/{id}")
}

/// Calls `path` under the version that `read` has now.
async fn under_version(call: crate::support::Call, admin: &Actor, read: &str) -> Reply {
    let version = admin.get(read).await.expect(200).header("etag").to_owned();
    call.header("If-Match", &version).await
}

/// Changes a resource under the version that it has now.
async fn patch(admin: &Actor, path: &str, changes: Value) -> Reply {
    under_version(admin.patch(path, changes), admin, path).await
}

/// Publishes, archives or restores a resource under the version that it has now.
async fn act(admin: &Actor, path: &str, action: &str) -> Reply {
    under_version(admin.call(Method::POST, &format!("{path}/{action}")), admin, path).await
}

/// Deletes a resource under the version that it has now.
async fn remove(admin: &Actor, path: &str) -> Reply {
    under_version(admin.delete(path), admin, path).await
}

/// The id of what was created.
fn id_of(created: &Value) -> Uuid {
    created["id"].as_str().unwrap().parse().unwrap()
}

/// What is logged, in order.
async fn logged(app: &TestApp) -> Vec<String> {
    app.run_jobs().await;
    sqlx::query_scalar("SELECT action FROM activity_log ORDER BY occurred_at, id")
        .fetch_all(app.app.pool())
        .await
        .unwrap()
}

fn all<'a>(items: &'a Value, member: &str) -> Vec<&'a Value> {
    items.as_array().unwrap().iter().map(|item| &item[member]).collect()
}

/// Some members of an object, as an object.
fn some(value: &Value, members: &[&str]) -> Value {
    members.iter().map(|member| ((*member).to_owned(), value[*member].clone())).collect()
}

/// Puts `count` paths at the same moment.
async fn race(count: usize, path: impl Fn(usize) -> String, actor: &Actor) -> Vec<Value> {
    let barrier = Arc::new(Barrier::new(count));
    let mut calls = JoinSet::new();
    for n in 0..count {
        let (actor, path, barrier) = (actor.clone(), path(n), Arc::clone(&barrier));
        calls.spawn(async move {
            barrier.wait().await;
            actor.put(&path).await.expect(200).json
        });
    }
    calls.join_all().await
}
