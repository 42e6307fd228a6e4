//! Content as learners will see it.

use cairn_core::clock::new_id;
use serde_json::{Value, json};

use super::{act, admin_path, all, id_of, lesson, remove, some, tree};
use crate::support::TestApp;
use cairn_testing::course::Course;

#[tokio::test]
async fn a_draft_is_previewed_as_learners_will_see_it() {
    let app = TestApp::new().await;
    let (admin, anna) = (app.admin("root").await, app.student("anna").await);
    let course = Course::new(app.app.pool()).await;
    let path = course.path(false, &[2, 1]).await;
    let id = path.lessons[0][0];
    course.material(id, "A material").await;
    course.task(id, "A task", true).await;
    let (lesson_as_seen, tree_as_seen) = (lesson(&anna, id).await, tree(&anna, path.id).await);
    for statement in [
        "UPDATE course_modules SET publication = 'draft'",
        "UPDATE lessons SET publication = 'draft'",
        "UPDATE stages SET publication = 'draft'",
        "UPDATE roadmaps SET publication = 'draft'",
    ] {
        sqlx::query(statement).execute(app.app.pool()).await.unwrap();
    }
    let (of_lesson, of_roadmap) =
        (format!("{}/preview", admin_path("lessons", id)), format!("{}/preview", admin_path("roadmaps", path.id)));
    assert_eq!(admin.get(&of_lesson).await.expect(200).json, lesson_as_seen);
    assert_eq!(admin.get(&of_roadmap).await.expect(200).json, tree_as_seen);
}

#[tokio::test]
async fn a_preview_is_open_and_without_what_is_deleted() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    let path = Course::new(app.app.pool()).await.path(true, &[1, 2]).await;
    let (of_roadmap, last) = (format!("{}/preview", admin_path("roadmaps", path.id)), path.lessons[1][1]);
    act(&admin, &admin_path("lessons", path.lessons[1][0]), "archive").await.expect(200);
    let shown = admin.get(&of_roadmap).await.expect(200).json;
    assert_eq!(all(&shown["stages"], "status"), ["available", "available"], "nothing is locked");
    assert_eq!(some(&shown, &["lessons_total", "percent"]), json!({"lessons_total": 3, "percent": 0}));
    let of_last = format!("{}/preview", admin_path("lessons", last));
    assert_eq!(admin.get(&of_last).await.expect(200).json["is_locked"], false);
    remove(&admin, &admin_path("lessons", last)).await.expect(204);
    admin.get(&of_last).await.expect(404).problem("lesson_not_found");
    let shown = admin.get(&of_roadmap).await.expect(200).json;
    assert_eq!(some(&shown, &["lessons_total", "stages_total"]), json!({"lessons_total": 2, "stages_total": 2}));
    remove(&admin, &admin_path("roadmaps", path.id)).await.expect(204);
    admin.get(&of_roadmap).await.expect(404).problem("roadmap_not_found");
    admin.get(&format!("{}/preview", admin_path("lessons", new_id()))).await.expect(404).problem("lesson_not_found");

    let empty = admin.post("/v1/admin/roadmaps", json!({"slug": "empty", "title": "Empty"})).await.expect(201).json;
    let shown = admin.get(&format!("{}/preview", admin_path("roadmaps", id_of(&empty)))).await.expect(200).json;
    assert_eq!(some(&shown, &["stages", "percent"]), json!({"stages": [], "percent": Value::Null}));
    app.run_jobs().await;
}
