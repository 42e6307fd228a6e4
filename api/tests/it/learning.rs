//! Roadmaps, lessons, and what a learner does with them.

mod recalculating;

use std::sync::Arc;

use poem::http::Method;
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::support::course::Course;
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

const ROLLUP_JOBS: &str = "SELECT count(*) FROM apalis.jobs WHERE job_type = 'progress'";

const NUMBERS: [&str; 4] = ["status", "percent", "lessons_total", "lessons_completed"];

#[tokio::test]
async fn starting_is_done_once() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let path = Course::new(&app).await.path(false, &[2]).await;
    let id = path.lessons[0][0];
    let before = lesson(&anna, id).await;
    assert_eq!(some(&before, &["status", "started_at"]), json!({"status": "available", "started_at": null}));
    let first = start(&anna, id).await.expect(200).json;
    assert_eq!(
        some(&first, &["lesson_id", "is_changed", "status", "completed_at", "progress"]),
        json!({"lesson_id": id, "is_changed": true, "status": "in_progress", "completed_at": null,
               "progress": [{"roadmap_id": path.id, "seq": 1}]})
    );
    let again = start(&anna, id).await.expect(200).json;
    assert_eq!(again["is_changed"], false);
    assert_eq!(again["started_at"], first["started_at"]);
    assert_eq!(again["progress"], first["progress"]);
    complete(&anna, id).await.expect(200);
    assert_eq!(start(&anna, id).await.expect(200).json["status"], "completed", "it starts nothing over");
    assert_eq!(logged(&app).await, ["lesson.started", "lesson.completed"]);
}

#[tokio::test]
async fn completing_again_changes_nothing() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let path = Course::new(&app).await.path(false, &[2]).await;
    let id = path.lessons[0][0];
    let first = complete(&anna, id).await.expect(200).json;
    assert_eq!((&first["status"], &first["is_changed"]), (&json!("completed"), &json!(true)));
    assert_eq!(first["started_at"], first["completed_at"], "completing starts what was not started");
    app.run_jobs().await;
    let again = complete(&anna, id).await.expect(200).json;
    assert_eq!(again["is_changed"], false);
    assert_eq!(
        some(&again, &["started_at", "completed_at", "progress"]),
        some(&first, &["started_at", "completed_at", "progress"])
    );
    assert_eq!(app.run_jobs().await, 0, "a repeat enqueues nothing");
    assert_eq!(app.count("SELECT requested_seq FROM progress_dirty").await, 1);
    assert_eq!(logged(&app).await, ["lesson.completed"]);
}

#[tokio::test]
async fn a_completion_can_be_taken_back() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let path = Course::new(&app).await.path(false, &[2]).await;
    let id = path.lessons[0][0];
    let untouched = uncomplete(&anna, id).await.expect(200).json;
    assert_eq!(
        untouched,
        json!({"lesson_id": id, "is_changed": false, "status": "available", "started_at": null, "completed_at": null, "progress": []})
    );
    let started = start(&anna, id).await.expect(200).json;
    assert_eq!(uncomplete(&anna, id).await.expect(200).json["is_changed"], false, "it was not completed");
    complete(&anna, id).await.expect(200);
    app.run_jobs().await;
    assert_eq!(progress(&anna, path.id, "").await["percent"], 50);
    let back = uncomplete(&anna, id).await.expect(200).json;
    assert_eq!(
        back,
        json!({"lesson_id": id, "is_changed": true, "status": "in_progress", "started_at": started["started_at"],
               "completed_at": null, "progress": [{"roadmap_id": path.id, "seq": 3}]})
    );
    assert_eq!(uncomplete(&anna, id).await.expect(200).json["is_changed"], false);
    app.run_jobs().await;
    assert_eq!(progress(&anna, path.id, "").await["percent"], 0);
    assert_eq!(logged(&app).await, ["lesson.started", "lesson.completed", "lesson.reopened"]);
}

