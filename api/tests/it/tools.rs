//! Questions to the tools, and their replies.

mod admin;
mod cancel;
mod retry;
mod transfer;

use std::sync::Arc;

use cairn_core::tools::attempts::{self, Attempt, Usage};
use cairn_core::tools::{Reason, replies};
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::support::{Actor, Reply, TestApp};

const ASSISTANT: &str = "/v1/tools/assistant/messages";
const TZ_HELPER: &str = "/v1/tools/tz_helper/messages";
const IDEAS: &str = "/v1/tools/ideas/messages";

const ASSISTANT_MESSAGES: &str = "SELECT count(*) FROM tool_messages WHERE role = 'assistant'";

async fn ask(actor: &Actor, path: &str, message: &str) -> Reply {
    actor.post(path, json!({"message": message})).await
}

/// Asks, and gives the id of the reply.
async fn asked(actor: &Actor, path: &str, message: &str) -> Uuid {
    id(&ask(actor, path, message).await.expect(202).json["reply_id"])
}

fn id(value: &Value) -> Uuid {
    value.as_str().unwrap().parse().unwrap()
}

async fn reply(actor: &Actor, reply_id: Uuid) -> Value {
    actor.get(&format!("/v1/replies/{reply_id}")).await.expect(200).json
}

async fn set(app: &TestApp, key: &str, value: i64) {
    sqlx::query("UPDATE platform_settings SET value = to_jsonb($2) WHERE key = $1")
        .bind(key)
        .bind(value)
        .execute(app.app.pool())
        .await
        .unwrap();
}

async fn begin(app: &TestApp, reply_id: Uuid) -> Option<Attempt> {
    let mut connection = app.app.pool().acquire().await.unwrap();
    attempts::begin(&mut connection, reply_id, "test").await.unwrap()
}

async fn append(app: &TestApp, attempt: &Attempt, seq: i32, text: &str) -> bool {
    let mut connection = app.app.pool().acquire().await.unwrap();
    attempts::append(&mut connection, attempt, seq, text).await.unwrap()
}

async fn complete(app: &TestApp, attempt: &Attempt, text: &str) -> bool {
    let mut tx = app.app.db.begin().await.unwrap();
    let usage =
        Usage { model: Some("m".into()), prompt_tokens: Some(3), completion_tokens: Some(5), ..Usage::default() };
    let completed = attempts::complete(&mut tx, attempt, text, &usage).await.unwrap();
    tx.commit().await.unwrap();
    completed
}

async fn fail(app: &TestApp, attempt: &Attempt) -> bool {
    let (mut tx, reason, usage) = (app.app.db.begin().await.unwrap(), Reason::ProviderError, Usage::default());
    let failed = attempts::fail(&mut tx, attempt, reason, reason, "HTTP 500", &usage).await.unwrap();
    tx.commit().await.unwrap();
    failed
}

async fn give_up(app: &TestApp, reply_id: Uuid) -> bool {
    let mut tx = app.app.db.begin().await.unwrap();
    let given_up = replies::fail_open(&mut tx, reply_id, Reason::AttemptsExhausted).await.unwrap();
    tx.commit().await.unwrap();
    given_up
}

#[tokio::test]
async fn a_question_is_answered_in_the_background() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let asked = ask(&anna, ASSISTANT, "  What is a viewport?\n").await.expect(202).json;
    assert_eq!(asked["state"], "queued");
    assert_eq!(asked["message"]["content"], "What is a viewport?");
    assert_eq!(asked["message"]["role"], "user");
    assert_eq!(asked["message"]["reply_id"], asked["reply_id"]);
    let queued = reply(&anna, id(&asked["reply_id"])).await;
    assert_eq!((&queued["state"], &queued["text"], &queued["attempts"]), (&json!("queued"), &json!(""), &json!(0)));
    app.run_jobs().await;
    let done = reply(&anna, id(&asked["reply_id"])).await;
    assert_eq!((&done["state"], &done["attempts"], &done["reason"]), (&json!("completed"), &json!(1), &Value::Null));
    assert_eq!(done["question_id"], asked["message"]["id"]);
    assert!(done["text"].as_str().unwrap().starts_with("This is the built-in library provider"), "{done}");
    let page = anna.get(ASSISTANT).await.expect(200).json;
    let items = page["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    assert_eq!((&items[0]["role"], &items[0]["content"]), (&json!("assistant"), &done["text"]));
    assert_eq!(items[0]["id"], done["answer_id"]);
    assert_eq!(items[0]["reply_id"], asked["reply_id"]);
    let mut question = asked["message"].clone();
    question["reply_state"] = json!("completed");
    assert_eq!(items[1], question);
    let actions: Vec<String> =
        sqlx::query_scalar("SELECT action FROM activity_log WHERE actor_id = $1 ORDER BY action")
            .bind(anna.id)
            .fetch_all(app.app.pool())
            .await
            .unwrap();
    assert_eq!(actions, ["question.asked", "reply.received"]);
}

