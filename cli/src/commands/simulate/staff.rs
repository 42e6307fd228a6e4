//! The mentors and admins of a simulation, and what they act on. An admin who exists already creates both before it begins, and
//! removes them when it is over.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Client, items, text};
use super::stats::Stats;
use crate::failure::Failure;

/// How long mentors and admins act at most.
const LIMIT: Duration = Duration::from_mins(5);

/// What one of them does.
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) actions: u32,
    /// The mean pause between two actions.
    pub(super) think: Duration,
    /// How long they act at most.
    pub(super) limit: Duration,
}

impl Plan {
    pub(super) fn new(seed: u64, actions: u32, think: Duration) -> Self {
        Self { seed, actions, think, limit: LIMIT }
    }
}

/// What admins edit. Nothing else is changed, so that the content of the platform stays as it is.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) name: String,
    pub(super) module: String,
    pub(super) roadmap: String,
    pub(super) stages: Vec<String>,
    pub(super) style: String,
    pub(super) term: String,
    pub(super) prompt: String,
    category: String,
    /// An evaluation of the assistant's instructions.
    pub(super) evaluation: String,
    /// A learner whom admins suspend and let in again.
    pub(super) learner: String,
    /// Whether projects were moderated before.
    moderation: Value,
}

/// The admin who prepares a simulation and clears up after it.
pub(super) struct Host {
    client: Client,
    domain: String,
    password: String,
    invites: Vec<String>,
}

impl Host {
    /// Signs in. `domain` is that of the addresses of everybody in the simulation.
    pub(super) async fn sign_in(
        mut client: Client,
        email: &str,
        password: &str,
        domain: &str,
    ) -> Result<Self, Failure> {
        let body = json!({"email": email, "password": password});
        let session = client.call("sign in", Method::POST, "/auth/login", Some(body), &[]).await;
        let Some(session) = session else {
            return Err(Failure::setup(format!(
                "{email} cannot sign in: name an admin with --admin-email and --admin-password, or add --mentors 0 --admins 0"
            )));
        };
        client.access_token = session["tokens"]["access_token"].as_str().map(str::to_owned);
        // Nobody else gets to know it, and the accounts are deleted at the end.
        let password = format!("{:032x}", rand::random::<u128>());
        Ok(Self { client, domain: domain.to_owned(), password, invites: Vec::new() })
    }

    /// Registers `count` people with that role, and signs them in with clients that `client` makes.
    pub(super) async fn hire(&mut self, role: &str, count: u32, client: impl Fn() -> Client) -> Option<Vec<Client>> {
        if count == 0 {
            return Some(Vec::new());
        }
        let body = json!({"role": role, "max_uses": count, "note": "Simulation"});
        let invite = self.client.call("create invite", Method::POST, "/admin/invites", Some(body), &[]).await?;
        self.invites.push(text(&invite["id"]));
        let mut clients = Vec::new();
        for number in 0..count {
            let mut person = client();
            let body = json!({
                "email": format!("{role}-{number}@{}", self.domain), "password": self.password,
                "first_name": format!("Simulated {role}"), "invite_code": invite["code"],
            });
            let session = person.call("register", Method::POST, "/auth/register", Some(body), &[]).await;
            person.access_token = session.as_ref()?["tokens"]["access_token"].as_str().map(str::to_owned);
            clients.push(person);
        }
        Some(clients)
    }