#[tokio::test]
async fn a_lesson_shows_everything_about_it() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let course = Course::new(&app).await;
    let path = course.path(true, &[1]).await;
    let id = path.lessons[0][0];
    course.material(id, "Second by time").await;
    let (one, two) = (course.task(id, "One", true).await, course.task(id, "Two", false).await);
    let gone = course.task(id, "Gone", true).await;
    course.edit("UPDATE lesson_tasks SET deleted_at = now() WHERE id = $1", gone).await;
    check(&anna, id, two).await.expect(200);
    let shown = lesson(&anna, id).await;
    assert_eq!(
        some(
            &shown,
            &[
                "id",
                "title",
                "summary",
                "duration_minutes",
                "completion",
                "module_id",
                "module_title",
                "is_locked",
                "body",
                "video_url"
            ]
        ),
        json!({"id": id, "title": "Lesson 1.1", "summary": "In short", "duration_minutes": 10, "completion": "manual",
               "module_id": course.module, "module_title": "Module", "is_locked": false, "body": "The secret text",
               "video_url": "https://video.example/secret"})
    );
    assert_eq!(all(&shown["materials"], "title"), ["Second by time"]);
    assert_eq!(all(&shown["tasks"], "id"), [&json!(one), &json!(two)]);
    assert_eq!(all(&shown["tasks"], "is_checked"), [false, true]);
    assert_eq!(all(&shown["tasks"], "is_required"), [true, false]);
    assert_eq!(
        shown["stages"],
        json!([{"roadmap_id": path.id, "roadmap_title": "Roadmap 2", "stage_id": path.stages[0], "stage_title": "Stage 1",
                "is_required": true, "is_locked": false, "locked_by": []}])
    );
    let ben = app.student("ben").await;
    assert_eq!(all(&lesson(&ben, id).await["tasks"], "is_checked"), [false, false], "ticks are one's own");
    app.run_jobs().await;
}

#[tokio::test]
async fn the_last_lesson_of_a_stage_opens_the_next_at_once() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let path = Course::new(&app).await.path(true, &[2, 1]).await;
    let next = path.lessons[1][0];
    complete(&anna, path.lessons[0][0]).await.expect(200);
    let refused = complete(&anna, next).await.expect(409).problem("stage_locked");
    assert_eq!(refused.json["detail"], "The stage “Stage 2” opens after “Stage 1” (1 of 2 lessons).");
    complete(&anna, path.lessons[0][1]).await.expect(200);
    // No job has run: the rollup knows nothing yet.
    assert_eq!(app.count("SELECT count(*) FROM user_stage_progress").await, 0);
    assert_eq!(lesson(&anna, next).await["is_locked"], false);
    complete(&anna, next).await.expect(200);
    uncomplete(&anna, path.lessons[0][0]).await.expect(200);
    assert_eq!(lesson(&anna, next).await["is_locked"], false, "a completed stage stays open");
    uncomplete(&anna, next).await.expect(200);
    complete(&anna, next).await.expect(409).problem("stage_locked");
    app.run_jobs().await;
}

#[tokio::test]
async fn a_rollup_that_lags_opens_nothing() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let course = Course::new(&app).await;
    let path = course.path(true, &[1, 2]).await;
    let (first, next) = (path.lessons[0][0], path.lessons[1][0]);
    complete(&anna, first).await.expect(200);
    app.run_jobs().await;
    start(&anna, next).await.expect(200);
    app.run_jobs().await;
    uncomplete(&anna, first).await.expect(200);
    assert_eq!(app.count("SELECT count(*) FROM user_stage_progress WHERE status = 'locked'").await, 0);
    complete(&anna, next).await.expect(409).problem("stage_locked");
    complete(&anna, first).await.expect(200);
    app.run_jobs().await;
    let added = course.lesson("Added").await;
    course.put(path.stages[0], added, true).await;
    assert_eq!(app.count("SELECT count(*) FROM user_stage_progress WHERE status = 'locked'").await, 0);
    complete(&anna, next).await.expect(409).problem("stage_locked");
    complete(&anna, added).await.expect(200);
    complete(&anna, next).await.expect(200);
    app.run_jobs().await;
}

#[tokio::test]
async fn a_locked_lesson_withholds_its_content_and_takes_no_writes() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let course = Course::new(&app).await;
    let path = course.path(true, &[1, 1]).await;
    let id = path.lessons[1][0];
    course.material(id, "A secret").await;
    let task = course.task(id, "A secret", true).await;
    let reply = anna.get(&lesson_path(id)).await.expect(200);
    assert!(!reply.text.contains("secret"), "{}", reply.text);
    assert_eq!(
        some(
            &reply.json,
            &["title", "summary", "duration_minutes", "is_locked", "status", "body", "video_url", "materials", "tasks"]
        ),
        json!({"title": "Lesson 2.1", "summary": "In short", "duration_minutes": 10, "is_locked": true, "status": "locked",
               "body": null, "video_url": null, "materials": [], "tasks": []})
    );
    assert_eq!(
        reply.json["stages"][0]["locked_by"],
        json!([{"stage_id": path.stages[0], "title": "Stage 1", "lessons_total": 1, "lessons_completed": 0}])
    );
    for reply in [
        start(&anna, id).await,
        complete(&anna, id).await,
        uncomplete(&anna, id).await,
        check(&anna, id, task).await,
        uncheck(&anna, id, task).await,
    ] {
        reply.expect(409).problem("stage_locked");
    }
    for table in [
        "SELECT count(*) FROM user_lesson_progress",
        "SELECT count(*) FROM user_lesson_task_progress",
        "SELECT count(*) FROM progress_dirty",
        "SELECT count(*) FROM apalis.jobs",
    ] {
        assert_eq!(app.count(table).await, 0, "{table}");
    }
}

