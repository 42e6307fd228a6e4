//! The tools and the quota.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::{ASSISTANT, IDEAS, TZ_HELPER, ask, asked, set};
use crate::support::TestApp;

#[tokio::test]
async fn the_quota_is_exact_when_many_ask_at_once() {
    let app = TestApp::new().await;
    set(&app, "ai.open_replies_per_user", 3).await;
    // Three chats could take three questions: the quota leaves two.
    set(&app, "ai.daily_questions", 2).await;
    let anna = app.student("anna").await;
    let barrier = Arc::new(Barrier::new(20));
    let mut calls = JoinSet::new();
    for n in 0..20 {
        let (anna, barrier) = (anna.clone(), barrier.clone());
        calls.spawn(async move {
            barrier.wait().await;
            ask(&anna, [ASSISTANT, TZ_HELPER, IDEAS][n % 3], "Now").await.status.as_u16()
        });
    }
    let statuses = calls.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 202).count(), 2, "{statuses:?}");
    assert!(statuses.iter().all(|status| [202, 409, 429].contains(status)), "{statuses:?}");
    assert_eq!(app.count("SELECT count(*) FROM ai_replies").await, 2);
    assert_eq!(app.count("SELECT count(*) FROM tool_messages").await, 2);
    app.run_jobs().await;
}

#[tokio::test]
async fn the_quota_is_of_the_last_24_hours() {
    let app = TestApp::new().await;
    set(&app, "ai.daily_questions", 2).await;
    let anna = app.student("anna").await;
    for n in 0..2 {
        asked(&anna, IDEAS, &format!("Question {n}")).await;
        app.run_jobs().await;
    }
    let refused = ask(&anna, IDEAS, "More").await.expect(429).problem("quota_exceeded");
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((86_300..=86_401).contains(&seconds), "{seconds}");
    let quota = anna.get("/v1/tools").await.expect(200).json["quota"].clone();
    assert_eq!((&quota["limit"], &quota["used"]), (&json!(2), &json!(2)));
    let resets_at: chrono::DateTime<chrono::Utc> = quota["resets_at"].as_str().unwrap().parse().unwrap();
    let oldest: chrono::DateTime<chrono::Utc> =
        sqlx::query_scalar("SELECT min(created_at) FROM ai_replies").fetch_one(app.app.pool()).await.unwrap();
    assert_eq!(resets_at, oldest + chrono::TimeDelta::days(1));
    assert!(refused.json["detail"].as_str().unwrap().contains(&resets_at.format("%Y-%m-%dT%H:%M").to_string()));
    // The first falls out of the window.
    sqlx::query("UPDATE ai_replies SET created_at = created_at - interval '1 day' WHERE question = 'Question 0'")
        .execute(app.app.pool())
        .await
        .unwrap();
    assert_eq!(anna.get("/v1/tools").await.json["quota"]["used"], 1);
    asked(&anna, IDEAS, "More").await;
    app.run_jobs().await;
    // A limit that was lowered: two have to fall out.
    set(&app, "ai.daily_questions", 1).await;
    let quota = anna.get("/v1/tools").await.json["quota"].clone();
    assert_eq!((&quota["limit"], &quota["used"]), (&json!(1), &json!(2)));
    assert!(quota["resets_at"].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap() > resets_at);
    set(&app, "ai.daily_questions", 0).await;
    let refused = ask(&anna, IDEAS, "None").await.expect(429).problem("quota_exceeded");
    assert_eq!(refused.header("retry-after"), "86401");
}
