//! What a learner does with projects.

use rand::RngExt;
use rand::seq::IndexedRandom;
use reqwest::Method;
use serde_json::json;

use super::super::client::{MADE_IN, items, text};
use super::Learner;

/// Refusals that are expected because mentors decide about projects meanwhile.
const DECIDED: [&str; 2] = ["project_not_found", "project_state"];

impl Learner<'_> {
    pub(super) async fn create_project(&mut self) {
        let number: u32 = self.rng.random();
        let is_draft = self.rng.random_bool(0.3);
        let body = json!({"title": format!("Project {number}"), "summary": MADE_IN, "is_draft": is_draft});
        self.client.stats.action("create a project");
        self.client.call("create project", Method::POST, "/projects", Some(body), &[]).await;
    }

    /// Submits, withdraws or edits one of their own.
    pub(super) async fn change_project(&mut self) {
        let projects = self.client.get("list own projects", "/me/projects").await.unwrap_or_default();
        let Some(project) = items(&projects["items"]).choose(&mut self.rng) else { return self.create_project().await };
        let path = format!("/projects/{}", text(&project["id"]));
        let status = text(&project["status"]);
        if self.rng.random_bool(0.3) {
            self.client.stats.action("edit a project");
            let change = (Method::PATCH, path.as_str());
            self.client
                .edit("edit project", &path, change, |_| Some(json!({"summary": format!("{MADE_IN} Edited.")})))
                .await;
        } else if status == "draft" || status == "rejected" {
            self.client.stats.action("submit a project");
            let change = (Method::POST, format!("{path}/submit"));
            self.client.edit("submit project", &path, (change.0, &change.1), |_| None).await;
        } else {
            self.client.stats.action("withdraw a project");
            let change = (Method::POST, format!("{path}/withdraw"));
            self.client.edit("withdraw project", &path, (change.0, &change.1), |_| None).await;
        }
    }

    pub(super) async fn like(&mut self) {
        let sort = ["newest", "popular", "trending"][self.rng.random_range(0..3)];
        let list = format!("/projects?limit=50&sort={sort}");
        let projects = self.client.get("list projects", &list).await.unwrap_or_default();
        let Some(project) = items(&projects["items"]).choose(&mut self.rng) else { return self.create_project().await };
        let path = format!("/projects/{}/like", text(&project["id"]));
        if self.rng.random_bool(0.3) {
            self.client.stats.action("unlike a project");
            self.client.call("unlike project", Method::DELETE, &path, None, &DECIDED).await;
        } else {
            self.client.stats.action("like a project");
            self.client.call("like project", Method::PUT, &path, None, &DECIDED).await;
        }
    }
}