#[tokio::test]
async fn a_lesson_is_open_where_any_stage_of_it_is() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let course = Course::new(&app).await;
    let path = course.path(true, &[1, 2]).await;
    let [shared, alone] = path.lessons[1][..] else { panic!() };
    let other = course.path(true, &[1, 1]).await;
    course.put(other.stages[1], shared, true).await;
    assert_eq!(lesson(&anna, shared).await["is_locked"], true, "locked in both");
    complete(&anna, other.lessons[0][0]).await.expect(200);
    let shown = lesson(&anna, shared).await;
    assert_eq!(shown["is_locked"], false);
    assert_eq!(all(&shown["stages"], "is_locked"), [true, false]);
    assert_eq!(shown["body"], "The secret text");
    let tree = tree(&anna, path.id).await;
    assert_eq!(tree["stages"][1]["status"], "locked");
    assert_eq!(all(&tree["stages"][1]["lessons"], "is_locked"), [false, true]);
    assert_eq!(all(&tree["stages"][1]["lessons"], "status"), ["available", "locked"]);
    complete(&anna, alone).await.expect(409).problem("stage_locked");
    let change = complete(&anna, shared).await.expect(200).json;
    assert_eq!(all(&change["progress"], "roadmap_id").len(), 2, "both roadmaps follow");
    // Where a lesson stands in no visible stage, nothing can lock it.
    let nowhere = course.lesson("Nowhere").await;
    assert_eq!(complete(&anna, nowhere).await.expect(200).json["progress"], json!([]));
    course.edit("UPDATE stages SET publication = 'draft' WHERE id = $1", path.stages[1]).await;
    assert_eq!(lesson(&anna, alone).await["is_locked"], false);
    app.run_jobs().await;
}

#[tokio::test]
async fn optional_lessons_and_hidden_content_block_nobody() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let course = Course::new(&app).await;
    let path = course.path(true, &[0, 1, 1]).await;
    let optional = course.lesson("Optional").await;
    course.put(path.stages[0], optional, false).await;
    let tree_before = tree(&anna, path.id).await;
    assert_eq!(all(&tree_before["stages"], "status"), ["available", "available", "locked"]);
    assert_eq!(all(&tree_before["stages"], "percent"), [&Value::Null, &json!(0), &json!(0)]);
    assert_eq!(some(&tree_before, &["stages_total", "lessons_total"]), json!({"stages_total": 2, "lessons_total": 2}));
    assert_eq!(lesson(&anna, path.lessons[2][0]).await["is_locked"], true);
    course.edit("UPDATE lessons SET publication = 'archived' WHERE id = $1", path.lessons[1][0]).await;
    assert_eq!(lesson(&anna, path.lessons[2][0]).await["is_locked"], false);
}

#[tokio::test]
async fn tasks_complete_a_lesson_whose_rule_is_tasks() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let course = Course::new(&app).await;
    let path = course.path(false, &[1]).await;
    let id = path.lessons[0][0];
    course.complete_by_tasks(id).await;
    let (one, two) = (course.task(id, "One", true).await, course.task(id, "Two", true).await);
    let extra = course.task(id, "Extra", false).await;
    let refused = complete(&anna, id).await.expect(409).problem("tasks_incomplete");
    assert_eq!(refused.json["detail"], "Check the required tasks first: “One”, “Two”.");
    assert_eq!(app.count("SELECT count(*) FROM user_lesson_progress").await, 0, "nothing half-written");
    let first = check(&anna, id, one).await.expect(200).json;
    assert_eq!((&first["is_changed"], &first["status"]), (&json!(true), &json!("in_progress")));
    let refused = complete(&anna, id).await.expect(409).problem("tasks_incomplete");
    assert_eq!(refused.json["detail"], "Check the required tasks first: “Two”.");
    assert_eq!(check(&anna, id, one).await.expect(200).json["is_changed"], false);
    assert_eq!(check(&anna, id, extra).await.expect(200).json["status"], "in_progress");
    let last = check(&anna, id, two).await.expect(200).json;
    assert_eq!(last["status"], "completed");
    assert_eq!(last["progress"], json!([{"roadmap_id": path.id, "seq": 2}]));
    let repeated = complete(&anna, id).await.expect(200).json;
    assert_eq!((&repeated["is_changed"], &repeated["completed_at"]), (&json!(false), &last["completed_at"]));
    assert_eq!(uncheck(&anna, id, extra).await.expect(200).json["status"], "completed", "optional tasks never matter");
    let reopened = uncheck(&anna, id, one).await.expect(200).json;
    assert_eq!(
        some(&reopened, &["is_changed", "status", "started_at", "completed_at"]),
        json!({"is_changed": true, "status": "in_progress", "started_at": first["started_at"], "completed_at": null})
    );
    assert_eq!(uncheck(&anna, id, one).await.expect(200).json["is_changed"], false);
    assert_eq!(
        logged(&app).await,
        [
            "task.checked",
            "task.checked",
            "task.checked",
            "lesson.completed",
            "task.unchecked",
            "task.unchecked",
            "lesson.reopened"
        ]
    );
    assert_eq!(progress(&anna, path.id, "").await["percent"], 0);
}