#[tokio::test]
async fn reading_creates_nothing() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    for path in [ASSISTANT, TZ_HELPER, IDEAS] {
        assert_eq!(anna.get(path).await.expect(200).json, json!({"items": [], "next_cursor": null}));
    }
    let tools = anna.get("/v1/tools").await.expect(200).json;
    let types: Vec<&str> =
        tools["items"].as_array().unwrap().iter().map(|t| t["tool_type"].as_str().unwrap()).collect();
    assert_eq!(types, ["assistant", "tz_helper", "ideas"]);
    assert_eq!(tools["quota"], json!({"limit": 50, "used": 0, "resets_at": null}));
    assert_eq!(app.count("SELECT count(*) FROM tool_chats").await, 0);
    anna.get("/v1/tools/oracle/messages").invalid().await.expect(400).blames(&[("tool_type", "malformed")]);
    app.get("/v1/tools").await.expect(401);
}

#[tokio::test]
async fn each_tool_answers_in_its_form_and_language() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    set(&app, "ai.open_replies_per_user", 3).await;
    let plain = asked(&anna, ASSISTANT, "How do I start?").await;
    let specification = asked(&anna, TZ_HELPER, "Сайт для записи на занятия").await;
    let idea = asked(&anna, IDEAS, "Something with maps").await;
    app.run_jobs().await;
    let (plain, specification, idea) =
        (reply(&anna, plain).await, reply(&anna, specification).await, reply(&anna, idea).await);
    assert_eq!(plain["has_copyable_content"], false);
    let text = specification["text"].as_str().unwrap();
    assert!(text.contains("[SPEC_START]") && text.contains("## Критерии приёмки"), "{text}");
    assert!(text.contains("Сайт для записи на занятия"), "{text}");
    assert_eq!(specification["has_copyable_content"], true);
    assert!(idea["text"].as_str().unwrap().contains("[IDEA_START]"));
    assert_eq!(idea["has_copyable_content"], true);
    let page = anna.get(IDEAS).await.expect(200).json;
    assert_eq!(page["items"][0]["has_copyable_content"], true);
    assert_eq!(page["items"][1]["has_copyable_content"], false);
}

#[tokio::test]
async fn answers_name_what_they_come_from() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let term = Uuid::from_u128(5);
    sqlx::query("INSERT INTO glossary_terms (id, slug, term, definition, publication) VALUES ($1, 'viewport', 'Viewport', 'The visible part.', 'published')")
        .bind(term)
        .execute(app.app.pool())
        .await
        .unwrap();
    let reply_id = asked(&anna, ASSISTANT, "what are viewports").await;
    app.run_jobs().await;
    let text = reply(&anna, reply_id).await["text"].as_str().unwrap().to_owned();
    assert!(text.contains(&format!("**Viewport** (glossary term, {term})")), "{text}");
    assert!(text.contains("The visible part."), "{text}");
}

#[tokio::test]
async fn messages_page_newest_first() {
    let app = TestApp::new().await;
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    for n in 0..4 {
        asked(&anna, IDEAS, &format!("Question {n}")).await;
        app.run_jobs().await;
    }
    let expected: Vec<Uuid> = sqlx::query_scalar("SELECT id FROM tool_messages ORDER BY created_at DESC, id DESC")
        .fetch_all(app.app.pool())
        .await
        .unwrap();
    let (mut seen, mut roles, mut cursor) = (Vec::new(), Vec::new(), String::new());
    loop {
        let page = anna.get(&format!("{IDEAS}?limit=3{cursor}")).await.expect(200).json;
        for item in page["items"].as_array().unwrap() {
            seen.push(id(&item["id"]));
            roles.push(item["role"].as_str().unwrap().to_owned());
        }
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, expected);
    assert_eq!(roles, ["assistant", "user"].repeat(4));
    assert_eq!(app.count("SELECT count(DISTINCT created_at) FROM tool_messages").await, 8);
    assert_eq!(ben.get(IDEAS).await.expect(200).json["items"], json!([]));
    anna.get(&format!("{IDEAS}?cursor=x")).await.expect(400).blames(&[("cursor", "malformed")]);
}

