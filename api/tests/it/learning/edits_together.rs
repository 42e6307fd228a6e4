//! Editors and learners at once: whatever they do, nothing is stale afterwards.

use std::sync::Arc;

use cairn_core::admin::verify::{Mode, verify};
use poem::http::{Method, StatusCode};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{admin_path, check_path, completion_path, lesson_path};
use crate::support::{Actor, Call, Reply, TestApp};
use cairn_testing::course::Course;
use cairn_testing::expected_progress::differences;

const EDITORS: u64 = 8;
const LEARNERS: u64 = 50;
const EDITS: usize = 12;
const ACTIONS: usize = 16;
const ROUNDS: u64 = 2;

/// What is edited.
struct World {
    modules: Vec<Uuid>,
    lessons: Vec<Uuid>,
    /// The first lessons are completed by tasks, or sometimes by hand. Nobody reopens them by hand, so that whoever has
    /// checked all of their tasks must have completed them.
    with_tasks: usize,
    roadmaps: Vec<Uuid>,
    stages: Vec<Vec<Uuid>>,
}

impl World {
    async fn new(app: &TestApp) -> Self {
        let course = Course::new(app.app.pool()).await;
        let (mut lessons, mut roadmaps, mut stages) = (Vec::new(), Vec::new(), Vec::new());
        for n in 0..8 {
            let lesson = course.lesson(&format!("Lesson {n}")).await;
            for task in 0..if n < 4 { 3 } else { 0 } {
                course.task(lesson, &format!("Task {task}"), task < 2).await;
            }
            if n < 4 {
                course.complete_by_tasks(lesson).await;
            }
            lessons.push(lesson);
        }
        for n in 0..2 {
            let roadmap = course.roadmap(n == 1).await;
            let mut of_roadmap = Vec::new();
            for s in 0..3 {
                let stage = course.stage(roadmap, &format!("Stage {s}")).await;
                for lesson in lessons.iter().skip(2 * s + n).take(3) {
                    course.put(stage, *lesson, true).await;
                }
                of_roadmap.push(stage);
            }
            roadmaps.push(roadmap);
            stages.push(of_roadmap);
        }
        let second = cairn_core::clock::new_id();
        sqlx::query(
            "INSERT INTO course_modules (id, slug, title, publication) VALUES ($1, 'second', 'S', 'published')",
        )
        .bind(second)
        .execute(app.app.pool())
        .await
        .unwrap();
        Self { modules: vec![course.module, second], lessons, with_tasks: 4, roadmaps, stages }
    }
}

/// What is there now. On a slow machine the others may be in the way for so long that the request is given up (503, `Err`).
async fn current(actor: &Actor, path: &str) -> Result<Reply, Reply> {
    let reply = actor.get(path).await;
    if is_given_up(&reply) { Err(reply) } else { Ok(reply.expect(200)) }
}

/// Whether the request has waited for others too long. Then it has changed nothing.
fn is_given_up(reply: &Reply) -> bool {
    reply.status == StatusCode::SERVICE_UNAVAILABLE && reply.json["code"] == "unavailable"
}

/// Sends a call under the version that `path` has now. Others may be faster: then it is refused.
async fn versioned(actor: &Actor, path: &str, call: Call) -> Reply {
    match current(actor, path).await {
        Ok(found) => call.header("If-Match", found.header("etag")).await,
        Err(given_up) => given_up,
    }
}

/// Hides, shows, deletes or restores something; mostly shows, so that there is something to do.
async fn show_or_hide(admin: &Actor, path: &str, rng: &mut StdRng) -> Reply {
    let action = ["publish", "publish", "publish", "restore", "restore", "archive", "delete"].choose(rng).unwrap();
    let call = match *action {
        "delete" => admin.delete(path),
        action => admin.call(Method::POST, &format!("{path}/{action}")),
    };
    versioned(admin, path, call).await
}

/// A hidden module hides half of the lessons, so it is shown again at once.
async fn show_or_hide_module(admin: &Actor, path: &str, rng: &mut StdRng) -> Reply {
    let reply = show_or_hide(admin, path, rng).await;
    for action in ["restore", "publish"] {
        versioned(admin, path, admin.call(Method::POST, &format!("{path}/{action}"))).await;
    }
    reply
}