#[tokio::test]
async fn tasks_count_as_they_are_now() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let course = Course::new(&app).await;
    let id = course.lesson("By tasks").await;
    course.complete_by_tasks(id).await;
    let extra = course.task(id, "Extra", false).await;
    check(&anna, id, extra).await.expect(200);
    assert_eq!(lesson(&anna, id).await["status"], "in_progress", "an optional task completes nothing");
    complete(&anna, id).await.expect(200);
    let added = course.task(id, "Added later", true).await;
    assert_eq!(complete(&anna, id).await.expect(200).json["is_changed"], false, "what was completed stays");
    uncomplete(&anna, id).await.expect(200);
    complete(&anna, id).await.expect(409).problem("tasks_incomplete");
    course.edit("UPDATE lesson_tasks SET deleted_at = now() WHERE id = $1", added).await;
    complete(&anna, id).await.expect(200);
    app.run_jobs().await;
}

#[tokio::test]
async fn tasks_do_not_complete_a_lesson_that_is_completed_by_hand() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let course = Course::new(&app).await;
    let id = course.lesson("By hand").await;
    let task = course.task(id, "One", true).await;
    assert_eq!(
        some(&uncheck(&anna, id, task).await.expect(200).json, &["is_changed", "status"]),
        json!({"is_changed": false, "status": "available"}),
        "unchecking does not start a lesson"
    );
    assert_eq!(check(&anna, id, task).await.expect(200).json["status"], "in_progress");
    complete(&anna, id).await.expect(200);
    assert_eq!(uncheck(&anna, id, task).await.expect(200).json["status"], "completed");
    complete(&anna, id).await.expect(200);
    assert_eq!(logged(&app).await, ["task.checked", "lesson.completed", "task.unchecked"]);
}

#[tokio::test]
async fn what_is_not_visible_does_not_exist() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let course = Course::new(&app).await;
    let path = course.path(false, &[1]).await;
    let (id, task) = (path.lessons[0][0], course.task(path.lessons[0][0], "One", true).await);
    let statements = [
        (
            "UPDATE lessons SET publication = 'draft' WHERE id = $1",
            "UPDATE lessons SET publication = 'published' WHERE id = $1",
            id,
        ),
        (
            "UPDATE lessons SET publication = 'archived' WHERE id = $1",
            "UPDATE lessons SET publication = 'published' WHERE id = $1",
            id,
        ),
        (
            "UPDATE lessons SET deleted_at = now() WHERE id = $1",
            "UPDATE lessons SET deleted_at = NULL WHERE id = $1",
            id,
        ),
        (
            "UPDATE course_modules SET publication = 'draft' WHERE id = $1",
            "UPDATE course_modules SET publication = 'published' WHERE id = $1",
            course.module,
        ),
        (
            "UPDATE course_modules SET deleted_at = now() WHERE id = $1",
            "UPDATE course_modules SET deleted_at = NULL WHERE id = $1",
            course.module,
        ),
    ];
    for (hide, show, what) in statements {
        course.edit(hide, what).await;
        lesson_is_not_found(&anna, id, task).await;
        assert_eq!(tree(&anna, path.id).await["stages"][0]["lessons"], json!([]), "{hide}");
        course.edit(show, what).await;
        assert_eq!(tree(&anna, path.id).await["stages"][0]["lessons"].as_array().unwrap().len(), 1, "{hide}");
    }
    lesson_is_not_found(&anna, Uuid::nil(), task).await;
    for hide in [
        "UPDATE roadmaps SET publication = 'draft' WHERE id = $1",
        "UPDATE roadmaps SET publication = 'archived' WHERE id = $1",
        "UPDATE roadmaps SET publication = 'published', deleted_at = now() WHERE id = $1",
    ] {
        course.edit(hide, path.id).await;
        anna.get(&format!("/v1/roadmaps/{}", path.id)).await.expect(404).problem("roadmap_not_found");
        anna.get(&format!("/v1/roadmaps/{}/progress?min_seq=1", path.id))
            .await
            .expect(404)
            .problem("roadmap_not_found");
        assert_eq!(anna.get("/v1/roadmaps").await.expect(200).json["items"], json!([]), "{hide}");
    }
    assert_eq!(start(&anna, id).await.expect(200).json["progress"], json!([]), "a hidden roadmap is not named");
    assert_eq!(anna.get("/v1/me/progress").await.expect(200).json["roadmaps"], json!([]));
    app.run_jobs().await;
}

