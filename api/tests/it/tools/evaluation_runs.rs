//! Runs of evaluations, and which versions they keep from being activated.

use cairn_core::tools::attempts::Usage;
use cairn_core::tools::{Reason, evaluation_attempts as attempts, evaluation_runs as runs};
use poem::http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::evaluations::{PATH, evaluation};
use super::id;
use crate::support::{Actor, Reply, TestApp};

const INSTRUCTIONS: &str = "/v1/admin/tools/assistant/instructions";

async fn create_version(admin: &Actor, content: &str) -> i64 {
    let body = json!({"content": content, "max_tokens": 100, "include_learner": false});
    admin.post(INSTRUCTIONS, body).await.expect(201).json["version"].as_i64().unwrap()
}

async fn activate(admin: &Actor, version: i64) -> Reply {
    admin.call(Method::POST, &format!("{INSTRUCTIONS}/{version}/activate")).await
}

async fn begin_run(admin: &Actor, evaluation: &str, candidate: i64) -> Uuid {
    let run = admin.post(&format!("{PATH}/{evaluation}/runs"), json!({"candidate_version": candidate})).await;
    id(&run.expect(202).json["id"])
}

/// Answers all questions of a run: the candidate's with `candidate`, and the others with what is good.
async fn answer_all(app: &TestApp, run: Uuid, candidate: &str) {
    let mut connection = app.app.pool().acquire().await.unwrap();
    while let Some(attempt) = attempts::begin(&mut connection, run, None).await.unwrap() {
        let is_candidate = attempt.request.instruction.starts_with("Candidate");
        let text = if is_candidate { candidate } else { "The viewport, and flexbox" };
        let usage = Usage { prompt_tokens: Some(3), completion_tokens: Some(4), ..Usage::default() };
        attempts::finish(&mut connection, &attempt, text, None, &usage).await.unwrap();
    }
    runs::complete(&mut connection, run).await.unwrap();
}

#[tokio::test]
async fn a_version_that_does_worse_is_not_activated() {
    let app = TestApp::new().await;
    app.leave_jobs();
    let admin = app.admin("root").await;
    let made = admin.post(PATH, evaluation(1)).await.expect(201).json;
    let evaluation = made["id"].as_str().unwrap();
    let (bad, good) = (create_version(&admin, "Candidate: bad").await, create_version(&admin, "Candidate: good").await);

    // As long as it is not attached, it is a comparison and nothing else.
    let run = begin_run(&admin, evaluation, bad).await;
    let open = admin.post(&format!("{PATH}/{evaluation}/runs"), json!({"candidate_version": good})).await;
    open.expect(409).problem("evaluation_running");
    answer_all(&app, run, "A table in the viewport").await;
    let done = admin.get(&format!("/v1/admin/evaluation-runs/{run}")).await.expect(200).json;
    assert_eq!(
        (&done["state"], &done["candidate_passed"], &done["baseline_passed"], &done["answers"], &done["tokens"]),
        (&json!("completed"), &json!(1), &json!(2), &json!(4), &json!(28))
    );
    let answers = admin.get(&format!("/v1/admin/evaluation-runs/{run}/answers?limit=1")).await.expect(200).json;
    let first = &answers["items"][0];
    assert_eq!((&first["number"], &first["is_candidate_passed"]), (&json!(1), &json!(true)));
    let cursor = answers["next_cursor"].as_str().unwrap();
    let more =
        admin.get(&format!("/v1/admin/evaluation-runs/{run}/answers?limit=1&cursor={cursor}")).await.expect(200).json;
    let second = &more["items"][0];
    assert_eq!((&second["is_candidate_passed"], &second["is_baseline_passed"]), (&json!(false), &json!(true)));
    assert_eq!((&second["question"], &more["next_cursor"]), (&json!("How do I centre?"), &Value::Null));

    // Attached, the run of before counts, because the questions are the same.
    let attach = admin.call(Method::PATCH, &format!("{PATH}/{evaluation}")).header("If-Match", "\"1\"");
    attach.json(json!({"is_attached": true})).await.expect(200);
    let refused = activate(&admin, bad).await.expect(409).problem("evaluation_fallen").json.clone();
    assert_eq!((&refused["evaluation_id"], &refused["passed_count"]), (&json!(evaluation), &json!(1)));
    assert_eq!(refused["baseline_passed_count"], 2);
    activate(&admin, good).await.expect(409).problem("evaluation_required");
    let run = begin_run(&admin, evaluation, good).await;
    activate(&admin, good).await.expect(409).problem("evaluation_required");
    answer_all(&app, run, "Flexbox in the viewport").await;
    activate(&admin, good).await.expect(200);
    // The active version is another one now, so the first run says nothing any more.
    activate(&admin, bad).await.expect(409).problem("evaluation_required");
    activate(&admin, good).await.expect(200);
    let listed = admin.get(&format!("{PATH}/{evaluation}/runs")).await.expect(200).json;
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    assert_eq!(listed["items"][0]["id"], json!(run), "the latest first");

    // The provider fails: nobody knows, so nothing is activated.
    let run = begin_run(&admin, evaluation, bad).await;
    let mut connection = app.app.pool().acquire().await.unwrap();
    let attempt = attempts::begin(&mut connection, run, None).await.unwrap().unwrap();
    attempts::finish(&mut connection, &attempt, "", Some(Reason::ProviderError), &Usage::default()).await.unwrap();
    let failed = admin.get(&format!("/v1/admin/evaluation-runs/{run}")).await.expect(200).json;
    assert_eq!((&failed["state"], &failed["reason"]), (&json!("failed"), &json!("provider_error")));
    activate(&admin, bad).await.expect(409).problem("evaluation_required");

    // The way back is always open.
    let back = admin.call(Method::POST, &format!("{INSTRUCTIONS}/{good}/rollback")).await.expect(200).json;
    assert_eq!((&back["version"], &back["is_active"]), (&json!(1), &json!(true)));
    for version in [1, good, 99] {
        let again = admin.call(Method::POST, &format!("{INSTRUCTIONS}/{version}/rollback")).await;
        let code = if version == 99 { "instruction_not_found" } else { "instruction_not_rollable" };
        again.expect(if version == 99 { 404 } else { 409 }).problem(code);
    }
    assert_eq!(
        app.count("SELECT count(*) FROM ai_system_instructions WHERE tool_type = 'assistant' AND is_active").await,
        1
    );
}

