//! The lessons of a stage.

use cairn_core::clock::new_id;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{admin_path, all, complete, progress, remove, under_version};
use crate::support::{Actor, Reply, TestApp};
use cairn_testing::course::Course;

fn list_path(stage: Uuid) -> String {
    format!("/v1/admin/stages/{stage}/lessons")
}

async fn replace(admin: &Actor, stage: Uuid, lessons: Value) -> Reply {
    let path = list_path(stage);
    under_version(admin.put(&path).json(json!({"lessons": lessons})), admin, &path).await
}

#[tokio::test]
async fn the_list_is_replaced_at_once_under_the_version_of_the_stage() {
    let app = TestApp::new().await;
    let (admin, anna) = (app.admin("root").await, app.student("anna").await);
    let course = Course::new(app.app.pool()).await;
    let path = course.path(false, &[2]).await;
    let (stage, [one, two]) = (path.stages[0], path.lessons[0][..].try_into().unwrap());
    let three = course.lesson("Three").await;
    complete(&anna, one).await.expect(200);
    complete(&anna, three).await.expect(200);
    app.run_jobs().await;
    let listed = admin.get(&list_path(stage)).await.expect(200);
    assert_eq!(listed.header("etag"), "\"1\"");
    assert_eq!(all(&listed.json["lessons"], "title"), ["Lesson 1.1", "Lesson 1.2"]);
    assert_eq!(all(&listed.json["lessons"], "is_required"), [true, true]);

    let lessons = json!([{"lesson_id": three}, {"lesson_id": one, "is_required": false}]);
    let replaced = replace(&admin, stage, lessons.clone()).await.expect(200);
    assert_eq!((replaced.header("etag"), &replaced.json["version"]), ("\"2\"", &json!(2)));
    assert_eq!(all(&replaced.json["lessons"], "lesson_id"), [&json!(three), &json!(one)]);
    assert_eq!(admin.get(&list_path(stage)).await.expect(200).json, replaced.json);
    assert_eq!(admin.get(&admin_path("stages", stage)).await.expect(200).header("etag"), "\"2\"");
    app.run_jobs().await;
    assert_eq!(progress(&anna, path.id, "").await["percent"], 100, "what was done elsewhere counts");

    let same = replace(&admin, stage, lessons.clone()).await.expect(200);
    assert_eq!(same.header("etag"), "\"2\"", "a list that is so already is no change");
    let outdated = admin.put(&list_path(stage)).json(json!({"lessons": []})).header("If-Match", "\"1\"");
    outdated.await.expect(412).problem("version_mismatch");
    admin.put(&list_path(stage)).json(json!({"lessons": []})).invalid().await.expect(428);
    replace(&admin, stage, json!([{"lesson_id": two}])).await.expect(200);
    app.run_jobs().await;
    assert_eq!(progress(&anna, path.id, "").await["percent"], 0);

    let details: Vec<Value> =
        sqlx::query_scalar("SELECT metadata FROM activity_log WHERE action = 'stage.updated' ORDER BY occurred_at, id")
            .fetch_all(app.app.pool())
            .await
            .unwrap();
    let entry = |lesson, is_required| json!({"lesson_id": lesson, "is_required": is_required});
    assert_eq!(
        details,
        [
            json!({"before": {"lessons": [entry(one, true), entry(two, true)]},
                   "after": {"lessons": [entry(three, true), entry(one, false)]}}),
            json!({"before": {"lessons": [entry(three, true), entry(one, false)]},
                   "after": {"lessons": [entry(two, true)]}}),
        ]
    );
}

#[tokio::test]
async fn lessons_that_cannot_be_in_a_stage_are_named() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    let course = Course::new(app.app.pool()).await;
    let path = course.path(false, &[1]).await;
    let (stage, one, gone) = (path.stages[0], path.lessons[0][0], course.lesson("Gone").await);
    course.edit("UPDATE lessons SET deleted_at = now() WHERE id = $1", gone).await;
    let before = admin.get(&list_path(stage)).await.expect(200).json;
    let lessons = json!([{"lesson_id": one}, {"lesson_id": new_id()}, {"lesson_id": gone}, {"lesson_id": one}]);
    let refused = replace(&admin, stage, lessons).await.expect(422).problem("invalid_body");
    refused.blames(&[
        ("/lessons/1/lesson_id", "not_allowed"),
        ("/lessons/2/lesson_id", "not_allowed"),
        ("/lessons/3/lesson_id", "duplicate"),
    ]);
    assert_eq!(admin.get(&list_path(stage)).await.expect(200).json, before, "nothing is changed by what is refused");
    let unknown = list_path(new_id());
    admin.get(&unknown).await.expect(404).problem("stage_not_found");
    let put = admin.put(&unknown).json(json!({"lessons": []})).header("If-Match", "\"1\"");
    put.await.expect(404).problem("stage_not_found");
    app.run_jobs().await;
}

#[tokio::test]
async fn one_lesson_is_put_in_changed_and_taken_out() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    let course = Course::new(app.app.pool()).await;
    let path = course.path(false, &[1]).await;
    let (stage, one, two) = (path.stages[0], path.lessons[0][0], course.lesson("Two").await);
    let list = list_path(stage);
    let at = |lesson: Uuid| format!("{list}/{lesson}");
    let put = async |lesson, body: Value| under_version(admin.put(&at(lesson)).json(body), &admin, &list).await;
    let added = put(two, json!({})).await.expect(200);
    assert_eq!(all(&added.json["lessons"], "lesson_id"), [&json!(one), &json!(two)]);
    assert_eq!(added.header("etag"), "\"2\"");
    let optional = put(one, json!({"is_required": false})).await.expect(200).json;
    assert_eq!(all(&optional["lessons"], "is_required"), [false, true]);
    assert_eq!(put(one, json!({"is_required": false})).await.expect(200).json, optional, "once is enough");
    put(new_id(), json!({})).await.expect(404).problem("lesson_not_found");
    let removed = under_version(admin.delete(&at(one)), &admin, &list).await.expect(200);
    assert_eq!(all(&removed.json["lessons"], "lesson_id"), [&json!(two)]);
    let again = under_version(admin.delete(&at(one)), &admin, &list).await.expect(200);
    assert_eq!(again.json, removed.json);
    admin.delete(&at(two)).header("If-Match", "\"1\"").await.expect(412).problem("version_mismatch");
    app.run_jobs().await;
}

#[tokio::test]
async fn a_deleted_lesson_keeps_its_place() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    let path = Course::new(app.app.pool()).await.path(false, &[3]).await;
    let (stage, lesson) = (path.stages[0], admin_path("lessons", path.lessons[0][1]));
    remove(&admin, &lesson).await.expect(204);
    let listed = admin.get(&list_path(stage)).await.expect(200).json;
    assert_eq!(all(&listed["lessons"], "title"), ["Lesson 1.1", "Lesson 1.3"]);
    replace(&admin, stage, json!([{"lesson_id": path.lessons[0][0]}])).await.expect(200);
    super::act(&admin, &lesson, "restore").await.expect(200);
    let listed = admin.get(&list_path(stage)).await.expect(200).json;
    assert_eq!(all(&listed["lessons"], "title"), ["Lesson 1.1", "Lesson 1.2"]);
    app.run_jobs().await;
}