async fn lesson_is_not_found(actor: &Actor, id: Uuid, task: Uuid) {
    actor.get(&lesson_path(id)).await.expect(404).problem("lesson_not_found");
    for reply in [
        start(actor, id).await,
        complete(actor, id).await,
        uncomplete(actor, id).await,
        check(actor, id, task).await,
        uncheck(actor, id, task).await,
    ] {
        reply.expect(404).problem("lesson_not_found");
    }
}

#[tokio::test]
async fn a_task_belongs_to_its_lesson() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let course = Course::new(&app).await;
    let (id, other) = (course.lesson("One").await, course.lesson("Other").await);
    let (foreign, deleted) = (course.task(other, "Foreign", true).await, course.task(id, "Deleted", true).await);
    course.edit("UPDATE lesson_tasks SET deleted_at = now() WHERE id = $1", deleted).await;
    for task in [foreign, deleted, Uuid::nil()] {
        check(&anna, id, task).await.expect(404).problem("task_not_found");
        uncheck(&anna, id, task).await.expect(404).problem("task_not_found");
    }
    assert_eq!(app.count("SELECT count(*) FROM user_lesson_progress").await, 0);
}

#[tokio::test]
async fn malformed_requests_are_refused() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    for path in ["/v1/lessons/x", "/v1/roadmaps/x", "/v1/roadmaps/x/progress"] {
        let parameter = if path.contains("lessons") { "lesson_id" } else { "roadmap_id" };
        anna.get(path).invalid().await.expect(400).problem("malformed_parameter").blames(&[(parameter, "malformed")]);
        app.get(path).invalid().await.expect(401).problem("unauthorized");
    }
    let id = Uuid::nil();
    anna.put(&format!("/v1/lessons/{id}/tasks/1/check"))
        .invalid()
        .await
        .expect(400)
        .blames(&[("task_id", "malformed")]);
    for bad in ["-1", "x", "1.5", "9223372036854775808", ""] {
        let path = format!("/v1/roadmaps/{id}/progress?min_seq={bad}");
        anna.get(&path).invalid().await.expect(400).problem("malformed_parameter");
    }
    anna.get(&format!("/v1/roadmaps/{id}/progress?min_seq=9223372036854775807")).await.expect(404);
    for path in ["/v1/roadmaps", "/v1/modules", "/v1/me/activity"] {
        for bad in ["cursor=x", "cursor=WyJ4IiwgMV0", "limit=0", "limit=101"] {
            anna.get(&format!("{path}?{bad}")).invalid().await.expect(400).problem("malformed_parameter");
        }
        app.get(path).await.expect(401).problem("unauthorized");
    }
    app.get("/v1/me/progress").await.expect(401).problem("unauthorized");
    for (method, path) in [(Method::POST, "start"), (Method::PUT, "completion"), (Method::DELETE, "completion")] {
        app.call(method, &format!("/v1/lessons/{id}/{path}")).await.expect(401).problem("unauthorized");
    }
}

