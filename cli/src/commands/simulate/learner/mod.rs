//! One simulated learner.

mod library;
mod projects;

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Client, SIMULATED, items, text};
use super::stats::Stats;

/// How long progress figures or a reply may take.
const RESULT_TIMEOUT: Duration = Duration::from_mins(1);
/// Refusals that are expected because lessons are studied in any order, and because admins edit some of them.
const STUDY_REFUSALS: [&str; 5] =
    ["stage_locked", "tasks_incomplete", "lesson_not_found", "task_not_found", "roadmap_not_found"];
/// Refusals that are expected because questions are asked at any time.
const ASK_REFUSALS: [&str; 4] = ["reply_open", "too_many_open_replies", "quota_exceeded", "budget_exceeded"];
const QUESTIONS: [&str; 6] = [
    "How do I centre a card on the page?",
    "What is an index good for?",
    "How do I write a prompt for a small web page?",
    "What should a specification of a booking form say?",
    "Как сделать форму доступной с клавиатуры?",
    "Suggest a small project for a weekend.",
];

/// Who the learner is and what they do.
pub(super) struct Plan {
    pub(super) email: String,
    pub(super) invite: String,
    pub(super) seed: u64,
    pub(super) actions: u32,
    /// The mean pause between two actions.
    pub(super) think: Duration,
}

struct Lesson {
    id: String,
    by_tasks: bool,
}

struct Learner<'a> {
    client: Client,
    rng: StdRng,
    refresh_token: String,
    roadmaps: Vec<String>,
    /// In the order of the roadmaps. A lesson may occur more than once.
    lessons: Vec<Lesson>,
    /// Indexes of the lessons that this learner has completed.
    completed: Vec<usize>,
    on_action: &'a (dyn Fn() + Sync),
}

/// Registers and performs the planned actions. Returns what happened.
pub(super) async fn run(mut client: Client, plan: &Plan, on_action: &(dyn Fn() + Sync)) -> Stats {
    let body = json!({
        "email": plan.email, "password": "a simulated learner", "first_name": SIMULATED, "invite_code": plan.invite,
    });
    let Some(session) = client.call("register", Method::POST, "/auth/register", Some(body), &[]).await else {
        return client.stats;
    };
    client.stats.action("register");
    let mut learner = Learner {
        rng: StdRng::seed_from_u64(plan.seed),
        refresh_token: String::new(),
        roadmaps: Vec::new(),
        lessons: Vec::new(),
        completed: Vec::new(),
        client,
        on_action,
    };
    learner.take_tokens(&session["tokens"]);
    learner.explore().await;
    if learner.lessons.is_empty() {
        learner.client.stats.error("no lessons".to_owned(), || "import a course first: cairn import".to_owned());
        return learner.client.stats;
    }
    for _ in 0..plan.actions {
        let pause = plan.think.mul_f64(learner.rng.random_range(0.0..2.0));
        tokio::time::sleep(pause).await;
        learner.perform_action().await;
        (learner.on_action)();
    }
    learner.client.stats
}

