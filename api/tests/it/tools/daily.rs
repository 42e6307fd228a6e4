//! Figures of the tools by day.

use cairn_core::tools::attempts::{self, Usage};
use serde_json::{Value, json};

use super::{ASSISTANT, IDEAS, asked, begin, complete, fail};
use crate::support::TestApp;

#[tokio::test]
async fn figures_are_by_day_in_a_time_zone_and_by_tool() {
    let app = TestApp::new().await;
    app.leave_jobs();
    let (admin, anna) = (app.admin("root").await, app.student("anna").await);
    let first = asked(&anna, ASSISTANT, "One?").await;
    fail(&app, &begin(&app, first).await.unwrap()).await;
    let second = asked(&anna, ASSISTANT, "Two?").await;
    let lost = begin(&app, second).await.unwrap();
    attempts::asking(&mut app.app.pool().acquire().await.unwrap(), &lost, 7).await.unwrap();
    let attempt = begin(&app, second).await.unwrap();
    let mut tx = app.app.db.begin().await.unwrap();
    let usage = Usage {
        prompt_tokens: Some(10),
        completion_tokens: Some(20),
        thinking_tokens: Some(5),
        cost_micros: Some(99),
        first_token: Some(std::time::Duration::from_millis(300)),
        ..Usage::default()
    };
    attempts::complete(&mut tx, &attempt, "Two", &usage).await.unwrap();
    tx.commit().await.unwrap();
    let idea = asked(&anna, IDEAS, "Three?").await;
    complete(&app, &begin(&app, idea).await.unwrap(), "Three").await;
    // Asked at 22:30 UTC, which is the next day in Moscow.
    sqlx::query("UPDATE ai_replies SET created_at = timestamptz '2026-03-01 22:30 UTC'")
        .execute(app.app.pool())
        .await
        .unwrap();
    let get = async |query: &str| admin.get(&format!("/v1/admin/tools/daily?{query}")).await;
    let days = get("from=2026-03-01&to=2026-03-02").await.expect(200).json;
    assert_eq!(
        (&days["from"], &days["to"], &days["time_zone"]),
        (&json!("2026-03-01"), &json!("2026-03-02"), &json!("UTC"))
    );
    let [assistant, ideas] = &days["days"].as_array().unwrap()[..] else { panic!("{days}") };
    assert_eq!((&assistant["date"], &assistant["tool_type"]), (&json!("2026-03-01"), &json!("assistant")));
    assert_eq!(
        assistant["ends"],
        json!([
            {"end": "completed", "attempts": 1}, {"end": "provider_error", "attempts": 1}, {"end": "superseded", "attempts": 1}
        ])
    );
    let numbers =
        |row: &Value, names: &[&str]| names.iter().map(|name| row[*name].as_f64().unwrap()).collect::<Vec<_>>();
    assert_eq!(
        numbers(
            assistant,
            &[
                "questions",
                "prompt_tokens",
                "completion_tokens",
                "thinking_tokens",
                "cost_micros",
                "estimated_attempts",
                "first_token_ms_p50"
            ]
        ),
        [2.0, 17.0, 20.0, 5.0, 99.0, 1.0, 300.0]
    );
    assert_eq!((&ideas["questions"], &ideas["unanswered"]), (&json!(1), &json!(1)));
    let moscow = get("from=2026-03-01&to=2026-03-02&time_zone=Europe/Moscow&tool_type=ideas").await.expect(200).json;
    assert_eq!((moscow["days"].as_array().unwrap().len(), &moscow["days"][0]["date"]), (1, &json!("2026-03-02")));
    get("from=2026-03-02&to=2026-03-01").await.expect(400);
    get("from=2026-01-01&to=2026-12-01").await.expect(400);
    get("time_zone=Mars/Olympus").await.expect(400);
    assert_eq!(get("").await.expect(200).json["days"], json!([]), "nothing lately");
}
