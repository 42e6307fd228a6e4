//! One simulated admin, who shares what there is to edit with the others.

use std::time::Instant;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{CONFLICTS, Client, items, text};
use super::staff::{Plan, World};
use super::stats::Stats;

/// How many lessons one admin creates at most.
const MOST_LESSONS: usize = 20;

/// Edits and reads until the planned actions are done or the time is over.
pub(super) async fn run(client: Client, world: World, plan: &Plan) -> Stats {
    let mut admin = Admin { client, world, rng: StdRng::seed_from_u64(plan.seed), created: 0 };
    let started = Instant::now();
    for _ in 0..plan.actions {
        if started.elapsed() > plan.limit {
            break;
        }
        tokio::time::sleep(plan.think.mul_f64(admin.rng.random_range(0.0..2.0))).await;
        match admin.rng.random_range(0..20) {
            0..3 => admin.create_lesson().await,
            3..7 => admin.edit_lesson().await,
            7..9 => admin.show_or_hide().await,
            9..12 => admin.arrange_stage().await,
            12 => admin.reorder_stages().await,
            13..15 => admin.edit_library().await,
            15 => admin.invite().await,
            16 => admin.suspend().await,
            17 => admin.evaluate().await,
            _ => admin.look_around().await,
        }
    }
    admin.client.stats
}

struct Admin {
    client: Client,
    world: World,
    rng: StdRng,
    created: usize,
}

impl Admin {
    /// A lesson of the simulation.
    async fn lesson(&mut self) -> Option<String> {
        let path = format!("/admin/lessons?module_id={}&limit=100", self.world.module);
        let lessons = self.client.get("list lessons", &path).await?;
        items(&lessons["items"]).choose(&mut self.rng).map(|lesson| text(&lesson["id"]))
    }

    /// One with three tasks, which is published and put into a stage.
    async fn create_lesson(&mut self) {
        if self.created == MOST_LESSONS {
            return;
        }
        self.created += 1;
        self.client.stats.action("create a lesson");
        let slug = format!("{}-{:08x}", self.world.name, self.rng.random::<u32>());
        let tasks: Vec<Value> =
            (0..3).map(|n| json!({"slug": format!("task-{n}"), "title": "Do it", "is_required": n < 2})).collect();
        let body = json!({
            "module_id": self.world.module, "slug": slug, "title": "A lesson of a simulation", "body": "Text.",
            "duration_minutes": 5, "completion": "tasks", "tasks": tasks,
        });
        let created = self.client.call("create lesson", Method::POST, "/admin/lessons", Some(body), &[]).await;
        let Some(lesson) = created.map(|lesson| text(&lesson["id"])) else { return };
        let path = format!("/admin/lessons/{lesson}");
        self.client.edit("publish lesson", &path, (Method::POST, &format!("{path}/publish")), |_| None).await;
        self.place(&lesson).await;
    }

    /// Adds, removes, reorders and changes tasks.
    async fn edit_lesson(&mut self) {
        let Some(lesson) = self.lesson().await else { return self.create_lesson().await };
        self.client.stats.action("edit a lesson");
        let path = format!("/admin/lessons/{lesson}");
        let (how, seed) = (self.rng.random_range(0..4), self.rng.random());
        let change = move |lesson: &Value| {
            let mut tasks = items(&lesson["tasks"]).to_vec();
            tasks.shuffle(&mut StdRng::seed_from_u64(seed));
            match how {
                0 if tasks.len() > 1 => drop(tasks.pop()),
                1 if tasks.len() < 10 => tasks.push(json!({"slug": format!("task-{seed}"), "title": "Do this, too"})),
                2 if !tasks.is_empty() => tasks[0]["is_required"] = (seed % 2 == 0).into(),
                _ => {}
            }
            // A lesson that is completed by its tasks needs one that is required.
            if let Some(last) = tasks.last_mut() {
                last["is_required"] = true.into();
            }
            Some(json!({"title": format!("Edited {seed}"), "tasks": tasks}))
        };
        self.client.edit("update lesson", &path, (Method::PATCH, &path), change).await;
    }

    async fn show_or_hide(&mut self) {
        let Some(lesson) = self.lesson().await else { return self.create_lesson().await };
        let action = ["publish", "publish", "archive"][self.rng.random_range(0..3)];
        self.client.stats.action("publish or archive a lesson");
        let path = format!("/admin/lessons/{lesson}");
        self.client.edit("show lesson", &path, (Method::POST, &format!("{path}/{action}")), |_| None).await;
    }