#[tokio::test]
async fn one_reply_is_open_per_chat_and_a_few_per_learner() {
    let app = TestApp::new().await;
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    asked(&anna, ASSISTANT, "One").await;
    ask(&anna, ASSISTANT, "Two").await.expect(409).problem("reply_open");
    asked(&anna, TZ_HELPER, "Three").await;
    let refused = ask(&anna, IDEAS, "Four").await.expect(429).problem("too_many_open_replies");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 0);
    ask(&anna, ASSISTANT, "Five").await.expect(409).problem("reply_open");
    asked(&ben, ASSISTANT, "One").await;
    assert_eq!(app.count("SELECT count(*) FROM tool_messages").await, 3);
    app.run_jobs().await;
    asked(&anna, IDEAS, "Six").await;
    app.run_jobs().await;
    assert_eq!(app.count("SELECT count(*) FROM activity_log WHERE action = 'question.asked'").await, 4);
}

#[tokio::test]
async fn asking_twice_at_once_opens_one_reply() {
    let app = TestApp::new().await;
    for round in 0..10 {
        let anna = app.student(&format!("anna{round}")).await;
        let (first, second) = tokio::join!(ask(&anna, IDEAS, "One"), ask(&anna, IDEAS, "Two"));
        let mut statuses = [first.status.as_u16(), second.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [202, 409]);
    }
    assert_eq!(app.count("SELECT count(*) FROM tool_messages").await, 10);
    app.run_jobs().await;
    assert_eq!(app.count("SELECT count(*) FROM tool_messages").await, 20);
}

#[tokio::test]
async fn a_repeated_question_is_asked_once() {
    let app = TestApp::new().await;
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    let send = |actor: &Actor, path: &str, message: &str| {
        actor.post(path, json!({"message": message})).header("Idempotency-Key", "question-1")
    };
    let (first, second) = tokio::join!(send(&anna, IDEAS, "One"), send(&anna, IDEAS, "One"));
    let (first, second) = (first.expect(202).json, second.expect(202).json);
    assert_eq!(first, second);
    send(&anna, IDEAS, "Two").await.expect(409).problem("idempotency_key_reused");
    send(&anna, ASSISTANT, "One").await.expect(409).problem("idempotency_key_reused");
    app.run_jobs().await;
    assert_eq!(send(&anna, IDEAS, "One").await.expect(202).json, first, "also after the answer");
    assert_ne!(send(&ben, IDEAS, "One").await.expect(202).json["reply_id"], first["reply_id"], "a key is one person's");
    assert_eq!(app.count("SELECT count(*) FROM ai_replies").await, 2);
    app.run_jobs().await;
}

#[tokio::test]
async fn a_refused_question_does_not_use_its_key_up() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    asked(&anna, IDEAS, "One").await;
    let send = || anna.post(IDEAS, json!({"message": "Two"})).header("Idempotency-Key", "k");
    send().await.expect(409).problem("reply_open");
    app.run_jobs().await;
    send().await.expect(202);
    app.run_jobs().await;
}

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

#[tokio::test]
async fn bad_questions_are_refused_precisely() {
    let app = TestApp::new().await;
    set(&app, "ai.max_message_chars", 5).await;
    let anna = app.student("anna").await;
    let cases = [
        (json!({}), "required"),
        (json!({"message": 5}), "wrong_type"),
        (json!({"message": null}), "wrong_type"),
        (json!({"message": ""}), "too_short"),
        (json!({"message": "x\u{0}"}), "nul_character"),
        (json!({"message": "x".repeat(100_001)}), "too_long"),
    ];
    for (body, code) in cases {
        anna.post(IDEAS, body).invalid().await.expect(422).problem("invalid_body").blames(&[("/message", code)]);
    }
    ask(&anna, IDEAS, " \n\t ").await.expect(422).problem("invalid_body").blames(&[("/message", "blank")]);
    ask(&anna, IDEAS, "ёжики!").await.expect(422).problem("message_too_long").blames(&[("/message", "too_long")]);
    anna.post("/v1/tools/oracle/messages", json!({"message": "x"})).invalid().await.expect(400);
    anna.post(IDEAS, json!({"message": "x"})).header("Idempotency-Key", &"k".repeat(201)).invalid().await.expect(400);
    assert_eq!(app.count("SELECT count(*) FROM tool_chats").await, 0);
    asked(&anna, IDEAS, "  ёжики  ").await;
    app.run_jobs().await;
}