    /// Creates what admins edit, and has projects moderated.
    pub(super) async fn prepare(&mut self) -> Option<World> {
        let name = format!("simulation-{:08x}", rand::random::<u32>());
        let title = "Simulation";
        let titled = json!({"slug": name, "title": title});
        let module = self.create("/admin/modules", titled.clone()).await?;
        let roadmap = self.create("/admin/roadmaps", titled).await?;
        let mut stages = Vec::new();
        for number in 0..3 {
            let body = json!({"slug": format!("{name}-{number}"), "title": title});
            stages.push(self.create(&format!("/admin/roadmaps/{roadmap}/stages"), body).await?);
        }
        let style = json!({"slug": name, "title": title, "category": "minimal", "description": "Quiet."});
        let term = json!({"slug": name, "term": title, "definition": "Something like it."});
        let category = json!({"slug": name, "name": name, "kind": "design"});
        let category = self.create("/admin/prompt-categories", category).await?;
        let prompt = json!({"category_id": category, "slug": name, "title": title, "body": "Write a page."});
        let learner =
            json!({"email": format!("suspended@{}", self.domain), "first_name": "Suspended", "role": "student"});
        let cases = json!([{"question": "What is a viewport?"}, {"question": "Что такое индекс?"}]);
        let evaluation = json!({"tool_type": "assistant", "name": name, "cases": cases});
        let mut world = World {
            evaluation: self.create("/admin/evaluations", evaluation).await?,
            style: self.create("/admin/styles", style).await?,
            term: self.create("/admin/glossary", term).await?,
            prompt: self.create("/admin/prompts", prompt).await?,
            learner: self.create("/admin/users", learner).await?,
            moderation: Value::Null,
            name,
            module,
            roadmap,
            stages,
            category,
        };
        for path in world.published() {
            self.client.edit("publish", &path, (Method::POST, &format!("{path}/publish")), |_| None).await?;
        }
        world.moderation = self.moderate(json!("on")).await?;
        Some(world)
    }

    async fn create(&mut self, path: &str, body: Value) -> Option<String> {
        let created = self.client.call("create for a simulation", Method::POST, path, Some(body), &[]).await?;
        Some(text(&created["id"]))
    }

    /// Sets whether projects are moderated. Returns what was set before.
    async fn moderate(&mut self, value: Value) -> Option<Value> {
        let path = "/admin/settings/projects.moderation";
        let before = self.client.get("get setting", path).await?["value"].clone();
        self.client.edit("update setting", path, (Method::PUT, path), |_| Some(json!({"value": value}))).await?;
        Some(before)
    }

    /// Deletes what was created, and the accounts of mentors and admins. Returns what happened meanwhile.
    pub(super) async fn clear_up(mut self, world: Option<World>) -> Stats {
        for invite in std::mem::take(&mut self.invites) {
            let path = format!("/admin/invites/{invite}");
            self.client.edit("revoke invite", &path, (Method::POST, &format!("{path}/revoke")), |_| None).await;
        }
        if let Some(world) = world {
            self.moderate(world.moderation.clone()).await;
            'all: loop {
                let path = format!("/admin/lessons?module_id={}&limit=100", world.module);
                let lessons = self.client.get("list lessons", &path).await.unwrap_or_default();
                if items(&lessons["items"]).is_empty() {
                    break;
                }
                for lesson in items(&lessons["items"]) {
                    if self.delete(&format!("/admin/lessons/{}", text(&lesson["id"]))).await.is_none() {
                        break 'all;
                    }
                }
            }
            let stages = world.stages.iter().map(|stage| format!("/admin/stages/{stage}"));
            let others = [
                format!("/admin/roadmaps/{}", world.roadmap),
                format!("/admin/modules/{}", world.module),
                format!("/admin/prompts/{}", world.prompt),
                format!("/admin/prompt-categories/{}", world.category),
                format!("/admin/styles/{}", world.style),
                format!("/admin/glossary/{}", world.term),
                format!("/admin/evaluations/{}", world.evaluation),
                format!("/admin/users/{}", world.learner),
            ];
            for path in stages.chain(others) {
                self.delete(&path).await;
            }
        }
        for role in ["mentor", "admin"] {
            let path = format!("/admin/users?role={role}&q={}&limit=100", self.domain);
            let people = self.client.get("list users", &path).await.unwrap_or_default();
            for person in items(&people["items"]) {
                self.delete(&format!("/admin/users/{}", text(&person["id"]))).await;
            }
        }
        self.client.stats
    }

    async fn delete(&mut self, path: &str) -> Option<Value> {
        self.client.edit("delete after a simulation", path, (Method::DELETE, path), |_| None).await
    }
}

impl World {
    /// The paths of what learners see.
    fn published(&self) -> Vec<String> {
        let stages = self.stages.iter().map(|stage| format!("/admin/stages/{stage}"));
        let others = [
            format!("/admin/modules/{}", self.module),
            format!("/admin/roadmaps/{}", self.roadmap),
            format!("/admin/styles/{}", self.style),
            format!("/admin/glossary/{}", self.term),
            format!("/admin/prompts/{}", self.prompt),
        ];
        stages.chain(others).collect()
    }
}
