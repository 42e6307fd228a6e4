//! Statistics of the tools.

use poem::http::Method;
use serde_json::json;

use super::{ASSISTANT, IDEAS, ask, asked, begin, complete, fail, id};
use crate::support::TestApp;

#[tokio::test]
async fn figures_say_what_was_asked_and_what_came_of_it() {
    let app = TestApp::new().await;
    let ada = app.admin("ada").await;
    let empty = ada.get("/v1/admin/tools/stats").await.expect(200).json;
    assert_eq!(empty, json!({"days": 7, "tools": [], "failures": [], "models": []}));
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    let done = asked(&anna, ASSISTANT, "One").await;
    complete(&app, &begin(&app, done).await.unwrap(), "x").await;
    let failed = asked(&anna, ASSISTANT, "Two").await;
    begin(&app, failed).await.unwrap();
    fail(&app, &begin(&app, failed).await.unwrap()).await;
    let cancelled = asked(&anna, ASSISTANT, "Three").await;
    anna.call(Method::POST, &format!("/v1/replies/{cancelled}/cancel")).await.expect(200);
    asked(&ben, ASSISTANT, "Four").await;
    let old = id(&ask(&ben, IDEAS, "Five").await.expect(202).json["reply_id"]);
    sqlx::query("UPDATE ai_replies SET created_at = now() - interval '10 days' WHERE id = $1")
        .bind(old)
        .execute(app.app.pool())
        .await
        .unwrap();
    let stats = ada.get("/v1/admin/tools/stats").await.expect(200).json;
    assert_eq!(stats["tools"].as_array().unwrap().len(), 1);
    let tool = &stats["tools"][0];
    for (member, expected) in [
        ("questions", 4),
        ("learners", 2),
        ("open", 1),
        ("completed", 1),
        ("failed", 1),
        ("cancelled", 1),
        ("attempts", 3),
        ("prompt_tokens", 3),
        ("completion_tokens", 5),
    ] {
        assert_eq!(tool[member], expected, "{member}: {tool}");
    }
    assert!(tool["answer_seconds_p50"].as_f64().unwrap() >= 0.0);
    let failures: Vec<(&str, i64, i64)> = stats["failures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (f["reason"].as_str().unwrap(), f["replies"].as_i64().unwrap(), f["attempts"].as_i64().unwrap()))
        .collect();
    assert_eq!(failures, [("provider_error", 1, 1), ("superseded", 0, 1)]);
    let models: Vec<(&str, i64)> = stats["models"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| (m["model"].as_str().unwrap_or("-"), m["attempts"].as_i64().unwrap()))
        .collect();
    assert_eq!(models, [("-", 2), ("m", 1)]);
    let month = ada.get("/v1/admin/tools/stats?days=30").await.expect(200).json;
    assert_eq!((&month["days"], &month["tools"][1]["questions"]), (&json!(30), &json!(1)));
    for days in ["0", "91", "x"] {
        ada.get(&format!("/v1/admin/tools/stats?days={days}")).invalid().await.expect(400);
    }
    app.run_jobs().await;
}