/// Removes, adds, restores and changes tasks of a lesson.
async fn edit_tasks(admin: &Actor, world: &World, rng: &mut StdRng) -> Reply {
    let path = admin_path("lessons", world.lessons[rng.random_range(0..world.with_tasks)]);
    let lesson = match current(admin, &path).await {
        Ok(lesson) => lesson,
        Err(given_up) => return given_up,
    };
    let mut tasks = lesson.json["tasks"].as_array().unwrap().clone();
    tasks.shuffle(rng);
    match rng.random_range(0..4) {
        0 if tasks.len() > 1 => drop(tasks.pop()),
        1 => tasks.push(json!({"slug": format!("task-{}", rng.random_range(0..1_000_000)), "title": "New"})),
        2 => tasks[0]["is_required"] = rng.random_bool(0.5).into(),
        _ => tasks[0]["title"] = "Other words".into(),
    }
    let completion = if rng.random_bool(0.2) { "manual" } else { "tasks" };
    let call = admin.patch(&path, json!({"tasks": tasks, "completion": completion}));
    call.header("If-Match", lesson.header("etag")).await
}

async fn edit(admin: &Actor, world: &World, rng: &mut StdRng) -> Reply {
    let n = rng.random_range(0..2);
    let (lesson, stage) = (*world.lessons.choose(rng).unwrap(), *world.stages[n].choose(rng).unwrap());
    match rng.random_range(0..14) {
        0..=2 => edit_tasks(admin, world, rng).await,
        3 => show_or_hide(admin, &admin_path("lessons", lesson), rng).await,
        4 => show_or_hide(admin, &admin_path("stages", stage), rng).await,
        5 => match rng.random_range(0..3) {
            0 => show_or_hide_module(admin, &admin_path("modules", world.modules[n]), rng).await,
            1 => show_or_hide(admin, &admin_path("roadmaps", world.roadmaps[n]), rng).await,
            _ => {
                let path = admin_path("roadmaps", world.roadmaps[n]);
                let call = admin.patch(&path, json!({"is_sequential": rng.random_bool(0.5)}));
                versioned(admin, &path, call).await
            }
        },
        6 => {
            let mut order = world.stages[n].clone();
            order.shuffle(rng);
            let path = format!("{}/stages/order", admin_path("roadmaps", world.roadmaps[n]));
            admin.put(&path).json(json!({"ids": order})).await
        }
        7 => {
            let path = admin_path("lessons", lesson);
            let call = admin.patch(&path, json!({"module_id": world.modules[n], "title": "Moved"}));
            versioned(admin, &path, call).await
        }
        8 => {
            let path = format!("{}/lessons", admin_path("stages", stage));
            let mut lessons = world.lessons.clone();
            lessons.shuffle(rng);
            lessons.truncate(rng.random_range(0..6));
            let lessons: Vec<Value> =
                lessons.iter().map(|id| json!({"lesson_id": id, "is_required": rng.random_bool(0.8)})).collect();
            versioned(admin, &path, admin.put(&path).json(json!({"lessons": lessons}))).await
        }
        9 => {
            let path = format!("{}/lessons", admin_path("stages", stage));
            let call = admin.put(&format!("{path}/{lesson}")).json(json!({"is_required": rng.random_bool(0.8)}));
            versioned(admin, &path, call).await
        }
        10 => {
            let path = format!("{}/lessons", admin_path("stages", stage));
            versioned(admin, &path, admin.delete(&format!("{path}/{lesson}"))).await
        }
        11 => {
            let order = world.modules.iter().rev().collect::<Vec<_>>();
            admin.put("/v1/admin/modules/order").json(json!({"ids": order})).await
        }
        12 => {
            let order = world.roadmaps.iter().rev().collect::<Vec<_>>();
            admin.put("/v1/admin/roadmaps/order").json(json!({"ids": order})).await
        }
        // The live lessons of a module change all the time, so the order that was read may be refused.
        _ => {
            let module = world.modules[n];
            let listed = match current(admin, &format!("/v1/admin/lessons?module_id={module}&limit=100")).await {
                Ok(listed) => listed,
                Err(given_up) => return given_up,
            };
            let mut order: Vec<Value> =
                listed.json["items"].as_array().unwrap().iter().map(|lesson| lesson["id"].clone()).collect();
            order.shuffle(rng);
            admin.put(&format!("{}/lessons/order", admin_path("modules", module))).json(json!({"ids": order})).await
        }
    }
}

