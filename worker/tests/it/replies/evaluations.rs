//! Runs of evaluations, with a provider that fails.

use cairn_core::actor::{Caller, Role};
use cairn_core::settings::Settings;
use cairn_core::tools::attempts::Usage;
use cairn_core::tools::instructions::{self, Draft};
use cairn_core::tools::{Reason, Tool, evaluation_attempts as attempts, evaluation_runs as runs};
use cairn_testing::eventually;
use serde_json::json;
use uuid::Uuid;

use super::ReplyHarness;

/// Begins a run of an evaluation with these questions. Returns its id.
async fn begin_run(fixture: &ReplyHarness, questions: &[&str]) -> Uuid {
    let cases: Vec<_> =
        questions.iter().map(|question| json!({"question": question, "contains": [], "excludes": []})).collect();
    let evaluation: Uuid = sqlx::query_scalar(
        "INSERT INTO ai_evaluations (tool_type, name, cases) VALUES ('assistant', 'Evaluation', $1) RETURNING id",
    )
    .bind(json!(cases))
    .fetch_one(fixture.harness.pool())
    .await
    .unwrap();
    let admin = Caller { role: Role::Admin, ..fixture.learner().await };
    let draft = Draft {
        content: "Be brief.".into(),
        model: None,
        temperature: None,
        max_tokens: 300,
        include_learner: false,
        show_thinking: false,
    };
    let mut tx = fixture.harness.db.begin_as(&admin).await.unwrap();
    let version = instructions::create(&mut tx, Tool::Assistant, &draft).await.unwrap().version;
    let run = runs::create(&mut tx, &Settings::default(), evaluation, version, None).await.unwrap();
    tx.commit().await.unwrap();
    run.id
}

async fn state(fixture: &ReplyHarness, run: Uuid) -> String {
    sqlx::query_scalar("SELECT state::text FROM ai_evaluation_runs WHERE id = $1")
        .bind(run)
        .fetch_one(fixture.harness.pool())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_waits_while_the_provider_is_busy() {
    let fixture = ReplyHarness::new().await;
    let run = begin_run(&fixture, &["stub:words=3 One?", "stub:words=4,fault=429,times=1 Two?"]).await;
    let worker = fixture.harness.start();
    eventually("the run is over", async || {
        fixture.make_due().await;
        state(&fixture, run).await != "running"
    })
    .await;
    worker.stop().await;
    assert_eq!(state(&fixture, run).await, "completed");
    assert_eq!(fixture.stub.calls("words=4,fault=429,times=1"), 3, "once more than there are versions");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_was_overtaken_changes_nothing() {
    let fixture = ReplyHarness::new().await;
    let run = begin_run(&fixture, &["One?"]).await;
    let mut connection = fixture.harness.pool().acquire().await.unwrap();
    let first = attempts::begin(&mut connection, run, None).await.unwrap().unwrap();
    let second = attempts::begin(&mut connection, run, None).await.unwrap().unwrap();
    let usage = Usage::default();
    assert!(!attempts::finish(&mut connection, &first, "", Some(Reason::BrokenOff), &usage).await.unwrap());
    assert_eq!(state(&fixture, run).await, "running");
    assert!(attempts::finish(&mut connection, &second, "An answer", None, &usage).await.unwrap());
    assert!(!attempts::finish(&mut connection, &first, "Another one", None, &usage).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_ends_when_a_budget_is_used_up() {
    let fixture = ReplyHarness::new().await;
    let budgets = json!([{"scope": "assistant", "period": "month", "unit": "tokens", "amount": 5}]);
    sqlx::query("INSERT INTO platform_settings (key, value) VALUES ('ai.budgets', $1)")
        .bind(budgets)
        .execute(fixture.harness.pool())
        .await
        .unwrap();
    let run = begin_run(&fixture, &["stub:words=8 One?", "stub:words=9 Two?"]).await;
    let worker = fixture.harness.start();
    eventually("the run is over", async || state(&fixture, run).await != "running").await;
    worker.stop().await;
    let reason: String =
        sqlx::query_scalar("SELECT reason FROM ai_evaluation_runs").fetch_one(fixture.harness.pool()).await.unwrap();
    assert_eq!((state(&fixture, run).await.as_str(), reason.as_str()), ("failed", "budget_exceeded"));
    assert_eq!((fixture.stub.calls("words=8"), fixture.stub.calls("words=9")), (1, 0));
}

/// Each attempt was paid for, whether an answer came of it or not.
#[tokio::test]
async fn what_earlier_attempts_used_is_added() {
    let fixture = ReplyHarness::new().await;
    let run = begin_run(&fixture, &["One?"]).await;
    let mut connection = fixture.harness.pool().acquire().await.unwrap();
    let usage =
        Usage { prompt_tokens: Some(20), completion_tokens: Some(3), cost_micros: Some(50), ..Usage::default() };
    let lost = attempts::begin(&mut connection, run, None).await.unwrap().unwrap();
    attempts::asking(&mut connection, &lost, 11).await.unwrap();
    let stopped = attempts::begin(&mut connection, run, None).await.unwrap().unwrap();
    attempts::asking(&mut connection, &stopped, 12).await.unwrap();
    attempts::record(&mut connection, &stopped, &usage).await.unwrap();
    let third = attempts::begin(&mut connection, run, None).await.unwrap().unwrap();
    attempts::asking(&mut connection, &third, 13).await.unwrap();
    attempts::asking(&mut connection, &lost, 999).await.unwrap();
    assert!(attempts::finish(&mut connection, &third, "An answer", None, &usage).await.unwrap());
    let used: (i32, i32, i64, bool) = sqlx::query_as(
        "SELECT prompt_tokens, completion_tokens, cost_micros, is_estimate FROM ai_evaluation_answers
         WHERE finished_at IS NOT NULL",
    )
    .fetch_one(&mut *connection)
    .await
    .unwrap();
    assert_eq!(used, (11 + 20 + 20, 6, 100, true));
    assert_eq!(fixture.count("SELECT tokens FROM ai_spending").await, 57);
}