#[tokio::test]
async fn the_tree_shows_where_i_am() {
    let app = TestApp::new().await;
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    let path = Course::new(&app).await.path(true, &[2, 1, 1]).await;
    let before = tree(&anna, path.id).await;
    assert_eq!(
        some(
            &before,
            &["id", "title", "summary", "is_sequential", "stages_total", "stages_completed", "is_recalculating"]
        ),
        json!({"id": path.id, "title": "Roadmap 2", "summary": "A way", "is_sequential": true, "stages_total": 3,
               "stages_completed": 0, "is_recalculating": false})
    );
    assert_eq!(
        some(&before, &NUMBERS),
        json!({"status": "available", "percent": 0, "lessons_total": 4, "lessons_completed": 0})
    );
    assert_eq!(
        all(&before["stages"], "id"),
        path.stages.iter().map(|id| json!(id)).collect::<Vec<_>>().iter().collect::<Vec<_>>()
    );
    assert_eq!(all(&before["stages"], "status"), ["available", "locked", "locked"]);
    assert_eq!(before["stages"][0]["locked_by"], json!([]));
    assert_eq!(all(&before["stages"][2]["locked_by"], "title"), ["Stage 1", "Stage 2"]);
    assert_eq!(all(&before["stages"][1]["lessons"], "status"), ["locked"]);
    complete(&anna, path.lessons[0][0]).await.expect(200);
    let counted = tree(&anna, path.id).await;
    assert_eq!(some(&counted, &["is_current", "seq", "percent"]), json!({"is_current": true, "seq": 1, "percent": 25}));
    app.run_jobs().await;
    assert_eq!(tree(&anna, path.id).await, counted, "until the first rollup is stored, the facts are counted");
    start(&anna, path.lessons[0][1]).await.expect(200);
    let pending = tree(&anna, path.id).await;
    assert_eq!(
        some(&pending, &["is_current", "seq", "percent"]),
        json!({"is_current": false, "seq": 1, "percent": 25})
    );
    assert_eq!(all(&pending["stages"][0]["lessons"], "status"), ["completed", "in_progress"], "facts show at once");
    app.run_jobs().await;
    let after = tree(&anna, path.id).await;
    assert_eq!(
        some(&after, &NUMBERS),
        json!({"status": "in_progress", "percent": 25, "lessons_total": 4, "lessons_completed": 1})
    );
    assert_eq!(
        some(&after["stages"][0], &NUMBERS),
        json!({"status": "in_progress", "percent": 50, "lessons_total": 2, "lessons_completed": 1})
    );
    assert_eq!(all(&after["stages"][0]["lessons"], "status"), ["completed", "in_progress"]);
    assert_eq!(
        after["stages"][1]["locked_by"],
        json!([{"stage_id": path.stages[0], "title": "Stage 1", "lessons_total": 2, "lessons_completed": 1}])
    );
    complete(&anna, path.lessons[0][1]).await.expect(200);
    app.run_jobs().await;
    let after = tree(&anna, path.id).await;
    assert_eq!(all(&after["stages"], "status"), ["completed", "available", "locked"]);
    assert!(after["stages"][0]["achieved_at"].is_string() && after["stages"][0]["completed_at"].is_string());
    assert_eq!(after["stages_completed"], 1);
    assert_eq!(tree(&ben, path.id).await, before, "progress is one's own");
}

/// The tree reads the rollup, lessons read the facts: when all jobs have run they say the same.
#[tokio::test]
async fn the_tree_and_the_lessons_agree_on_locks() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let course = Course::new(&app).await;
    let path = course.path(true, &[1, 0, 2, 1]).await;
    let optional = course.lesson("Optional").await;
    course.put(path.stages[2], optional, false).await;
    let steps = [
        (true, path.lessons[0][0]),
        (true, path.lessons[2][0]),
        (true, path.lessons[2][1]),
        (false, path.lessons[0][0]),
        (true, path.lessons[3][0]),
        (false, path.lessons[3][0]),
    ];
    for (done, id) in steps {
        // Some are refused: locked.
        if done {
            complete(&anna, id).await
        } else {
            uncomplete(&anna, id).await
        };
        app.run_jobs().await;
        let tree = tree(&anna, path.id).await;
        for stage in tree["stages"].as_array().unwrap() {
            for shown in stage["lessons"].as_array().unwrap() {
                let id = shown["id"].as_str().unwrap().parse().unwrap();
                let one = lesson(&anna, id).await;
                assert_eq!(one["is_locked"], shown["is_locked"], "{shown:#} {one:#}");
                assert_eq!(one["status"], shown["status"]);
                assert_eq!(one["stages"][0]["locked_by"], stage["locked_by"]);
                start(&anna, id).await.expect(if shown["is_locked"] == true { 409 } else { 200 });
            }
        }
    }
    app.run_jobs().await;
}

/// No number is stored, as when a roadmap is being recomputed: who writes is let in by the facts, by the rule that is shown.
#[tokio::test]
async fn without_a_rollup_the_facts_let_writers_in() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let course = Course::new(&app).await;
    let path = course.path(true, &[1, 0, 2, 1]).await;
    let optional = course.lesson("Optional").await;
    course.put(path.stages[2], optional, false).await;
    let agree = async || {
        let mut open = 0;
        for id in path.lessons.iter().flatten().copied().chain([optional]) {
            let is_locked = lesson(&anna, id).await["is_locked"] == true;
            start(&anna, id).await.expect(if is_locked { 409 } else { 200 });
            open += usize::from(!is_locked);
        }
        open
    };
    assert_eq!(agree().await, 1, "a lesson that is only started opens nothing");
    for (id, open) in [(path.lessons[0][0], 4), (path.lessons[2][0], 4), (path.lessons[2][1], 5)] {
        complete(&anna, id).await.expect(200);
        assert_eq!(agree().await, open);
    }
    uncomplete(&anna, path.lessons[0][0]).await.expect(200);
    assert_eq!(agree().await, 4, "the completed stage stays open, the one after it does not");
    assert_eq!(app.count("SELECT count(*) FROM user_stage_progress").await, 0);
    app.run_jobs().await;
}