async fn learn(learner: &Actor, world: &World, rng: &mut StdRng) -> Reply {
    let index = rng.random_range(0..world.lessons.len());
    let lesson = world.lessons[index];
    if index < world.with_tasks {
        let shown = learner.get(&lesson_path(lesson)).await;
        if shown.status != 200 {
            return shown;
        }
        let tasks = shown.json["tasks"].as_array().unwrap().clone();
        let Some(task) = tasks.choose(rng) else { return shown };
        let path = check_path(lesson, task["id"].as_str().unwrap().parse().unwrap());
        let call = if rng.random_bool(0.8) { learner.put(&path) } else { learner.delete(&path) };
        return call.await;
    }
    match rng.random_range(0..10) {
        0 => learner.call(Method::POST, &format!("{}/start", lesson_path(lesson))).await,
        1..=2 => learner.delete(&completion_path(lesson)).await,
        3 => learner.get(&format!("/v1/roadmaps/{}", world.roadmaps.choose(rng).unwrap())).await,
        _ => learner.put(&completion_path(lesson)).await,
    }
}

/// Lessons that are completed by tasks, with learners who have nothing left to check.
const LEFT_BEHIND: &str = "
    SELECT count(*) FROM user_lesson_progress f JOIN lessons l ON l.id = f.lesson_id
    WHERE f.status = 'in_progress' AND l.completion = 'tasks'
      AND EXISTS (SELECT FROM lesson_tasks t WHERE t.lesson_id = l.id AND t.is_required AND t.deleted_at IS NULL)
      AND NOT EXISTS (
          SELECT FROM lesson_tasks t WHERE t.lesson_id = l.id AND t.is_required AND t.deleted_at IS NULL
            AND NOT EXISTS (SELECT FROM user_lesson_task_progress p WHERE p.user_id = f.user_id AND p.task_id = t.id))";

/// Both implementations of the rules agree with what is stored.
async fn assert_exact(app: &TestApp, round: u64) {
    let report = verify(app.app.pool(), Mode::Strict).await.unwrap();
    assert!(report.is_clean(), "round {round}: {report:#?}");
    let differences = differences(app.app.pool()).await;
    assert!(differences.is_empty(), "round {round}: {differences:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn editors_beside_learners_leave_nothing_stale() {
    let seed: u64 = rand::random();
    println!("seed {seed}: put it here to repeat what everybody chooses");
    let app = TestApp::new().await;
    let editors = app.sibling();
    let world = Arc::new(World::new(&app).await);
    let (mut admins, mut learners) = (Vec::new(), Vec::new());
    for n in 0..EDITORS {
        admins.push(app.admin(&format!("editor-{n}")).await.at(&editors));
    }
    for n in 0..LEARNERS {
        learners.push(app.student(&format!("learner-{n}")).await);
    }
    for round in 0..ROUNDS {
        let barrier = Arc::new(Barrier::new(admins.len() + learners.len()));
        let mut running = JoinSet::new();
        for (number, actor) in (0..).zip(admins.iter().chain(&learners)) {
            let (actor, world, barrier) = (actor.clone(), world.clone(), barrier.clone());
            let is_editor = number < EDITORS;
            running.spawn(async move {
                let mut rng = StdRng::seed_from_u64(seed.wrapping_add(round * 1000 + number));
                barrier.wait().await;
                let mut accepted = 0;
                for _ in 0..if is_editor { EDITS } else { ACTIONS } {
                    let reply = if is_editor {
                        edit(&actor, &world, &mut rng).await
                    } else {
                        learn(&actor, &world, &mut rng).await
                    };
                    let is_failed = reply.status.is_server_error() && !is_given_up(&reply);
                    assert!(!is_failed, "{number} in round {round}: {reply:#?}");
                    accepted += usize::from(reply.status.is_success());
                }
                (is_editor, accepted)
            });
        }
        let results = running.join_all().await;
        let total = |editors: bool| results.iter().filter(|(is, _)| *is == editors).map(|(_, n)| n).sum::<usize>();
        assert!(total(true) > 30 && total(false) > 200, "most of what was tried was possible: {results:?}");
        app.run_jobs().await;
        assert_exact(&app, round).await;
        assert_eq!(app.count(LEFT_BEHIND).await, 0, "round {round}");
        // Shows everything again, so that the next round has something to do.
        for statement in [
            "UPDATE course_modules SET publication = 'published', deleted_at = NULL",
            "UPDATE lessons SET publication = 'published', deleted_at = NULL",
            "UPDATE roadmaps SET publication = 'published', deleted_at = NULL",
            "UPDATE stages SET publication = 'published', deleted_at = NULL",
        ] {
            sqlx::query(statement).execute(app.app.pool()).await.unwrap();
        }
        let mut tx = app.app.db.begin().await.unwrap();
        cairn_core::learning::recompute::enqueue_stale(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        app.run_jobs().await;
        assert_exact(&app, round).await;
    }
}
