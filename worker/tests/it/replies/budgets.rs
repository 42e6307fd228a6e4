//! Budgets of the tools, with a worker and a provider.

use std::collections::HashMap;
use std::time::Duration;

use cairn_core::admin::verify::{Mode, verify};
use cairn_core::config::{AiConfig, Price};
use cairn_core::settings::Settings;
use cairn_core::tools::questions::{self, Question};
use cairn_core::tools::{Tool, prices};
use cairn_testing::eventually;
use serde_json::{Value, json};
use uuid::Uuid;

use super::ReplyHarness;

async fn with_prices() -> ReplyHarness {
    let mut fixture = ReplyHarness::new().await;
    fixture.ai().prices = HashMap::from([("default-model".to_owned(), Price { input: 2.0, output: 10.0 })]);
    fixture
}

async fn set_budgets(fixture: &ReplyHarness, budgets: Value) -> Settings {
    sqlx::query("INSERT INTO platform_settings (key, value) VALUES ('ai.budgets', $1) ON CONFLICT (key) DO UPDATE SET value = $1")
        .bind(budgets)
        .execute(fixture.harness.pool())
        .await
        .unwrap();
    cairn_core::settings::load(&mut fixture.harness.pool().acquire().await.unwrap()).await.unwrap()
}

/// Asks as a new learner under these settings.
async fn ask(fixture: &ReplyHarness, settings: &Settings, text: &str) -> Uuid {
    let learner = fixture.learner().await;
    let mut tx = fixture.harness.db.begin_as(&learner).await.unwrap();
    let question = Question { tool: Tool::Assistant, text, transferred_from: None };
    let accepted = questions::ask(&mut tx, settings, &question).await.unwrap();
    tx.commit().await.unwrap();
    accepted.reply_id
}

/// Tokens, cost and what is reserved, of all days.
async fn spent(fixture: &ReplyHarness) -> (i64, i64, i64) {
    sqlx::query_as(
        "SELECT coalesce(sum(tokens), 0)::bigint, coalesce(sum(cost_micros), 0)::bigint,
             coalesce(sum(reserved_tokens + reserved_micros), 0)::bigint FROM ai_spending",
    )
    .fetch_one(fixture.harness.pool())
    .await
    .unwrap()
}

