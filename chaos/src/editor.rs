//! An editor, who changes the course beside other editors, while learners take it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::course::World;
use crate::expected::{Edits, Expected};
use crate::session::{Answer, Call, Entrance, Session, id};

/// The mean pause between two edits. Each change of a roadmap has everybody's progress in it computed again.
const PAUSE: Duration = Duration::from_millis(150);

/// How many lessons an editor creates at most, because a module cannot have any number.
const MOST_CREATED: i64 = 60;

struct Editor {
    n: usize,
    session: Session,
    world: Arc<World>,
    random: StdRng,
    edits: Edits,
}

/// Edits until told to stop. What is confirmed must be there, once, with its version and its row in the activity log; what was
/// refused, because another editor was faster, is tried again with what is there then.
pub(crate) async fn edit(
    n: usize,
    entrance: Entrance,
    world: Arc<World>,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<Expected> {
    let session = Session::register(format!("editor{n}"), Some(&world.admin_invite), entrance).await?;
    let random = StdRng::seed_from_u64(1000 + n as u64);
    let mut editor = Editor { n, session, world, random, edits: Edits::default() };
    while !stop.load(Ordering::Relaxed) {
        editor.change_something().await?;
        let pause = PAUSE.mul_f64(editor.random.random_range(0.0..2.0));
        tokio::time::sleep(pause).await;
    }
    let Editor { session, edits, .. } = editor;
    Ok(Expected { edits, ..Expected::of(session) })
}

impl Editor {
    /// Lessons that learners complete by hand stay visible and unlocked, so that it is certain what is completed at the end.
    /// Everything else may happen to everything.
    async fn change_something(&mut self) -> anyhow::Result<()> {
        let world = Arc::clone(&self.world);
        let workshop = *world.workshops.choose(&mut self.random).context("no lessons with tasks")?;
        let stage = *world.stages.choose(&mut self.random).context("no stages")?;
        let lesson = *world
            .lessons
            .iter()
            .chain(&world.workshops)
            .collect::<Vec<_>>()
            .choose(&mut self.random)
            .context("no lessons")?;
        match self.random.random_range(0..12) {
            0..4 => self.edit_tasks(workshop).await,
            4 => self.retitle(*lesson).await,
            5 => {
                self.show_or_hide(
                    "lessons",
                    workshop,
                    ["lesson.published", "lesson.archived", "lesson.deleted", "lesson.restored"],
                )
                .await
            }
            6 => {
                self.show_or_hide(
                    "stages",
                    stage,
                    ["stage.published", "stage.archived", "stage.deleted", "stage.restored"],
                )
                .await
            }
            7 => {
                let roadmap = world.roadmap;
                self.show_or_hide(
                    "roadmaps",
                    roadmap,
                    ["roadmap.published", "roadmap.archived", "roadmap.deleted", "roadmap.restored"],
                )
                .await
            }
            8 => self.place(stage, *lesson).await,
            9 => self.remove(stage, *lesson).await,
            10 => self.reorder_stages().await,
            _ => self.create_lesson().await,
        }
    }

    /// Adds, removes and changes tasks of a lesson, under a title that nobody else gives.
    async fn edit_tasks(&mut self, lesson: Uuid) -> anyhow::Result<()> {
        let path = format!("/admin/lessons/{lesson}");
        let current = self.session.get(&path).await?;
        let mut tasks = current["tasks"].as_array().cloned().unwrap_or_default();
        tasks.shuffle(&mut self.random);
        match self.random.random_range(0..4) {
            0 if tasks.len() > 1 => drop(tasks.pop()),
            1 if tasks.len() < 8 => {
                let slug = format!("task-{}", self.random.random_range(0..u64::MAX));
                tasks.push(json!({ "slug": slug, "title": "New" }));
            }
            2 if !tasks.is_empty() => tasks[0]["is_required"] = self.random.random_bool(0.5).into(),
            _ => {}
        }
        // A lesson that is completed by tasks needs one that is required.
        if tasks.iter().all(|task| task["is_required"] == false) {
            tasks.push(
                json!({ "slug": format!("needed-{}", self.random.random_range(0..u64::MAX)), "title": "Needed" }),
            );
        }
        self.patch_lesson(&path, &current, json!({ "tasks": tasks })).await
    }

    async fn retitle(&mut self, lesson: Uuid) -> anyhow::Result<()> {
        let path = format!("/admin/lessons/{lesson}");
        let current = self.session.get(&path).await?;
        self.patch_lesson(&path, &current, json!({})).await
    }

    async fn patch_lesson(&mut self, path: &str, current: &Value, mut changes: Value) -> anyhow::Result<()> {
        let title =
            format!("Edit {} of editor {}", self.edits.titles.len() + self.edits.uncertain_titles.len(), self.n);
        changes["title"] = title.clone().into();
        let call = Call::new(Method::PATCH, path).body(changes).version(version(current)?);
        let answer = self.session.send(call).await?;
        self.note(current, &answer, "lesson.updated")?;
        if answer.is_success {
            self.edits.titles.insert(title);
        } else if answer.was_interrupted {
            self.edits.uncertain_titles.insert(title);
        }
        Ok(())
    }

    /// Publishes, archives, deletes or restores; mostly what shows it, so that there is something to do. `actions` are the names
    /// of these four.
    async fn show_or_hide(&mut self, kind: &str, id: Uuid, actions: [&'static str; 4]) -> anyhow::Result<()> {
        let path = format!("/admin/{kind}/{id}");
        let current = self.session.get(&path).await?;
        let is_deleted = !current["deleted_at"].is_null();
        let (call, action) = match self.random.random_range(0..8) {
            _ if is_deleted => (Call::new(Method::POST, format!("{path}/restore")), actions[3]),
            0 => (Call::new(Method::DELETE, path), actions[2]),
            1 | 2 => (Call::new(Method::POST, format!("{path}/archive")), actions[1]),
            _ => (Call::new(Method::POST, format!("{path}/publish")), actions[0]),
        };
        let answer = self.session.send(call.version(version(&current)?)).await?;
        if answer.is_success && answer.body.is_null() {
            // A deletion has no body, and so no version.
            self.session.count(action);
            return Ok(());
        }
        self.note(&current, &answer, action)
    }

    async fn place(&mut self, stage: Uuid, lesson: Uuid) -> anyhow::Result<()> {
        let path = format!("/admin/stages/{stage}/lessons");
        let current = self.session.get(&path).await?;
        let body = json!({ "is_required": self.random.random_bool(0.8) });
        let call = Call::new(Method::PUT, format!("{path}/{lesson}")).body(body).version(version(&current)?);
        let answer = self.session.send(call).await?;
        self.note(&current, &answer, "stage.updated")
    }

    async fn remove(&mut self, stage: Uuid, lesson: Uuid) -> anyhow::Result<()> {
        let path = format!("/admin/stages/{stage}/lessons");
        let current = self.session.get(&path).await?;
        let call = Call::new(Method::DELETE, format!("{path}/{lesson}")).version(version(&current)?);
        let answer = self.session.send(call).await?;
        self.note(&current, &answer, "stage.updated")
    }

    /// The answer does not say whether the order was another one before, so the row in the activity log is uncertain.
    async fn reorder_stages(&mut self) -> anyhow::Result<()> {
        let mut order = self.world.stages.clone();
        order.shuffle(&mut self.random);
        let path = format!("/admin/roadmaps/{}/stages/order", self.world.roadmap);
        self.session.send(Call::new(Method::PUT, path).body(json!({ "ids": order })).may_conflict()).await?;
        self.session.count_uncertain("stage.reordered");
        Ok(())
    }

    async fn create_lesson(&mut self) -> anyhow::Result<()> {
        let created = self.session.counted("lesson.created");
        if created >= MOST_CREATED {
            return Ok(());
        }
        let slug = format!("lesson-{created}-of-editor-{}", self.n);
        let body = json!({
            "module_id": self.world.module, "slug": slug, "title": "Created", "summary": "Servers", "body": "Text about ports.",
            "duration_minutes": 5,
        });
        let call = Call::new(Method::POST, "/admin/lessons").body(body).key(slug.clone());
        let lesson = self.session.send(call).await?.body;
        self.session.count("lesson.created");
        self.edits.created.push(slug);
        let path = format!("/admin/lessons/{}/publish", id(&lesson["id"])?);
        let answer = self.session.send(Call::new(Method::POST, path).version(version(&lesson)?)).await?;
        self.note(&lesson, &answer, "lesson.published")
    }

    /// Counts what was changed, and remembers the version that it got. An edit that changes nothing is not recorded.
    fn note(&mut self, before: &Value, answer: &Answer, action: &'static str) -> anyhow::Result<()> {
        if answer.is_success {
            let after = version(&answer.body)?;
            if after > version(before)? {
                self.session.count(action);
                let id = if before["stage_id"].is_null() { &before["id"] } else { &before["stage_id"] };
                self.edits.versions.push((crate::session::id(id)?, after));
            }
        } else if answer.was_interrupted {
            self.session.count_uncertain(action);
        }
        Ok(())
    }
}

fn version(value: &Value) -> anyhow::Result<i64> {
    value["version"].as_i64().with_context(|| format!("{value} has no version"))
}
