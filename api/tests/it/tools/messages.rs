//! Questions and messages.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{ASSISTANT, IDEAS, TZ_HELPER, ask, asked, id, reply, set};
use crate::support::{Actor, TestApp};

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
    anna.get("/v1/tools/oracle/messages").invalid().await.expect(400).blames(&[("tool_type", "not_allowed")]);
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
    let reply = reply(&anna, reply_id).await;
    let text = reply["text"].as_str().unwrap();
    assert!(text.contains("**Viewport** (glossary term) [1]\n\n> The visible part.\n"), "{text}");
    let source = &reply["sources"][0];
    assert_eq!((&source["id"], &source["number"], &source["is_used"]), (&json!(term), &json!(1), &json!(true)));
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