#[tokio::test]
async fn a_reply_is_its_owners() {
    let app = TestApp::new().await;
    let (anna, ben, ada) = (app.student("anna").await, app.student("ben").await, app.admin("ada").await);
    let reply_id = asked(&anna, IDEAS, "Mine").await;
    let path = format!("/v1/replies/{reply_id}");
    for other in [&ben, &ada] {
        other.get(&path).await.expect(404).problem("reply_not_found");
    }
    app.get(&path).await.expect(401);
    anna.get(&format!("/v1/replies/{}", Uuid::from_u128(1))).await.expect(404).problem("reply_not_found");
    anna.get("/v1/replies/x").invalid().await.expect(400).blames(&[("reply_id", "malformed")]);
    app.run_jobs().await;
}

#[tokio::test]
async fn only_the_latest_attempt_writes() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let reply_id = asked(&anna, ASSISTANT, "Hello?").await;
    let first = begin(&app, reply_id).await.unwrap();
    assert_eq!((first.number, first.question.as_str(), first.user_id), (1, "Hello?", anna.id));
    assert!(append(&app, &first, 1, "Old ").await);
    assert!(append(&app, &first, 2, "text").await);
    let seen = reply(&anna, reply_id).await;
    assert_eq!(
        (&seen["state"], &seen["text"], &seen["attempts"]),
        (&json!("streaming"), &json!("Old text"), &json!(1))
    );
    let second = begin(&app, reply_id).await.unwrap();
    assert_eq!(second.number, 2);
    assert_eq!(reply(&anna, reply_id).await["text"], "", "a new attempt starts anew");
    assert!(!append(&app, &first, 3, "late").await);
    assert!(!complete(&app, &first, "Old text").await);
    assert!(!fail(&app, &first).await);
    assert!(append(&app, &second, 1, "New\0 ").await, "a NUL cannot be stored and is left out");
    assert_eq!(reply(&anna, reply_id).await["text"], "New ");
    assert!(complete(&app, &second, "New [ТЗ_START]\0text[ТЗ_END]").await);
    for attempt in [&first, &second] {
        assert!(!complete(&app, attempt, "Again").await);
        assert!(!append(&app, attempt, 9, "again").await);
        assert!(!fail(&app, attempt).await);
    }
    assert!(begin(&app, reply_id).await.is_none());
    let done = reply(&anna, reply_id).await;
    assert_eq!((&done["state"], &done["text"]), (&json!("completed"), &json!("New [ТЗ_START]text[ТЗ_END]")));
    assert_eq!(done["has_copyable_content"], true);
    assert_eq!(app.count(ASSISTANT_MESSAGES).await, 1);
    let attempts: Vec<(i32, bool, Option<String>, Option<i32>)> = sqlx::query_as(
        "SELECT attempt, finished_at IS NOT NULL, error, completion_tokens FROM ai_reply_attempts ORDER BY attempt",
    )
    .fetch_all(app.app.pool())
    .await
    .unwrap();
    let superseded = Some("superseded by a later attempt".to_owned());
    assert_eq!(attempts, [(1, true, superseded, None), (2, true, None, Some(5))]);
    // The job that was enqueued finds nothing to do.
    app.run_jobs().await;
    assert_eq!(app.count(ASSISTANT_MESSAGES).await, 1);
    assert_eq!(app.count("SELECT count(*) FROM activity_log WHERE action = 'reply.received'").await, 1);
}

