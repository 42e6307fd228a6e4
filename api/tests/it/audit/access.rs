//! What leaves a trace though nothing is changed: reading what is private, and trying what is not allowed.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::TestApp;
use crate::tools::{ASSISTANT, asked};

/// The action, the actor and the details of what was recorded, in its order.
async fn recorded(app: &TestApp, actions: &[&str]) -> Vec<(String, Option<Uuid>, Value)> {
    app.run_jobs().await;
    let rows = sqlx::query_as(
        "SELECT action, actor_id, metadata FROM activity_log WHERE action = ANY ($1) ORDER BY occurred_at, id",
    );
    rows.bind(actions).fetch_all(app.app.pool()).await.unwrap()
}

async fn counted(app: &TestApp, event: &str) -> String {
    let metrics = app.app.metrics.render().await.unwrap();
    let name = format!("cairn_security_events_total{{event=\"{event}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&name)).unwrap().to_owned()
}

#[tokio::test]
async fn whoever_reads_private_chats_leaves_a_trace() {
    let app = TestApp::new().await;
    let (ada, anna) = (app.admin("ada").await, app.student("anna").await);
    asked(&anna, ASSISTANT, "Am I alone?").await;
    app.run_jobs().await;
    let chat = ada.get("/v1/admin/chats").await.expect(200).json["items"][0]["id"].as_str().unwrap().to_owned();
    ada.get(&format!("/v1/admin/chats/{chat}/messages")).await.expect(200);
    ada.get(&format!("/v1/admin/chats/export?user_id={}", anna.id)).await.expect(200);
    ada.get("/v1/admin/activity/export?action=question.asked").await.expect(200);
    // Nothing was read here.
    ada.get(&format!("/v1/admin/chats/{}/messages", Uuid::from_u128(1))).await.expect(404);

    let traces = recorded(&app, &["chat.read", "chat.exported", "activity.exported"]).await;
    let nothing = Value::Null;
    let expected = [
        ("chat.read", json!({ "user_id": anna.id })),
        ("chat.exported", json!({ "tool_type": nothing, "user_id": anna.id })),
        (
            "activity.exported",
            json!({ "user_id": nothing, "action": "question.asked", "target_type": nothing, "target_id": nothing,
                    "from": nothing, "to": nothing }),
        ),
    ];
    assert_eq!(traces, expected.map(|(action, details)| (action.to_owned(), Some(ada.id), details)));
    for event in ["chat_read", "chats_exported", "activity_exported"] {
        assert_eq!(counted(&app, event).await, "1", "{event}");
    }
}

#[tokio::test]
async fn whoever_tries_what_is_not_allowed_is_seen_and_fills_no_table() {
    let app = TestApp::new().await;
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    for _ in 0..20 {
        anna.get("/v1/admin/users?q=a").await.expect(403).problem("forbidden");
    }
    ben.get("/v1/mentor/students").await.expect(403);
    app.app.db.clock().advance(chrono::TimeDelta::seconds(61));
    anna.get("/v1/admin/jobs").await.expect(403);

    let expected = [(anna.id, "/v1/admin/users"), (ben.id, "/v1/mentor/students"), (anna.id, "/v1/admin/jobs")];
    let expected = expected
        .map(|(actor, path)| ("operation.refused".to_owned(), Some(actor), json!({ "method": "GET", "path": path })));
    assert_eq!(recorded(&app, &["operation.refused"]).await, expected);
    assert_eq!(counted(&app, "forbidden").await, "22");
}
