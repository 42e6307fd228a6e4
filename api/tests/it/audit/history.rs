//! The history of an object.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{logged, nothing};
use crate::support::TestApp;

#[tokio::test]
async fn a_history_has_every_change_with_before_and_after_and_nothing_else() {
    let app = TestApp::new().await;
    let (root, anna) = (app.admin("root").await, app.student("anna").await);
    let body = json!({"slug": "swiss-grid", "title": "Swiss grid", "category": "minimal"});
    let style = root.post("/v1/admin/styles", body).await.expect(201).json;
    let id = style["id"].as_str().unwrap();
    let change = root.patch(&format!("/v1/admin/styles/{id}"), json!({"title": "Grid"})).header("If-Match", "\"1\"");
    change.await.expect(200);
    let publish = root.call(poem::http::Method::POST, &format!("/v1/admin/styles/{id}/publish"));
    publish.header("If-Match", "\"2\"").await.expect(200);
    let used = anna.call(poem::http::Method::POST, &format!("/v1/styles/{id}/uses"));
    used.await.expect(204);
    app.run_jobs().await;

    let path = format!("/v1/admin/history/style/{id}");
    let history = root.get(&path).await.expect(200).json;
    let actions: Vec<&str> =
        history["items"].as_array().unwrap().iter().map(|item| item["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["style.published", "style.updated", "style.created"]);
    let updated = &history["items"][1];
    assert_eq!((&updated["before"], &updated["after"]), (&json!({"title": "Swiss grid"}), &json!({"title": "Grid"})));
    assert_eq!((&updated["actor_id"], &updated["actor_email"]), (&json!(root.id), &json!("root@example.test")));
    assert_eq!(history["items"][2]["title"], "Swiss grid");

    let first = root.get(&format!("{path}?limit=2")).await.expect(200).json;
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = root.get(&format!("{path}?limit=2&cursor={cursor}")).await.expect(200).json;
    assert_eq!((&second["items"][0], &second["next_cursor"]), (&history["items"][2], &Value::Null));
    let other = root.get(&format!("/v1/admin/history/lesson/{id}")).await.expect(200).json;
    assert_eq!(other["items"], json!([]), "another type");
}

/// As long as the object exists, its changes are found among whatever learners did with it.
#[tokio::test]
async fn changes_are_read_without_what_learners_did() {
    let app = TestApp::new().await;
    let (root, lesson) = (app.admin("root").await, Uuid::from_u128(1));
    let target = Some(("lesson", lesson, "Hello"));
    logged(
        &app,
        "2026-10-01T00:00:00Z",
        root.id,
        "lesson.updated",
        target,
        json!({"before": {"a": 1}, "after": {"a": 2}}),
    )
    .await;
    for _ in 0..5 {
        logged(&app, "2026-10-02T00:00:00Z", root.id, "lesson.completed", target, nothing()).await;
    }
    let history = root.get(&format!("/v1/admin/history/lesson/{lesson}?limit=1")).await.expect(200).json;
    assert_eq!((&history["items"][0]["action"], &history["next_cursor"]), (&json!("lesson.updated"), &Value::Null));
}