    /// Adds a lesson to a stage, removes one, or puts all of them into another order.
    async fn arrange_stage(&mut self) {
        let Some(stage) = self.world.stages.choose(&mut self.rng).cloned() else { return };
        let path = format!("/admin/stages/{stage}/lessons");
        self.client.stats.action("arrange a stage");
        match self.rng.random_range(0..3) {
            0 => {
                if let Some(lesson) = self.lesson().await {
                    self.place(&lesson).await;
                }
            }
            1 => {
                let placed = self.client.get("list lessons of a stage", &path).await.unwrap_or_default();
                let Some(lesson) = items(&placed["lessons"]).choose(&mut self.rng) else { return };
                let change = format!("{path}/{}", text(&lesson["lesson_id"]));
                self.client.edit("delete stage lesson", &path, (Method::DELETE, &change), |_| None).await;
            }
            _ => {
                let seed = self.rng.random();
                let reorder = move |stage: &Value| {
                    let mut lessons: Vec<Value> = items(&stage["lessons"])
                        .iter()
                        .map(|lesson| json!({"lesson_id": lesson["lesson_id"], "is_required": lesson["is_required"]}))
                        .collect();
                    lessons.shuffle(&mut StdRng::seed_from_u64(seed));
                    Some(json!({"lessons": lessons}))
                };
                self.client.edit("update stage lessons", &path, (Method::PUT, &path), reorder).await;
            }
        }
    }

    async fn place(&mut self, lesson: &str) {
        let Some(stage) = self.world.stages.choose(&mut self.rng) else { return };
        let path = format!("/admin/stages/{stage}/lessons");
        let body = json!({"is_required": self.rng.random_bool(0.8)});
        let change = format!("{path}/{lesson}");
        self.client.edit("put stage lesson", &path, (Method::PUT, &change), |_| Some(body.clone())).await;
    }

    async fn reorder_stages(&mut self) {
        let mut order = self.world.stages.clone();
        order.shuffle(&mut self.rng);
        let path = format!("/admin/roadmaps/{}/stages/order", self.world.roadmap);
        self.client.stats.action("reorder stages");
        self.client.call("reorder stages", Method::PUT, &path, Some(json!({"ids": order})), &CONFLICTS).await;
    }

    /// Edits a style, a term or a prompt, or hides and shows it.
    async fn edit_library(&mut self) {
        let number: u32 = self.rng.random();
        let World { style, term, prompt, .. } = &self.world;
        let (path, body) = match self.rng.random_range(0..3) {
            0 => (format!("/admin/styles/{style}"), json!({"description": format!("Quiet {number}.")})),
            1 => (format!("/admin/glossary/{term}"), json!({"definition": format!("Meaning {number}.")})),
            _ => (format!("/admin/prompts/{prompt}"), json!({"body": format!("Write page {number}.")})),
        };
        self.client.stats.action("edit a library");
        let (method, change, body) = match self.rng.random_range(0..5) {
            0 => (Method::POST, format!("{path}/archive"), None),
            1 => (Method::POST, format!("{path}/publish"), None),
            _ => (Method::PATCH, path.clone(), Some(body)),
        };
        self.client.edit("edit library", &path, (method, &change), |_| body.clone()).await;
    }

    /// Creates an invite and revokes it.
    async fn invite(&mut self) {
        self.client.stats.action("create and revoke an invite");
        let body = json!({"role": "student", "note": "Simulation"});
        let created = self.client.call("create invite", Method::POST, "/admin/invites", Some(body), &[]).await;
        let Some(invite) = created.map(|invite| text(&invite["id"])) else { return };
        let path = format!("/admin/invites/{invite}");
        self.client.edit("revoke invite", &path, (Method::POST, &format!("{path}/revoke")), |_| None).await;
    }

    async fn suspend(&mut self) {
        self.client.stats.action("suspend and resume a learner");
        let path = format!("/admin/users/{}", self.world.learner);
        let reason = |_: &_| Some(json!({"reason": "A simulation"}));
        self.client.edit("suspend user", &path, (Method::POST, &format!("{path}/suspend")), reason).await;
        self.client.edit("resume user", &path, (Method::POST, &format!("{path}/resume")), |_| None).await;
    }

    /// Asks the questions of the evaluation under the first instruction and the active one. One run goes on at a time.
    async fn evaluate(&mut self) {
        self.client.stats.action("run an evaluation");
        let path = format!("/admin/evaluations/{}/runs", self.world.evaluation);
        let (body, refusals) = (json!({"candidate_version": 1}), ["evaluation_running", "budget_exceeded"]);
        let run = self.client.call("create evaluation run", Method::POST, &path, Some(body), &refusals).await;
        let Some(run) = run.map(|run| text(&run["id"])) else { return };
        self.client.get("get evaluation run", &format!("/admin/evaluation-runs/{run}")).await;
        self.client.get("list evaluation answers", &format!("/admin/evaluation-runs/{run}/answers")).await;
    }

    async fn look_around(&mut self) {
        self.client.stats.action("look around");
        let roadmap = &self.world.roadmap;
        let paths = [
            "/admin/stats/dashboard".to_owned(),
            "/admin/stats/daily?time_zone=Europe/Berlin".to_owned(),
            "/admin/stats/lessons".to_owned(),
            format!("/admin/stats/roadmaps/{roadmap}/funnel"),
            "/admin/activity?limit=50".to_owned(),
            format!("/admin/history/roadmap/{roadmap}"),
            "/admin/settings".to_owned(),
            "/admin/tools/budgets".to_owned(),
            "/admin/tools/unanswered".to_owned(),
            "/admin/users?limit=50".to_owned(),
            "/admin/invites".to_owned(),
            format!("/admin/roadmaps/{roadmap}/preview"),
        ];
        let path = &paths[self.rng.random_range(0..paths.len())];
        self.client.get("look around", path).await;
    }
}
