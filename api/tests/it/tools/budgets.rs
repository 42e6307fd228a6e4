//! Budgets of the tools.

use std::sync::Arc;

use cairn_core::admin::verify::{Mode, verify};
use cairn_core::tools::attempts::{self, Usage};
use cairn_core::tools::{Reason, Tool, budgets};
use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use poem::http::Method;
use serde_json::{Value, json};
use tokio::sync::Barrier;
use uuid::Uuid;

use super::{ASSISTANT, IDEAS, TZ_HELPER, append, ask, asked, begin, fail, give_up};
use crate::support::{Actor, Reply, TestApp};

async fn set_budgets(app: &TestApp, admin: &Actor, budgets: Value) {
    let path = "/v1/admin/settings/ai.budgets";
    let version = admin.get(path).await.expect(200).header("etag").to_owned();
    admin.call(Method::PUT, path).header("If-Match", &version).json(json!({"value": budgets})).await.expect(200);
    app.app.settings.invalidate();
}

fn budget(scope: &str, period: &str, unit: &str, amount: i64) -> Value {
    json!({"scope": scope, "period": period, "unit": unit, "amount": amount})
}

/// A price for the default model: a token of a request costs 2, one of an answer 10.
async fn set_prices(app: &TestApp) {
    sqlx::query("INSERT INTO ai_models VALUES ('m', true, 2, 10, 8000)").execute(app.app.pool()).await.unwrap();
}

/// Has a reply completed, whose answer took so many tokens.
async fn answer(app: &TestApp, reply_id: Uuid, prompt: i32, completion: i32) {
    let attempt = begin(app, reply_id).await.unwrap();
    let mut tx = app.app.db.begin().await.unwrap();
    let usage = Usage {
        model: Some("m".into()),
        prompt_tokens: Some(prompt),
        completion_tokens: Some(completion),
        cost_micros: Some(i64::from(prompt) * 2 + i64::from(completion) * 10),
        ..Usage::default()
    };
    assert!(attempts::complete(&mut tx, &attempt, "An answer", &usage).await.unwrap());
    tx.commit().await.unwrap();
}

/// Spent and reserved, of each budget.
async fn used(admin: &Actor) -> Vec<(i64, i64)> {
    let budgets = admin.get("/v1/admin/tools/budgets").await.expect(200).json;
    let number = |budget: &Value, member: &str| budget[member].as_i64().unwrap();
    budgets["items"].as_array().unwrap().iter().map(|b| (number(b, "spent"), number(b, "reserved"))).collect()
}

/// The problem of a question that a budget refuses.
fn exceeded(reply: Reply) -> Value {
    reply.expect(429).problem("budget_exceeded").json.clone()
}

async fn assert_verified(app: &TestApp) {
    let report = verify(app.app.pool(), Mode::WhileRunning).await.unwrap();
    assert!(report.is_clean(), "{report:#?}");
}