impl Learner<'_> {
    fn take_tokens(&mut self, tokens: &Value) {
        self.client.access_token = tokens["access_token"].as_str().map(str::to_owned);
        tokens["refresh_token"].as_str().unwrap_or_default().clone_into(&mut self.refresh_token);
    }

    /// Reads the roadmaps and stores their lessons.
    async fn explore(&mut self) {
        self.client.get("get me", "/me").await;
        let roadmaps = self.client.get("list roadmaps", "/roadmaps?limit=100").await.unwrap_or_default();
        for roadmap in items(&roadmaps["items"]) {
            let id = text(&roadmap["id"]);
            let path = format!("/roadmaps/{id}");
            let tree = self.client.call("get roadmap", Method::GET, &path, None, &STUDY_REFUSALS).await;
            let tree = tree.unwrap_or_default();
            for lesson in items(&tree["stages"]).iter().flat_map(|stage| items(&stage["lessons"])) {
                self.lessons.push(Lesson { id: text(&lesson["id"]), by_tasks: lesson["completion"] == "tasks" });
            }
            self.roadmaps.push(id);
        }
        self.client.stats.action("explore roadmaps");
    }

    async fn perform_action(&mut self) {
        match self.rng.random_range(0..100) {
            0..38 => self.study().await,
            38..44 => self.reopen().await,
            44..49 => self.repeat().await,
            49..55 => self.read().await,
            55..59 => self.view_progress().await,
            59..63 => self.search().await,
            63..67 => self.use_style().await,
            67..73 => self.use_prompt().await,
            73..75 => self.read_glossary().await,
            75..77 => self.follow_events().await,
            77..79 => self.look_back().await,
            79..82 => self.create_project().await,
            82..85 => self.change_project().await,
            85..93 => self.like().await,
            93..97 => self.ask().await,
            _ => self.refresh().await,
        }
    }

    /// Chooses a lesson to study: usually the next one, sometimes any.
    fn choose(&mut self) -> usize {
        if self.rng.random_bool(0.7) {
            let next = (0..self.lessons.len()).find(|index| !self.completed.contains(index));
            if let Some(next) = next {
                return next;
            }
        }
        self.rng.random_range(0..self.lessons.len())
    }

    async fn study(&mut self) {
        let index = self.choose();
        let (id, by_tasks) = (self.lessons[index].id.clone(), self.lessons[index].by_tasks);
        if self.rng.random_bool(0.4) {
            self.client.stats.action("start a lesson");
            let path = format!("/lessons/{id}/start");
            self.client.call("start lesson", Method::POST, &path, None, &STUDY_REFUSALS).await;
        }
        if by_tasks {
            self.check_tasks(&id).await;
        }
        self.client.stats.action("complete a lesson");
        let path = format!("/lessons/{id}/completion");
        let done = self.client.call("complete lesson", Method::PUT, &path, None, &STUDY_REFUSALS).await;
        if let Some(change) = done {
            self.completed.push(index);
            self.wait_for_rollup(&change).await;
        }
    }

    /// Checks the tasks of a lesson in random order. Sometimes leaves one out or unchecks one again.
    async fn check_tasks(&mut self, lesson_id: &str) {
        let path = format!("/lessons/{lesson_id}");
        let lesson = self.client.call("get lesson", Method::GET, &path, None, &STUDY_REFUSALS).await;
        let Some(lesson) = lesson else { return };
        let mut tasks: Vec<String> = items(&lesson["tasks"]).iter().map(|task| text(&task["id"])).collect();
        tasks.shuffle(&mut self.rng);
        if self.rng.random_bool(0.15) {
            tasks.pop();
        }
        for task_id in tasks {
            let path = format!("/lessons/{lesson_id}/tasks/{task_id}/check");
            self.client.stats.action("check a task");
            self.client.call("check task", Method::PUT, &path, None, &STUDY_REFUSALS).await;
            if self.rng.random_bool(0.05) {
                self.client.stats.action("uncheck a task");
                self.client.call("uncheck task", Method::DELETE, &path, None, &STUDY_REFUSALS).await;
            }
        }
    }

    /// For some completions, measures how long the progress figures take to include them.
    async fn wait_for_rollup(&mut self, change: &Value) {
        if change["is_changed"] != true || !self.rng.random_bool(0.5) {
            return;
        }
        let started = Instant::now();
        for mark in items(&change["progress"]) {
            let path = format!("/roadmaps/{}/progress?min_seq={}", text(&mark["roadmap_id"]), mark["seq"]);
            loop {
                let progress = self.client.call("get progress", Method::GET, &path, None, &STUDY_REFUSALS).await;
                let Some(progress) = progress else { return };
                if progress["is_current"] == true {
                    break;
                }
                if started.elapsed() > RESULT_TIMEOUT {
                    self.client.stats.error("progress was not updated".to_owned(), || path.clone());
                    return;
                }
            }
        }
        if !items(&change["progress"]).is_empty() {
            self.client.stats.rollup(started.elapsed());
        }
    }

    async fn reopen(&mut self) {
        let Some(&index) = self.completed.choose(&mut self.rng) else { return self.study().await };
        let path = format!("/lessons/{}/completion", self.lessons[index].id);
        self.client.stats.action("reopen a lesson");
        self.client.call("reopen lesson", Method::DELETE, &path, None, &STUDY_REFUSALS).await;
        self.completed.retain(|other| *other != index);
    }

    async fn repeat(&mut self) {
        let Some(&index) = self.completed.choose(&mut self.rng) else { return self.study().await };
        let path = format!("/lessons/{}/completion", self.lessons[index].id);
        self.client.stats.action("complete a lesson again");
        self.client.call("complete lesson", Method::PUT, &path, None, &STUDY_REFUSALS).await;
    }

    async fn read(&mut self) {
        let index = self.rng.random_range(0..self.lessons.len());
        self.client.stats.action("read a lesson");
        let path = format!("/lessons/{}", self.lessons[index].id);
        self.client.call("get lesson", Method::GET, &path, None, &STUDY_REFUSALS).await;
    }

    async fn view_progress(&mut self) {
        let Some(id) = self.roadmaps.choose(&mut self.rng).cloned() else { return };
        self.client.stats.action("view progress");
        let path = format!("/roadmaps/{id}");
        self.client.call("get roadmap", Method::GET, &path, None, &STUDY_REFUSALS).await;
    }

    async fn ask(&mut self) {
        let tool = ["assistant", "tz_helper", "ideas"][self.rng.random_range(0..3)];
        let question = QUESTIONS[self.rng.random_range(0..QUESTIONS.len())];
        self.client.stats.action("ask a question");
        let (path, body) = (format!("/tools/{tool}/messages"), json!({"message": question}));
        let asked = self.client.call("ask tool", Method::POST, &path, Some(body), &ASK_REFUSALS).await;
        let Some(reply_id) = asked.map(|asked| text(&asked["reply_id"])) else { return };
        let started = Instant::now();
        let mut pause = Duration::from_millis(20);
        loop {
            let Some(reply) = self.client.get("get reply", &format!("/replies/{reply_id}")).await else { return };
            match reply["state"].as_str().unwrap_or_default() {
                "completed" => return self.judge(&reply_id).await,
                "queued" | "streaming" if started.elapsed() < RESULT_TIMEOUT => {}
                state => {
                    let reason = reply["reason"].to_string();
                    self.client.stats.error(format!("reply is {state}"), || format!("{reply_id}: {reason}"));
                    return;
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(500));
        }
    }

    /// Often says whether a reply helped, and sometimes puts it before the mentors.
    async fn judge(&mut self, reply_id: &str) {
        let path = format!("/replies/{reply_id}");
        if self.rng.random_bool(0.5) {
            self.client.stats.action("rate a reply");
            let body = if self.rng.random_bool(0.8) {
                json!({"thumb": "up"})
            } else {
                json!({"thumb": "down", "reason": "It answers another question."})
            };
            self.client.call("rate reply", Method::PUT, &format!("{path}/rating"), Some(body), &[]).await;
        }
        if self.rng.random_bool(0.3) {
            self.client.stats.action("ask the mentors");
            let (path, body) = (format!("{path}/mentor-question"), json!({"consent": true}));
            self.client.call("ask mentor", Method::PUT, &path, Some(body), &[]).await;
            if self.rng.random_bool(0.2) {
                let answered = ["mentor_question_answered"];
                self.client.call("withdraw mentor question", Method::DELETE, &path, None, &answered).await;
            }
        }
    }

    async fn refresh(&mut self) {
        self.client.stats.action("refresh the session");
        let body = json!({"refresh_token": self.refresh_token});
        let tokens = self.client.call("refresh session", Method::POST, "/auth/refresh", Some(body), &[]).await;
        if let Some(tokens) = tokens {
            self.take_tokens(&tokens);
        }
    }
}