#[tokio::test]
async fn roadmaps_are_listed_with_my_progress() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let course = Course::new(&app).await;
    let paths = [course.path(true, &[1, 1]).await, course.path(false, &[3]).await, course.path(false, &[]).await];
    complete(&anna, paths[0].lessons[0][0]).await.expect(200);
    complete(&anna, paths[1].lessons[0][0]).await.expect(200);
    app.run_jobs().await;
    let mut seen = Vec::new();
    let mut query = "?limit=1".to_owned();
    loop {
        let page = anna.get(&format!("/v1/roadmaps{query}")).await.expect(200).json;
        seen.extend(page["items"].as_array().unwrap().clone());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        query = format!("?limit=1&cursor={cursor}");
    }
    assert_eq!(
        seen.iter().map(|item| item["id"].clone()).collect::<Vec<_>>(),
        paths.each_ref().map(|path| json!(path.id))
    );
    assert_eq!(
        seen.iter().map(|item| item["percent"].clone()).collect::<Vec<_>>(),
        [json!(50), json!(33), Value::Null]
    );
    assert_eq!(
        some(&seen[0], &["stages_total", "stages_completed", "achieved_at", "seq", "is_current"]),
        json!({"stages_total": 2, "stages_completed": 1, "achieved_at": null, "seq": 1, "is_current": true})
    );
    let mine = anna.get("/v1/me/progress").await.expect(200).json;
    assert_eq!(mine["percent"], 40, "2 of the 5 lessons of what was started");
    assert_eq!(mine["roadmaps"], json!(seen[..2]));
    let ben = app.student("ben").await;
    assert_eq!(ben.get("/v1/me/progress").await.expect(200).json, json!({"percent": null, "roadmaps": []}));
}

#[tokio::test]
async fn modules_are_listed() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let courses = [Course::new(&app).await];
    let (one, draft) = (courses[0].lesson("One").await, courses[0].lesson("Draft").await);
    courses[0].lesson("Two").await;
    courses[0].edit("UPDATE lessons SET publication = 'draft' WHERE id = $1", draft).await;
    complete(&anna, one).await.expect(200);
    let page = anna.get("/v1/modules").await.expect(200).json;
    assert_eq!(
        page,
        json!({"items": [{"id": courses[0].module, "slug": "module-1", "title": "Module", "summary": "",
                          "lessons_total": 2, "lessons_completed": 1}], "next_cursor": null})
    );
    courses[0].edit("UPDATE course_modules SET publication = 'archived' WHERE id = $1", courses[0].module).await;
    assert_eq!(anna.get("/v1/modules").await.expect(200).json["items"], json!([]));
    app.run_jobs().await;
}

#[tokio::test]
async fn progress_waits_for_a_change() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let path = Course::new(&app).await.path(true, &[1, 1]).await;
    start(&anna, path.lessons[0][0]).await.expect(200);
    app.run_jobs().await;
    let change = complete(&anna, path.lessons[0][0]).await.expect(200).json;
    assert_eq!(change["progress"], json!([{"roadmap_id": path.id, "seq": 2}]));
    let stale = progress(&anna, path.id, "").await;
    assert_eq!(some(&stale, &["seq", "is_current", "percent"]), json!({"seq": 1, "is_current": false, "percent": 0}));
    // Nobody rolls up: the wait ends all the same.
    let stale = progress(&anna, path.id, "?min_seq=2").await;
    assert_eq!(some(&stale, &["seq", "is_current", "percent"]), json!({"seq": 1, "is_current": false, "percent": 0}));
    let (waited, _) = tokio::join!(progress(&anna, path.id, "?min_seq=2"), app.run_jobs());
    let after = progress(&anna, path.id, "?min_seq=2").await;
    assert_eq!(
        some(&after, &["roadmap_id", "seq", "is_current", "percent", "status"]),
        json!({"roadmap_id": path.id, "seq": 2, "is_current": true, "percent": 50, "status": "in_progress"})
    );
    assert_eq!(waited, after, "the waiting call saw it too");
    assert_eq!(all(&after["stages"], "stage_id"), [&json!(path.stages[0]), &json!(path.stages[1])]);
    assert_eq!(all(&after["stages"], "status"), ["completed", "available"]);
    let future = progress(&anna, path.id, "?min_seq=7").await;
    assert_eq!(
        some(&future, &["seq", "is_current"]),
        json!({"seq": 2, "is_current": false}),
        "nobody has made that change"
    );
}

