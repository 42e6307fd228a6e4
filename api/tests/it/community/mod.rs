//! Projects and likes.

mod likes;
mod projects;

use serde_json::json;
use uuid::Uuid;

use crate::support::Actor;

async fn project(author: &Actor, title: &str) -> Uuid {
    let reply = author.post("/v1/projects", json!({"title": title})).await.expect(201);
    reply.json["id"].as_str().unwrap().parse().unwrap()
}

fn like_path(project_id: Uuid) -> String {
    format!("/v1/projects/{project_id}/like")
}