#[tokio::test]
async fn a_budget_that_is_spent_refuses_until_it_is_reset() {
    let app = TestApp::new().await;
    app.leave_jobs();
    let (admin, anna, ben) = (app.admin("root").await, app.student("anna").await, app.student("ben").await);
    set_prices(&app).await;
    set_budgets(
        &app,
        &admin,
        json!([budget("learner", "day", "tokens", 100), budget("ideas", "month", "cost_micros", 500)]),
    )
    .await;
    let first = asked(&anna, ASSISTANT, "One?").await;
    let reserved = used(&admin).await;
    assert!(reserved[0].0 == 0 && reserved[0].1 > 1500, "the longest answer is reserved: {reserved:?}");
    answer(&app, first, 40, 60).await;
    assert_eq!(used(&admin).await, [(100, 0), (0, 0)]);

    let refused = ask(&anna, ASSISTANT, "Two?").await;
    let retry_after: i64 = refused.header("retry-after").parse().unwrap();
    let problem = exceeded(refused);
    let resets_at: DateTime<Utc> = problem["resets_at"].as_str().unwrap().parse().unwrap();
    let tomorrow: DateTime<Utc> = sqlx::query_scalar(
        "SELECT (date_trunc('day', now() AT TIME ZONE 'UTC') + interval '1 day') AT TIME ZONE 'UTC'",
    )
    .fetch_one(app.app.pool())
    .await
    .unwrap();
    assert_eq!(resets_at, tomorrow);
    assert!((1..=86_400).contains(&retry_after));
    assert_eq!(
        (&problem["budget_scope"], &problem["budget_period"], &problem["budget_unit"], &problem["limit"]),
        (&json!("learner"), &json!("day"), &json!("tokens"), &json!(100))
    );
    assert_eq!(app.count("SELECT count(*) FROM ai_replies").await, 1, "nothing of it is stored");

    // Others have their own, and the tool's budget is that of all of them. Its amount is nobody's business.
    let ideas = asked(&ben, IDEAS, "An idea?").await;
    answer(&app, ideas, 0, 51).await;
    let problem = exceeded(ask(&app.student("carl").await, IDEAS, "Another?").await);
    assert_eq!((&problem["budget_scope"], &problem["limit"]), (&json!("ideas"), &Value::Null));
    ask(&ben, TZ_HELPER, "A specification?").await.expect(202);
    assert_verified(&app).await;

    // Yesterday's tokens do not count today, and a higher budget leaves something at once.
    sqlx::query("UPDATE ai_learner_spending SET day = day - 1").execute(app.app.pool()).await.unwrap();
    ask(&anna, ASSISTANT, "Three?").await.expect(202);
    set_budgets(&app, &admin, json!([])).await;
    ask(&app.student("dora").await, IDEAS, "Another?").await.expect(202);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_ask_at_once_exceed_a_budget_by_one_reply_at_most() {
    let app = TestApp::new().await;
    app.leave_jobs();
    let admin = app.admin("root").await;
    set_prices(&app).await;
    let mut learners = Vec::new();
    for n in 0..64 {
        learners.push(app.student(&format!("learner-{n}")).await);
    }
    for (scope, unit) in [("platform", "tokens"), ("assistant", "cost_micros")] {
        sqlx::raw_sql("DELETE FROM tool_chats; DELETE FROM ai_spending; DELETE FROM ai_learner_spending")
            .execute(app.app.pool())
            .await
            .unwrap();
        // What one reply reserves, and a budget for between four and five of them.
        set_budgets(&app, &admin, json!([budget(scope, "day", unit, 1_000_000_000)])).await;
        let probe = asked(&learners[0], ASSISTANT, "How?").await;
        let reserved = used(&admin).await[0].1;
        give_up(&app, probe).await;
        assert!(used(&admin).await == [(0, 0)] && reserved > 0);
        let amount = reserved * 9 / 2;
        set_budgets(&app, &admin, json!([budget(scope, "day", unit, amount)])).await;
        let barrier = Arc::new(Barrier::new(learners.len()));
        let asking = learners.iter().cloned().map(|learner| {
            let barrier = Arc::clone(&barrier);
            tokio::spawn(async move {
                barrier.wait().await;
                ask(&learner, ASSISTANT, "How?").await.status.as_u16()
            })
        });
        let statuses: Vec<u16> = join_all(asking).await.into_iter().map(Result::unwrap).collect();
        let accepted = i64::try_from(statuses.iter().filter(|status| **status == 202).count()).unwrap();
        assert!(statuses.iter().all(|status| [202, 429].contains(status)), "{statuses:?}");
        assert_eq!(accepted, 5, "{scope}: four fit, and one exceeds it");
        // Requests differ by a few bytes, and with them what is reserved.
        let (sum, max) = match unit {
            "tokens" => ("SELECT sum(tokens)::bigint FROM ai_reservations", "SELECT max(tokens) FROM ai_reservations"),
            _ => {
                ("SELECT sum(cost_micros)::bigint FROM ai_reservations", "SELECT max(cost_micros) FROM ai_reservations")
            }
        };
        let (total, largest) = (app.count(sum).await, app.count(max).await);
        assert_eq!(used(&admin).await, [(0, total)]);
        assert!(total - amount < largest, "{total} of {amount}");
        // Only reserved, so it is worth trying again soon.
        let waiting = ask(&app.student(&format!("late-{scope}")).await, ASSISTANT, "How?").await;
        assert_eq!(waiting.header("retry-after"), "5");
        exceeded(waiting);
        assert_verified(&app).await;
    }
}

#[tokio::test]
async fn what_is_reserved_is_released_however_a_reply_ends() {
    let app = TestApp::new().await;
    app.leave_jobs();
    let (admin, anna) = (app.admin("root").await, app.student("anna").await);
    set_prices(&app).await;
    set_budgets(
        &app,
        &admin,
        json!([
            budget("platform", "day", "tokens", 1_000_000),
            budget("platform", "month", "cost_micros", 100_000_000)
        ]),
    )
    .await;
    let nothing_reserved = async || assert!(used(&admin).await.iter().all(|(_, reserved)| *reserved == 0));

    let failed = asked(&anna, ASSISTANT, "One?").await;
    let attempt = begin(&app, failed).await.unwrap();
    assert!(used(&admin).await.iter().all(|(spent, reserved)| *spent == 0 && *reserved > 0));
    fail(&app, &attempt).await;
    nothing_reserved().await;

    // A retry reserves again.
    anna.call(Method::POST, &format!("/v1/replies/{failed}/retry")).await.expect(202);
    assert!(used(&admin).await[0].1 > 0);
    give_up(&app, failed).await;
    nothing_reserved().await;

    // What a reply has used that is cancelled, and whose worker says nothing, is estimated, and corrected if it does.
    let cancelled = asked(&anna, ASSISTANT, "Two?").await;
    let attempt = begin(&app, cancelled).await.unwrap();
    let mut connection = app.app.pool().acquire().await.unwrap();
    attempts::asking(&mut connection, &attempt, 30).await.unwrap();
    append(&app, &attempt, 1, &"four".repeat(10)).await;
    anna.call(Method::POST, &format!("/v1/replies/{cancelled}/cancel")).await.expect(200);
    assert_eq!(used(&admin).await, [(40, 0), (30 * 2 + 10 * 10, 0)]);
    let usage =
        Usage { prompt_tokens: Some(25), completion_tokens: Some(20), cost_micros: Some(250), ..Usage::default() };
    attempts::record_superseded(&mut connection, &attempt, &usage).await.unwrap();
    assert_eq!(used(&admin).await, [(45, 0), (250, 0)]);
    assert_verified(&app).await;

    // A chat that is cleared while its reply is being written, and a worker that is lost and replaced.
    let cleared = asked(&anna, ASSISTANT, "Three?").await;
    begin(&app, cleared).await.unwrap();
    anna.delete(ASSISTANT).await.expect(204);
    nothing_reserved().await;
    let lost = asked(&anna, IDEAS, "Four?").await;
    let attempt = begin(&app, lost).await.unwrap();
    attempts::asking(&mut connection, &attempt, 100).await.unwrap();
    let next = begin(&app, lost).await.unwrap();
    assert_eq!(used(&admin).await[1].0, 250 + 200, "the lost attempt has its cost");
    let mut tx = app.app.db.begin().await.unwrap();
    attempts::requeue(&mut tx, &next, Reason::Interrupted, "", &Usage::default()).await.unwrap();
    tx.commit().await.unwrap();
    assert!(used(&admin).await[0].1 > 0, "it is still wanted");
    assert_verified(&app).await;

    // What was paid stays paid when the chats go.
    let before = used(&admin).await[0].0;
    sqlx::query("DELETE FROM tool_chats").execute(app.app.pool()).await.unwrap();
    assert_eq!(used(&admin).await[0], (before, 0));
}

#[tokio::test]
async fn a_warning_is_recorded_once_for_each_period() {
    let app = TestApp::new().await;
    let (admin, anna) = (app.admin("root").await, app.student("anna").await);
    set_budgets(
        &app,
        &admin,
        json!([budget("learner", "month", "tokens", 100), budget("platform", "day", "tokens", 1000)]),
    )
    .await;
    app.run_jobs().await;
    let warn = async || {
        let mut tx = app.app.db.begin().await.unwrap();
        let settings = app.app.settings.get(&mut tx).await.unwrap();
        budgets::warn(&mut tx, &settings, Some(anna.id), Tool::Assistant).await.unwrap();
        tx.commit().await.unwrap();
        app.run_jobs().await;
        app.count("SELECT count(*) FROM activity_log WHERE action = 'budget.warned'").await
    };
    let spend = async |tokens: i64| {
        sqlx::query("SELECT change_ai_spending($1, 'assistant', (now() AT TIME ZONE 'UTC')::date, $2, 0, 0, 0)")
            .bind(anna.id)
            .bind(tokens)
            .execute(app.app.pool())
            .await
            .unwrap();
    };
    spend(79).await;
    assert_eq!(warn().await, 0);
    spend(1).await;
    assert_eq!(warn().await, 1);
    assert_eq!(warn().await, 1);
    let warned = admin.get("/v1/admin/activity?action=budget.warned").await.expect(200).json["items"][0].clone();
    assert_eq!((&warned["target"]["id"], &warned["actor"]), (&json!(anna.id), &Value::Null), "{warned}");
    spend(800).await;
    assert_eq!(warn().await, 2);
    // The platform's day is over, and everything is spent again.
    sqlx::query("UPDATE ai_budget_warnings SET starts_on = starts_on - 1 WHERE scope = 'platform'")
        .execute(app.app.pool())
        .await
        .unwrap();
    assert_eq!(warn().await, 3);
}

#[tokio::test]
async fn admins_are_refused_try_outs_only_by_the_budgets_of_tools_and_platform() {
    let app = TestApp::new().await;
    app.leave_jobs();
    let admin = app.admin("root").await;
    let path = "/v1/admin/tools/assistant/instructions/1/tryouts";
    set_budgets(&app, &admin, json!([budget("learner", "day", "tokens", 0), budget("ideas", "day", "tokens", 0)]))
        .await;
    admin.post(path, json!({"question": "How?"})).await.expect(202);
    set_budgets(&app, &admin, json!([budget("assistant", "day", "tokens", 0)])).await;
    exceeded(admin.post(path, json!({"question": "How?"})).await);
    for wrong in [json!([budget("nobody", "day", "tokens", 1)]), json!([{"scope": "learner"}]), json!(5)] {
        let path = "/v1/admin/settings/ai.budgets";
        let put = admin.call(Method::PUT, path).header("If-Match", "\"3\"").json(json!({"value": wrong}));
        put.invalid().await.expect(422).problem("invalid_body");
    }
}
