//! Queues.

use serde_json::{Value, json};

use super::{ids, with_jobs};

#[tokio::test]
async fn queues_tell_how_they_are() {
    let (_app, ada) = with_jobs().await;
    let queues = ada.get("/v1/admin/queues").await.expect(200).json["items"].clone();
    let names: Vec<&str> = queues.as_array().unwrap().iter().map(|q| q["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["activity", "likes", "maintenance", "progress", "progress-bulk", "replies"]);
    let likes = &queues[1];
    for (field, count) in [
        ("due", 1),
        ("scheduled", 1),
        ("retrying", 1),
        ("running", 1),
        ("dead", 1),
        ("workers", 1),
        ("done_last_hour", 0),
    ] {
        assert_eq!(likes[field], count, "{field} of {likes}");
    }
    assert!(likes["oldest_due_seconds"].as_f64().unwrap() >= 9.0);
    assert_eq!((&likes["paused_at"], &queues[5]["oldest_due_seconds"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn a_queue_is_paused_and_resumed() {
    let (app, ada) = with_jobs().await;
    sqlx::query("DELETE FROM apalis.jobs WHERE id <> 'due'").execute(app.app.pool()).await.unwrap();
    let path = "/v1/admin/queues/likes/pause";
    let paused = ada.put(path).await.expect(200).json;
    assert_eq!((&paused["name"], &paused["paused_by"]), (&json!("likes"), &json!(ada.id)));
    assert_eq!(ada.put(path).await.expect(200).json["paused_at"], paused["paused_at"], "once is enough");
    app.run_jobs().await;
    assert_eq!(ids(&ada, "?queue=likes&state=due").await, ["due"], "it waits");
    let resumed = ada.delete(path).await.expect(200).json;
    assert_eq!((&resumed["paused_at"], &resumed["paused_by"]), (&Value::Null, &Value::Null));
    ada.delete(path).await.expect(200);
    app.run_jobs().await;
    assert_eq!(ids(&ada, "?queue=likes&state=due").await, [""; 0]);
    let events: Vec<(String, Option<uuid::Uuid>, Value)> =
        sqlx::query_as("SELECT action, actor_id, metadata FROM activity_log ORDER BY occurred_at")
            .fetch_all(app.app.pool())
            .await
            .unwrap();
    let details = |before: bool| json!({"queue": "likes", "before": {"paused": before}, "after": {"paused": !before}});
    let expected = [
        ("queue.paused".to_owned(), Some(ada.id), details(false)),
        ("queue.resumed".to_owned(), Some(ada.id), details(true)),
    ];
    assert_eq!(events, expected);
}