async fn attempts(fixture: &ReplyHarness) -> (i64, i64) {
    sqlx::query_as(
        "SELECT coalesce(sum(prompt_tokens + completion_tokens), 0)::bigint, coalesce(sum(cost_micros), 0)::bigint
         FROM ai_reply_attempts",
    )
    .fetch_one(fixture.harness.pool())
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn admins_are_warned_once_when_four_fifths_are_spent() {
    let fixture = with_prices().await;
    let budgets = json!([{"scope": "platform", "period": "month", "unit": "cost_micros", "amount": 100}]);
    let settings = set_budgets(&fixture, budgets).await;
    let worker = fixture.harness.start();
    eventually("the prices are stored", async || fixture.count("SELECT count(*) FROM ai_models").await == 1).await;
    let reply = ask(&fixture, &settings, "stub:words=40 Hello?").await;
    fixture.completed(reply).await;
    let warned = async || fixture.count("SELECT count(*) FROM activity_log WHERE action = 'budget.warned'").await;
    eventually("admins are warned", async || warned().await == 1).await;
    let (_, cost, reserved) = spent(&fixture).await;
    assert!(cost >= 400 && reserved == 0, "{cost}");
    // Try-outs and replies without the check of the budget go on, and nobody is warned again.
    let reply = fixture.ask("stub:words=10 Hello?").await;
    fixture.completed(reply).await;
    worker.stop().await;
    assert_eq!(fixture.count("SELECT count(*) FROM ai_budget_warnings").await, 1);
    assert_eq!(warned().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_is_not_attempted_again_when_its_attempts_have_used_up_a_budget() {
    let fixture = with_prices().await;
    let budget = |amount: i64| json!([{"scope": "learner", "period": "day", "unit": "tokens", "amount": amount}]);
    let settings = set_budgets(&fixture, budget(20)).await;
    let script = "words=40,at=30,fault=disconnect";
    let reply = ask(&fixture, &settings, &format!("stub:{script} Hello?")).await;
    let worker = fixture.harness.start();
    let stored = fixture.finished(reply).await;
    assert_eq!((stored.state.as_str(), stored.reason.as_deref()), ("failed", Some("budget_exceeded")), "{stored:?}");
    assert_eq!(fixture.stub.calls(script), 1);
    assert_eq!(spent(&fixture).await.2, 0);
    // Failures that cost nothing are no reason to stop.
    let settings = set_budgets(&fixture, budget(30)).await;
    let reply = ask(&fixture, &settings, "stub:words=3,fault=500,times=2 Hello?").await;
    fixture.completed(reply).await;
    worker.stop().await;
    assert_eq!(fixture.harness.count("replies", "Killed").await, 0, "no operator can do anything about it");
}

/// Another worker with another list of prices, and one that needs none, do not take away the prices of the first.
#[tokio::test]
async fn workers_with_different_prices_know_all_of_them() {
    let mut fixture = with_prices().await;
    let mut connection = fixture.harness.pool().acquire().await.unwrap();
    let first = fixture.ai().clone();
    let second = AiConfig {
        model: "other".to_owned(),
        prices: HashMap::from([("other".to_owned(), Price { input: 1.0, output: 1.0 })]),
        ..first.clone()
    };
    prices::publish(&mut connection, Some(&first)).await.unwrap();
    prices::publish(&mut connection, Some(&second)).await.unwrap();
    prices::publish(&mut connection, None).await.unwrap();
    let costs = "SELECT ARRAY[ai_cost('default-model', 10, 1), ai_cost('other', 10, 1), ai_cost(NULL, 10, 1), ai_cost('x', 1, 1)]";
    let costs: Vec<Option<i64>> = sqlx::query_scalar(costs).fetch_one(&mut *connection).await.unwrap();
    assert_eq!(costs, [Some(30), Some(11), Some(11), None]);
    prices::publish(&mut connection, Some(&first)).await.unwrap();
    let default: Option<i64> =
        sqlx::query_scalar("SELECT ai_cost(NULL, 10, 1)").fetch_one(&mut *connection).await.unwrap();
    assert_eq!(default, Some(30));
}

/// What the worker stores as it goes is all that is left of its attempt.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_leaves_the_cost_of_its_attempt_and_no_reservation() {
    let fixture = with_prices().await;
    let budgets = json!([{"scope": "platform", "period": "day", "unit": "tokens", "amount": 1_000_000}]);
    let settings = set_budgets(&fixture, budgets).await;
    let worker = fixture.harness.start();
    eventually("the prices are stored", async || fixture.count("SELECT count(*) FROM ai_models").await == 1).await;
    worker.stop().await;
    let reply = ask(&fixture, &settings, "stub:words=10 Hello?").await;
    assert!(spent(&fixture).await.2 > 0);
    // As it is left by a worker that was killed in the middle of an answer.
    sqlx::raw_sql(
        "UPDATE ai_replies SET state = 'streaming', attempt = 1, started_at = now();
         INSERT INTO ai_reply_attempts (reply_id, attempt, provider) SELECT id, 1, 'stub' FROM ai_replies;
         UPDATE ai_reply_attempts SET prompt_tokens = 50, is_estimate = true;
         INSERT INTO ai_reply_chunks (reply_id, attempt, seq, content)
         SELECT id, 1, n, 'four' FROM ai_replies, generate_series(1, 3) n",
    )
    .execute(fixture.harness.pool())
    .await
    .unwrap();
    assert_eq!(spent(&fixture).await.0, 50, "it is billed from the moment in which it was accepted");
    let worker = fixture.harness.start();
    fixture.completed(reply).await;
    worker.stop().await;
    let lost: (i32, i32, i64) = sqlx::query_as(
        "SELECT prompt_tokens, completion_tokens, cost_micros FROM ai_reply_attempts WHERE reason = 'superseded'",
    )
    .fetch_one(fixture.harness.pool())
    .await
    .unwrap();
    assert_eq!(lost, (50, 3, 130));
    let (tokens, cost, reserved) = spent(&fixture).await;
    assert_eq!(((tokens, cost), reserved), (attempts(&fixture).await, 0));
    let report = verify(fixture.harness.pool(), Mode::WhileRunning).await.unwrap();
    assert!(report.is_clean(), "{report:#?}");
}

/// Whatever the end of each attempt is, what was spent is the sum of the attempts.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_spent_is_what_the_attempts_used() {
    let fixture = with_prices().await;
    let budgets = json!([{"scope": "learner", "period": "month", "unit": "tokens", "amount": 1_000_000}]);
    let settings = set_budgets(&fixture, budgets).await;
    let worker = fixture.harness.start();
    for script in ["stub:words=40 Hi", "stub:words=20,at=10,fault=disconnect,times=1 Hi", "stub:fault=401 Hi"] {
        let reply = ask(&fixture, &settings, script).await;
        fixture.finished(reply).await;
    }
    worker.stop().await;
    let (tokens, cost, reserved) = spent(&fixture).await;
    assert_eq!(((tokens, cost), reserved), (attempts(&fixture).await, 0));
    assert!(tokens > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_that_are_locked_for_a_while_cost_no_second_call() {
    let mut fixture = with_prices().await;
    // Less than the worker waits for the sums, for which the provider is not answerable.
    fixture.ai().limits.first_token = Duration::from_secs(3);
    let worker = fixture.harness.start();
    let first = fixture.ask("stub:words=3 Hello?").await;
    fixture.completed(first).await;
    for (script, is_asked_first) in [("words=6", false), ("words=7,headers=1500", true)] {
        let mut holder = fixture.harness.pool().begin().await.unwrap();
        let lock = "SELECT FROM ai_spending FOR UPDATE";
        if !is_asked_first {
            sqlx::query(lock).execute(&mut *holder).await.unwrap();
        }
        let reply = fixture.ask(&format!("stub:{script} Hello again?")).await;
        if is_asked_first {
            eventually("the provider is asked", async || fixture.stub.open() == 1).await;
            sqlx::query(lock).execute(&mut *holder).await.unwrap();
        }
        // Longer than statements wait for a lock.
        for _ in 0..4 {
            eventually("the worker waits for the sums", async || fixture.harness.is_lock_awaited().await).await;
            eventually("the worker has given up", async || !fixture.harness.is_lock_awaited().await).await;
        }
        eventually("the worker tries again", async || fixture.harness.is_lock_awaited().await).await;
        holder.rollback().await.unwrap();
        let stored = fixture.completed(reply).await;
        assert_eq!((stored.attempt, fixture.stub.calls(script)), (1, 1), "{stored:?}");
    }
    let (tokens, cost, _) = spent(&fixture).await;
    assert_eq!((tokens, cost), attempts(&fixture).await);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_of_a_tool_that_are_wrong_are_found() {
    let fixture = with_prices().await;
    let worker = fixture.harness.start();
    let reply = fixture.ask("stub:words=3 Hello?").await;
    fixture.completed(reply).await;
    worker.stop().await;
    let found = async || verify(fixture.harness.pool(), Mode::WhileRunning).await.unwrap().findings.len();
    assert_eq!(found().await, 0);
    for (wrong, right) in [
        ("UPDATE ai_spending SET reserved_tokens = 1000000", "UPDATE ai_spending SET reserved_tokens = 0"),
        ("UPDATE ai_spending SET tokens = tokens - 1", "UPDATE ai_spending SET tokens = tokens + 1"),
        (
            "UPDATE ai_spending SET cost_micros = cost_micros - 1",
            "UPDATE ai_spending SET cost_micros = cost_micros + 1",
        ),
    ] {
        sqlx::query(wrong).execute(fixture.harness.pool()).await.unwrap();
        assert_eq!(found().await, 1, "{wrong}");
        sqlx::query(right).execute(fixture.harness.pool()).await.unwrap();
    }
}