#[tokio::test]
async fn changes_before_a_rollup_share_its_job() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let path = Course::new(&app).await.path(false, &[5]).await;
    for (n, id) in path.lessons[0].iter().enumerate() {
        let change = complete(&anna, *id).await.expect(200).json;
        assert_eq!(change["progress"][0]["seq"], n + 1);
    }
    assert_eq!(app.count(ROLLUP_JOBS).await, 1);
    app.run_jobs().await;
    assert_eq!(some(&progress(&anna, path.id, "").await, &["seq", "percent"]), json!({"seq": 5, "percent": 100}));
    uncomplete(&anna, path.lessons[0][0]).await.expect(200);
    assert_eq!(app.count(ROLLUP_JOBS).await, 2, "the marker was clean again");
    app.run_jobs().await;
    let after = progress(&anna, path.id, "").await;
    assert_eq!((&after["percent"], &after["completed_at"]), (&json!(80), &Value::Null));
    assert!(after["achieved_at"].is_string(), "achieved once stays");
}

#[tokio::test]
async fn my_activity_is_mine_and_newest_first() {
    let app = TestApp::new().await;
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    let course = Course::new(&app).await;
    let (one, two) = (course.lesson("One").await, course.lesson("Two").await);
    let task = course.task(one, "Do it", false).await;
    start(&anna, one).await.expect(200);
    check(&anna, one, task).await.expect(200);
    start(&ben, one).await.expect(200);
    complete(&anna, two).await.expect(200);
    app.run_jobs().await;
    let mut seen = Vec::new();
    let mut query = "?limit=2".to_owned();
    loop {
        let page = anna.get(&format!("/v1/me/activity{query}")).await.expect(200).json;
        seen.extend(page["items"].as_array().unwrap().clone());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        query = format!("?limit=2&cursor={cursor}");
    }
    let expected = [
        ("lesson.completed", json!({"type": "lesson", "id": two, "title": "Two"})),
        ("task.checked", json!({"type": "task", "id": task, "title": "Do it"})),
        ("lesson.started", json!({"type": "lesson", "id": one, "title": "One"})),
    ];
    let seen: Vec<(&str, Value)> =
        seen.iter().map(|item| (item["action"].as_str().unwrap(), item["target"].clone())).collect();
    assert_eq!(seen, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_completions_and_reopenings_end_exact() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let path = Course::new(&app).await.path(false, &[2]).await;
    let id = path.lessons[0][0];
    let barrier = Arc::new(Barrier::new(50));
    let mut calls = JoinSet::new();
    for n in 0..50 {
        let (anna, barrier) = (anna.clone(), Arc::clone(&barrier));
        calls.spawn(async move {
            barrier.wait().await;
            let reply = if n % 2 == 0 { complete(&anna, id).await } else { uncomplete(&anna, id).await };
            (n % 2 == 0, reply.expect(200).json["is_changed"] == true)
        });
    }
    let answers = calls.join_all().await;
    let changed = |completing: bool| answers.iter().filter(|answer| **answer == (completing, true)).count();
    let (completed, reopened) = (changed(true), changed(false));
    let is_completed = lesson(&anna, id).await["status"] == "completed";
    assert_eq!(completed, reopened + usize::from(is_completed), "completions and reopenings take turns");
    let actions = logged(&app).await;
    let count = |action: &str| actions.iter().filter(|name| *name == action).count();
    assert_eq!((count("lesson.completed"), count("lesson.reopened")), (completed, reopened));
    assert_eq!(
        app.count("SELECT requested_seq FROM progress_dirty").await,
        i64::try_from(completed + reopened).unwrap()
    );
    let numbers = progress(&anna, path.id, "").await;
    assert_eq!(
        (&numbers["lessons_completed"], &numbers["is_current"]),
        (&json!(i32::from(is_completed)), &json!(true))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_completions_are_one() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let path = Course::new(&app).await.path(false, &[1]).await;
    let id = path.lessons[0][0];
    let answers = race(20, |_| completion_path(id), &anna).await;
    assert_eq!(answers.iter().filter(|answer| answer["is_changed"] == true).count(), 1);
    assert!(answers.iter().all(|answer| answer["completed_at"] == answers[0]["completed_at"]));
    assert_eq!(logged(&app).await, ["lesson.completed", "stage.achieved", "roadmap.achieved"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_checks_of_the_last_tasks_complete_once() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let course = Course::new(&app).await;
    for _ in 0..10 {
        let id = course.lesson("By tasks").await;
        course.complete_by_tasks(id).await;
        let tasks = [course.task(id, "One", true).await, course.task(id, "Two", true).await];
        let answers = race(2, |n| check_path(id, tasks[n]), &anna).await;
        assert!(answers.iter().all(|answer| answer["is_changed"] == true));
        assert_eq!(
            answers.iter().filter(|answer| answer["status"] == "completed").count(),
            1,
            "the later one completes"
        );
        assert_eq!(lesson(&anna, id).await["status"], "completed");
    }
    let actions = logged(&app).await;
    assert_eq!(actions.iter().filter(|action| *action == "lesson.completed").count(), 10);
    assert_eq!(actions.iter().filter(|action| *action == "task.checked").count(), 20);
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
