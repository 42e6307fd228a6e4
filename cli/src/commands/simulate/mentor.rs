//! One simulated mentor.

use std::time::Instant;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use serde_json::json;

use super::client::{Client, SIMULATED, items, made_here, text};
use super::staff::Plan;
use super::stats::Stats;

/// Looks after students, moderates their projects and answers their questions, until the planned actions are done or the time is over.
pub(super) async fn run(client: Client, plan: &Plan) -> Stats {
    let mut mentor = Mentor { client, rng: StdRng::seed_from_u64(plan.seed) };
    let started = Instant::now();
    for _ in 0..plan.actions {
        if started.elapsed() > plan.limit {
            break;
        }
        tokio::time::sleep(plan.think.mul_f64(mentor.rng.random_range(0.0..2.0))).await;
        match mentor.rng.random_range(0..10) {
            0..3 => mentor.look_at_students().await,
            3..7 => mentor.moderate().await,
            7..9 => mentor.answer().await,
            _ => mentor.unpublish().await,
        }
    }
    mentor.client.stats
}

struct Mentor {
    client: Client,
    rng: StdRng,
}

impl Mentor {
    /// Lists students with some filter, and reads the progress of one.
    async fn look_at_students(&mut self) {
        self.client.stats.action("look at students");
        let roadmaps = self.client.get("list roadmaps", "/roadmaps").await.unwrap_or_default();
        let roadmap = items(&roadmaps["items"]).choose(&mut self.rng).map(|roadmap| text(&roadmap["id"]));
        let filter = match (self.rng.random_range(0..4), &roadmap) {
            (0, Some(roadmap)) => format!("roadmap={roadmap}"),
            (1, _) => "stalled_days=1".to_owned(),
            (2, _) => "q=simulated&sort=name".to_owned(),
            _ => "sort=activity".to_owned(),
        };
        let path = format!("/mentor/students?limit=50&{filter}");
        // A roadmap of the simulation may be hidden between the two calls.
        let gone = ["roadmap_not_found"];
        let students = self.client.call("list students", Method::GET, &path, None, &gone).await.unwrap_or_default();
        let Some(student) = items(&students["items"]).choose(&mut self.rng) else { return };
        let path = format!("/mentor/students/{}", text(&student["id"]));
        self.client.get("get student", &path).await;
        self.client.get("list activity of a student", &format!("{path}/activity")).await;
        if let Some(roadmap) = roadmap {
            let path = format!("{path}/progress/{roadmap}");
            self.client.call("get progress of a student", Method::GET, &path, None, &gone).await;
        }
    }

    /// Decides about one of the projects that wait. Another mentor may be faster.
    async fn moderate(&mut self) {
        self.client.get("count waiting projects", "/mentor/projects/waiting").await;
        let queue = self.client.get("list submitted projects", "/mentor/projects").await.unwrap_or_default();
        let Some(project) = made_here(&queue).choose(&mut self.rng).copied() else { return };
        let path = format!("/mentor/projects/{}", text(&project["id"]));
        if self.rng.random_bool(0.7) {
            self.client.stats.action("approve a project");
            let change = format!("{path}/approve");
            self.client.edit("approve project", &path, (Method::POST, &change), |_| None).await;
        } else {
            self.client.stats.action("reject a project");
            let change = format!("{path}/reject");
            let reason = |_: &_| Some(json!({"reason": "Say who it is for."}));
            self.client.edit("reject project", &path, (Method::POST, &change), reason).await;
        }
    }

    /// Answers one of the simulation's questions. Another mentor may be faster, and its learner may withdraw it.
    async fn answer(&mut self) {
        let waiting = self.client.get("list mentor questions", "/mentor/questions").await.unwrap_or_default();
        let ours: Vec<_> = items(&waiting["items"]).iter().filter(|asked| asked["first_name"] == SIMULATED).collect();
        let Some(question) = ours.choose(&mut self.rng) else { return };
        let path = format!("/mentor/questions/{}", text(&question["id"]));
        let gone = ["mentor_question_not_found", "mentor_question_answered"];
        self.client.stats.action("answer a learner");
        self.client.call("get mentor question", Method::GET, &path, None, &gone).await;
        let (path, body) = (format!("{path}/answer"), json!({"text": "Look at the lesson once more, and try it."}));
        self.client.call("answer mentor question", Method::POST, &path, Some(body), &gone).await;
    }

    /// Takes down one of the simulation's projects.
    async fn unpublish(&mut self) {
        let shown = self.client.get("list projects", "/projects?limit=50").await.unwrap_or_default();
        let Some(project) = made_here(&shown).choose(&mut self.rng).copied() else { return };
        let read = format!("/projects/{}", text(&project["id"]));
        let change = format!("/mentor{read}/unpublish");
        self.client.stats.action("unpublish a project");
        let reason = |_: &_| Some(json!({"reason": "The link does not work."}));
        self.client.edit("unpublish project", &format!("/mentor{read}"), (Method::POST, &change), reason).await;
    }
}
