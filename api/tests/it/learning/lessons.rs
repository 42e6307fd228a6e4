//! Lessons: their content, and what locks them.

use poem::http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{all, check, complete, lesson, lesson_path, some, start, tree, uncheck, uncomplete};
use crate::support::{Actor, TestApp};
use cairn_testing::course::Course;

#[tokio::test]
async fn a_lesson_shows_everything_about_it() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let course = Course::new(app.app.pool()).await;
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
    let path = Course::new(app.app.pool()).await.path(true, &[2, 1]).await;
    let next = path.lessons[1][0];
    complete(&anna, path.lessons[0][0]).await.expect(200);
    let refused = complete(&anna, next).await.expect(409).problem("stage_locked");
    assert_eq!(refused.json["detail"], "The stage “Stage 2” opens after “Stage 1” (1 of 2 lessons).");
    let missing = json!({"stage_id": path.stages[0], "title": "Stage 1", "lessons_total": 2, "lessons_completed": 1});
    assert_eq!(refused.json["locked_by"], json!([missing]));
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
    let course = Course::new(app.app.pool()).await;
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
    let course = Course::new(app.app.pool()).await;
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
    let course = Course::new(app.app.pool()).await;
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
    let course = Course::new(app.app.pool()).await;
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
async fn what_is_not_visible_does_not_exist() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let course = Course::new(app.app.pool()).await;
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

/// No number is stored, as when a roadmap is being recomputed: who writes is let in by the facts, by the rule that is shown.
#[tokio::test]
async fn without_a_rollup_the_facts_let_writers_in() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let course = Course::new(app.app.pool()).await;
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
