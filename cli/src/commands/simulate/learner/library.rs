//! What a learner does with the libraries, the search and their own account.

use std::time::Duration;

use rand::RngExt;
use rand::seq::IndexedRandom;
use reqwest::Method;
use serde_json::Value;

use super::super::client::{items, text};
use super::Learner;

/// How long a learner follows their events.
const FOLLOWED: Duration = Duration::from_millis(500);
/// Refusals that are expected because admins edit what was just listed.
const GONE: [&str; 3] = ["style_not_found", "prompt_not_found", "term_not_found"];
const SEARCHES: [&str; 6] = ["prompt", "grid", "карточки", "specificaton", "form", "доступн"];

impl Learner<'_> {
    /// One of what a list contains.
    async fn pick(&mut self, what: &'static str, path: &str) -> Option<Value> {
        let list = self.client.get(what, path).await?;
        items(&list["items"]).choose(&mut self.rng).cloned()
    }

    pub(super) async fn search(&mut self) {
        let query = SEARCHES[self.rng.random_range(0..SEARCHES.len())];
        self.client.stats.action("search");
        self.client.get("search", &format!("/search?q={query}&limit=20")).await;
    }

    pub(super) async fn use_style(&mut self) {
        self.client.stats.action("use a style");
        let Some(style) = self.pick("list styles", "/styles?limit=50").await else { return };
        let path = format!("/styles/{}", text(&style["id"]));
        self.client.call("get style", Method::GET, &path, None, &GONE).await;
        self.client.call("record use", Method::POST, &format!("{path}/uses"), None, &GONE).await;
    }

    pub(super) async fn use_prompt(&mut self) {
        self.client.stats.action("use a prompt");
        let Some(prompt) = self.pick("list prompts", "/prompts?limit=50").await else { return };
        let path = format!("/prompts/{}", text(&prompt["id"]));
        self.client.call("get prompt", Method::GET, &path, None, &GONE).await;
        match self.rng.random_range(0..4) {
            0 => self.client.call("favorite prompt", Method::PUT, &format!("{path}/favorite"), None, &GONE).await,
            1 => self.client.call("unfavorite prompt", Method::DELETE, &format!("{path}/favorite"), None, &GONE).await,
            _ => self.client.call("record copy", Method::POST, &format!("{path}/copies"), None, &GONE).await,
        };
    }

    pub(super) async fn read_glossary(&mut self) {
        self.client.stats.action("read the glossary");
        let Some(term) = self.pick("list terms", "/glossary?limit=50").await else { return };
        let path = format!("/glossary/{}", text(&term["id"]));
        self.client.call("get term", Method::GET, &path, None, &GONE).await;
    }

    pub(super) async fn follow_events(&mut self) {
        self.client.stats.action("follow events");
        self.client.follow("follow events", "/me/events", FOLLOWED).await;
    }

    /// Reads what they have done and kept.
    pub(super) async fn look_back(&mut self) {
        self.client.stats.action("look back");
        let path = ["/me/activity", "/me/favorites", "/me/progress", "/me/projects"][self.rng.random_range(0..4)];
        self.client.get("look back", path).await;
    }
}