#[tokio::test]
async fn completing_at_once_writes_one_answer() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    for round in 0..10 {
        let reply_id = asked(&anna, ASSISTANT, "Hello?").await;
        let attempt = begin(&app, reply_id).await.unwrap();
        let (a, b, c) =
            tokio::join!(complete(&app, &attempt, "A"), complete(&app, &attempt, "B"), fail(&app, &attempt));
        assert_eq!([a, b, c].into_iter().filter(|won| *won).count(), 1, "round {round}");
        let expected = i64::from(!c);
        let answers: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM tool_messages m JOIN ai_replies r ON r.answer_id = m.id WHERE r.id = $1",
        )
        .bind(reply_id)
        .fetch_one(app.app.pool())
        .await
        .unwrap();
        assert_eq!(answers, expected);
    }
    let answered = app.count("SELECT count(*) FROM ai_replies WHERE state = 'completed'").await;
    assert_eq!(app.count(ASSISTANT_MESSAGES).await, answered);
    app.run_jobs().await;
    assert_eq!(app.count("SELECT count(*) FROM activity_log WHERE action = 'reply.received'").await, answered);
}

#[tokio::test]
async fn asking_while_a_reply_completes_never_deadlocks() {
    let app = TestApp::new().await;
    set(&app, "ai.daily_questions", 1000).await;
    let anna = app.student("anna").await;
    let mut reply_id = asked(&anna, ASSISTANT, "First").await;
    for _ in 0..30 {
        let attempt = begin(&app, reply_id).await.unwrap();
        let (completed, next) = tokio::join!(complete(&app, &attempt, "Done"), ask(&anna, ASSISTANT, "Next"));
        assert!(completed);
        reply_id = match next.status.as_u16() {
            202 => id(&next.json["reply_id"]),
            409 => asked(&anna, ASSISTANT, "Once more").await,
            status => panic!("{status}: {next:#?}"),
        };
    }
    let mixed =
        "SELECT count(*) FROM (SELECT role, lag(role) OVER (ORDER BY created_at, id) AS before FROM tool_messages) m
                 WHERE role = before";
    assert_eq!(app.count(mixed).await, 0, "questions and answers alternate");
    app.run_jobs().await;
}

#[tokio::test]
async fn a_failed_reply_says_why_and_frees_the_chat() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let first = asked(&anna, ASSISTANT, "Hello?").await;
    let attempt = begin(&app, first).await.unwrap();
    assert!(append(&app, &attempt, 1, "Half").await);
    assert!(fail(&app, &attempt).await);
    let failed = reply(&anna, first).await;
    assert_eq!(
        (&failed["state"], &failed["reason"], &failed["text"]),
        (&json!("failed"), &json!("provider_error"), &json!("Half"))
    );
    assert!(failed["finished_at"].is_string());
    let second = asked(&anna, ASSISTANT, "Again?").await;
    assert!(give_up(&app, second).await);
    assert!(!give_up(&app, second).await);
    assert!(!give_up(&app, first).await);
    assert_eq!(reply(&anna, second).await["reason"], "attempts_exhausted");
    assert_eq!(app.count(ASSISTANT_MESSAGES).await, 0);
    app.run_jobs().await;
    assert_eq!(app.count(ASSISTANT_MESSAGES).await, 0);
}

#[tokio::test]
async fn a_reply_keeps_the_instruction_it_was_asked_under() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let reply_id = asked(&anna, ASSISTANT, "Hello?").await;
    sqlx::raw_sql(
        "UPDATE ai_system_instructions SET is_active = false WHERE tool_type = 'assistant';
         INSERT INTO ai_system_instructions (tool_type, version, content, model, is_active)
         VALUES ('assistant', 2, 'Be brief.', 'small', true);",
    )
    .execute(app.app.pool())
    .await
    .unwrap();
    let attempt = begin(&app, reply_id).await.unwrap();
    assert!(attempt.instruction.starts_with("You are a mentor"), "{}", attempt.instruction);
    assert_eq!(attempt.model, None);
    assert_eq!(anna.get("/v1/tools").await.expect(200).json["items"][0]["model"], "small");
    app.run_jobs().await;
}

#[tokio::test]
async fn a_deleted_chat_ends_its_reply_quietly() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let reply_id = asked(&anna, ASSISTANT, "Hello?").await;
    let attempt = begin(&app, reply_id).await.unwrap();
    sqlx::query("DELETE FROM tool_chats").execute(app.app.pool()).await.unwrap();
    assert!(!append(&app, &attempt, 1, "x").await);
    assert!(!complete(&app, &attempt, "x").await);
    assert!(begin(&app, reply_id).await.is_none());
    app.run_jobs().await;
    assert_eq!(app.count("SELECT count(*) FROM tool_messages").await, 0);
}
