//! What is a draft, archived or deleted is not there for learners, whichever way they try.

use poem::http::Method;
use serde_json::json;
use uuid::Uuid;

use super::{act, admin_path, all, check_path, complete, completion_path, lesson_path, progress, remove, tree};
use crate::support::{Actor, TestApp};
use cairn_testing::course::Course;

/// Every operation on a lesson.
async fn lesson_is_gone(anna: &Actor, lesson: Uuid, task: Uuid) {
    for (method, path) in [
        (Method::GET, lesson_path(lesson)),
        (Method::POST, format!("{}/start", lesson_path(lesson))),
        (Method::PUT, completion_path(lesson)),
        (Method::DELETE, completion_path(lesson)),
        (Method::PUT, check_path(lesson, task)),
        (Method::DELETE, check_path(lesson, task)),
    ] {
        anna.call(method, &path).await.expect(404).problem("lesson_not_found");
    }
}

#[tokio::test]
async fn hidden_lessons_are_not_found_and_count_for_nothing() {
    let app = TestApp::new().await;
    let (admin, anna) = (app.admin("root").await, app.student("anna").await);
    let course = Course::new(app.app.pool()).await;
    let path = course.path(false, &[2]).await;
    let [hidden, done] = path.lessons[0][..] else { panic!() };
    let task = course.task(hidden, "Task", true).await;
    complete(&anna, done).await.expect(200);
    app.run_jobs().await;
    assert_eq!(progress(&anna, path.id, "").await["percent"], 50);
    let (lesson, module) = (admin_path("lessons", hidden), admin_path("modules", course.module));
    let hides = async |percent| {
        lesson_is_gone(&anna, hidden, task).await;
        let shown = tree(&anna, path.id).await;
        assert!(!all(&shown["stages"][0]["lessons"], "id").contains(&&json!(hidden)), "{shown}");
        assert_eq!(shown["percent"], percent, "at once");
        app.run_jobs().await;
        assert_eq!(progress(&anna, path.id, "").await["percent"], percent, "and when it is recomputed");
    };
    act(&admin, &lesson, "archive").await.expect(200);
    hides(json!(100)).await;
    remove(&admin, &lesson).await.expect(204);
    hides(json!(100)).await;
    act(&admin, &lesson, "restore").await.expect(200);
    hides(json!(100)).await;
    act(&admin, &lesson, "publish").await.expect(200);
    app.run_jobs().await;
    assert_eq!(progress(&anna, path.id, "").await["percent"], 50);
    act(&admin, &module, "archive").await.expect(200);
    hides(json!(null)).await;
    remove(&admin, &module).await.expect(204);
    hides(json!(null)).await;
    act(&admin, &module, "restore").await.expect(200);
    act(&admin, &module, "publish").await.expect(200);
    app.run_jobs().await;
    assert_eq!(progress(&anna, path.id, "").await["percent"], 50, "nothing was lost");

    let created = admin.post(
        "/v1/admin/lessons",
        json!({"module_id": course.module, "slug": "new", "title": "New", "duration_minutes": 5,
               "tasks": [{"slug": "task", "title": "Task"}]}),
    );
    let created = created.await.expect(201).json;
    let task = created["tasks"][0]["id"].as_str().unwrap().parse().unwrap();
    lesson_is_gone(&anna, super::id_of(&created), task).await;
    app.run_jobs().await;
}

#[tokio::test]
async fn hidden_stages_and_roadmaps_are_not_found() {
    let app = TestApp::new().await;
    let (admin, anna) = (app.admin("root").await, app.student("anna").await);
    let path = Course::new(app.app.pool()).await.path(false, &[1, 1]).await;
    complete(&anna, path.lessons[0][0]).await.expect(200);
    app.run_jobs().await;
    let stage = admin_path("stages", path.stages[1]);
    for action in ["archive", "delete", "restore"] {
        match action {
            "delete" => remove(&admin, &stage).await.expect(204),
            action => act(&admin, &stage, action).await.expect(200),
        };
        let shown = tree(&anna, path.id).await;
        assert_eq!(all(&shown["stages"], "id"), [&json!(path.stages[0])]);
        assert_eq!((&shown["percent"], &shown["stages_total"]), (&json!(100), &json!(1)));
    }
    app.run_jobs().await;
    let roadmap = admin_path("roadmaps", path.id);
    for action in ["archive", "delete", "restore"] {
        match action {
            "delete" => remove(&admin, &roadmap).await.expect(204),
            action => act(&admin, &roadmap, action).await.expect(200),
        };
        for gone in [format!("/v1/roadmaps/{}", path.id), format!("/v1/roadmaps/{}/progress", path.id)] {
            anna.get(&gone).await.expect(404).problem("roadmap_not_found");
        }
        assert_eq!(anna.get("/v1/roadmaps").await.expect(200).json["items"], json!([]));
        assert_eq!(anna.get("/v1/me/progress").await.expect(200).json["roadmaps"], json!([]));
        app.run_jobs().await;
    }
    act(&admin, &roadmap, "publish").await.expect(200);
    act(&admin, &stage, "publish").await.expect(200);
    app.run_jobs().await;
    assert_eq!(progress(&anna, path.id, "").await["percent"], 50, "nothing was lost");
}