#[tokio::test]
async fn repeated_roll_backs_go_back_further() {
    let app = TestApp::new().await;
    app.leave_jobs();
    let admin = app.admin("root").await;
    let (second, third) = (create_version(&admin, "Two").await, create_version(&admin, "Three").await);
    activate(&admin, second).await.expect(200);
    activate(&admin, third).await.expect(200);
    for (from, to) in [(third, second), (second, 1)] {
        let back = admin.call(Method::POST, &format!("{INSTRUCTIONS}/{from}/rollback")).await.expect(200).json;
        assert_eq!(back["version"], to);
    }
    let nothing = admin.call(Method::POST, &format!("{INSTRUCTIONS}/1/rollback")).await;
    nothing.expect(409).problem("instruction_not_rollable");
}

#[tokio::test]
async fn a_run_asks_its_questions_in_the_background() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    let made = admin.post(PATH, evaluation(1)).await.expect(201).json;
    let run = begin_run(&admin, made["id"].as_str().unwrap(), 1).await;
    app.run_jobs().await;
    let done = admin.get(&format!("/v1/admin/evaluation-runs/{run}")).await.expect(200).json;
    assert_eq!((&done["state"], &done["answers"]), (&json!("completed"), &json!(4)), "{done}");
    assert_eq!(done["candidate_passed"], done["baseline_passed"]);
    assert_eq!(app.count("SELECT count(*) FROM tool_messages").await, 0, "nothing is stored for a learner");
}

/// Almost any answer would pass it, and keep nobody from activating anything.
#[tokio::test]
async fn an_evaluation_that_expects_nothing_is_not_attached() {
    let app = TestApp::new().await;
    app.leave_jobs();
    let admin = app.admin("root").await;
    let cases = |expected: &str| json!([{"question": "What?", "contains": ["that"]}, {"question": "Why?", expected: ["because"]}]);
    let idle = json!([{"question": "What?", "contains": ["that"]}, {"question": "Why?"}]);
    let new = |name: &str, attached: bool, cases: Value| json!({"tool_type": "assistant", "name": name, "is_attached": attached, "cases": cases});
    let refused = admin.post(PATH, new("One", true, idle.clone())).await.expect(422).problem("invalid_body");
    assert!(refused.json.to_string().contains("/cases/1"), "{}", refused.json);
    admin.post(PATH, new("One", true, cases("excludes"))).await.expect(201);
    let made = admin.post(PATH, new("Two", false, idle)).await.expect(201).json;
    let path = format!("{PATH}/{}", made["id"].as_str().unwrap());
    let change = async |body: Value| admin.call(Method::PATCH, &path).header("If-Match", "\"1\"").json(body).await;
    change(json!({"is_attached": true})).await.expect(422);
    change(json!({"is_attached": true, "cases": cases("contains")})).await.expect(200);
}
