//! Try-outs of instructions.

use std::time::Duration;

use cairn_core::admin::housekeeping;
use cairn_core::clock::new_id;
use cairn_core::db::Tx;
use cairn_core::tools::Reason;
use cairn_core::tools::attempts::Usage;
use cairn_core::tools::tryouts::{self, TryoutAttempt};
use futures_util::future::join_all;
use poem::http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{id, set};
use crate::support::{Actor, TestApp};

const VERSIONS: &str = "/v1/admin/tools/ideas/instructions";

fn tryouts_of(version: i32) -> String {
    format!("{VERSIONS}/{version}/tryouts")
}

/// Tries the version out, and gives the path of the try-out.
async fn tried(admin: &Actor, version: i32, question: &str) -> String {
    admin.post(&tryouts_of(version), json!({"question": question})).await.expect(202).header("location").to_owned()
}

async fn begin(app: &TestApp, tryout: &str) -> Option<TryoutAttempt> {
    let tryout_id = tryout.rsplit('/').next().unwrap().parse().unwrap();
    let mut connection = app.app.pool().acquire().await.unwrap();
    tryouts::begin(&mut connection, tryout_id, "test", None).await.unwrap()
}

async fn finish(app: &TestApp, attempt: &TryoutAttempt, text: &str, failed: Option<(Reason, &str)>) {
    let mut connection = app.app.pool().acquire().await.unwrap();
    tryouts::finish(&mut connection, attempt, text, failed, &Usage::default()).await.unwrap();
}

#[tokio::test]
async fn a_version_that_is_not_active_answers_and_nothing_is_stored_for_a_learner() {
    let app = TestApp::new().await;
    let ada = app.admin("ada").await;
    let draft = json!({"content": "Be brief.", "model": "small", "max_tokens": 800, "include_learner": true});
    ada.post(VERSIONS, draft).await.expect(201);
    let queued = ada.post(&tryouts_of(2), json!({"question": "  A shop?\n"})).await.expect(202);
    let path = queued.header("location").to_owned();
    assert_eq!(path, format!("/v1/admin/tryouts/{}", queued.json["id"].as_str().unwrap()));
    assert_eq!((&queued.json["state"], &queued.json["question"]), (&json!("queued"), &json!("A shop?")));
    assert_eq!((&queued.json["tool_type"], &queued.json["instruction_version"]), (&json!("ideas"), &json!(2)));
    assert_eq!(queued.json["created_by"], json!(ada.id));
    for member in ["answer", "reason", "error", "provider", "model", "started_at", "finished_at"] {
        assert_eq!(queued.json[member], Value::Null, "{member}");
    }
    assert_eq!(ada.get(&path).await.expect(200).json, queued.json);
    let instruction: Uuid =
        sqlx::query_scalar("SELECT instruction_id FROM ai_tryouts").fetch_one(app.app.pool()).await.unwrap();

    app.run_jobs().await;
    let done = ada.get(&path).await.expect(200).json;
    assert_eq!(done["state"], "completed", "{done}");
    assert!(done["answer"].as_str().unwrap().contains("[IDEA_START]"), "{done}");
    assert_eq!((&done["provider"], &done["reason"], &done["is_cut"]), (&json!("library"), &Value::Null, &json!(false)));
    assert!(done["finished_at"].as_str() >= done["started_at"].as_str(), "{done}");
    for table in ["tool_chats", "tool_messages", "ai_replies", "ai_reply_attempts", "user_events"] {
        let rows: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}")))
            .fetch_one(app.app.pool())
            .await
            .unwrap();
        assert_eq!(rows, 0, "{table}");
    }
    assert_eq!(ada.get("/v1/tools").await.expect(200).json["quota"]["used"], 0);
    let recorded: (String, Uuid, Value) = sqlx::query_as(
        "SELECT target_type, target_id, metadata FROM activity_log WHERE action = 'tryout.created' AND actor_id = $1",
    )
    .bind(ada.id)
    .fetch_one(app.app.pool())
    .await
    .unwrap();
    let details = json!({"tool_type": "ideas", "version": 2, "tryout_id": done["id"]});
    assert_eq!(recorded, ("instruction".to_owned(), instruction, details));
}

#[tokio::test]
async fn what_is_asked_is_what_a_learner_would_ask() {
    let app = TestApp::new().await;
    let ada = app.admin("ada").await;
    let draft = json!({"content": "Be brief.", "model": "small", "temperature": 0.5, "max_tokens": 800,
        "include_learner": true});
    ada.post(VERSIONS, draft).await.expect(201);
    let term = json!({"slug": "viewport", "term": "Viewport", "definition": "The visible part of a page."});
    let term = ada.post("/v1/admin/glossary", term).await.expect(201);
    let term = (format!("/v1/admin/glossary/{}", term.json["id"].as_str().unwrap()), term.header("etag").to_owned());
    let publish = ada.call(poem::http::Method::POST, &format!("{}/publish", term.0)).header("If-Match", &term.1);
    publish.await.expect(200);
    let path = tried(&ada, 2, "What is a viewport?").await;
    let request = begin(&app, &path).await.unwrap().request;
    assert_eq!((request.instruction.as_str(), request.model.as_deref()), ("Be brief.", Some("small")));
    assert_eq!((request.temperature, request.max_tokens), (Some(0.5), 800));
    assert_eq!(request.context.sources[0].title, "Viewport");
    assert_eq!(request.context.learner.unwrap().first_name, "ada");
    app.run_jobs().await;
}

#[tokio::test]
async fn a_try_out_ends_once_whichever_attempt_ends_it() {
    let app = TestApp::new().await;
    let ada = app.admin("ada").await;
    let path = tried(&ada, 1, "A shop?").await;
    let earlier = begin(&app, &path).await.unwrap();
    assert_eq!(ada.get(&path).await.expect(200).json["state"], "running");
    let latest = begin(&app, &path).await.unwrap();
    assert_eq!((earlier.number, latest.number), (1, 2));
    finish(&app, &earlier, "of an earlier attempt", None).await;
    assert_eq!(ada.get(&path).await.expect(200).json["answer"], Value::Null);
    finish(&app, &latest, "The\0 beginning", Some((Reason::BrokenOff, "the connection\0 was lost"))).await;
    finish(&app, &latest, "once more", None).await;
    let failed = ada.get(&path).await.expect(200).json;
    assert_eq!((&failed["state"], &failed["reason"]), (&json!("failed"), &json!("broken_off")));
    assert_eq!((&failed["answer"], &failed["error"]), (&json!("The beginning"), &json!("the connection was lost")));
    assert!(begin(&app, &path).await.is_none(), "nothing is left to do");
    app.run_jobs().await;
    assert_eq!(ada.get(&path).await.expect(200).json, failed);
}

#[tokio::test]
async fn a_request_that_is_repeated_asks_once() {
    let app = TestApp::new().await;
    let ada = app.admin("ada").await;
    let send = |question: &str| ada.post(&tryouts_of(1), json!({"question": question})).header("Idempotency-Key", "k");
    let (first, second) = tokio::join!(send("A shop?"), send("A shop?"));
    let (first, second) = (first.expect(202), second.expect(202));
    assert_eq!((&first.json, first.header("location")), (&second.json, second.header("location")));
    assert_eq!(app.count("SELECT count(*) FROM ai_tryouts").await, 1);
    send("A blog?").await.expect(409).problem("idempotency_key_reused");
    app.run_jobs().await;
    assert_eq!(send("A shop?").await.expect(202).json, first.json, "the answer that the request got");
}

#[tokio::test]
async fn few_of_an_admin_are_open_at_once() {
    let app = TestApp::new().await;
    let (ada, bea) = (app.admin("ada").await, app.admin("bea").await);
    let questions = (0..8).map(|n| json!({"question": n.to_string()}));
    let answers = join_all(questions.map(|question| ada.post(&tryouts_of(1), question).into_future())).await;
    let (accepted, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == StatusCode::ACCEPTED);
    assert_eq!((accepted.len(), refused.len()), (3, 5));
    for answer in refused {
        assert_eq!(answer.expect(429).problem("too_many_tryouts").header("retry-after"), "5");
    }
    tried(&bea, 1, "Another admin's").await;
    app.run_jobs().await;
    tried(&ada, 1, "The next one").await;
    app.run_jobs().await;
}

#[tokio::test]
async fn bad_try_outs_are_refused_precisely() {
    let app = TestApp::new().await;
    let ada = app.admin("ada").await;
    let path = tryouts_of(1);
    for (body, pointer, code) in [
        (json!({"question": ""}), "/question", "too_short"),
        (json!({"question": "x".repeat(100_001)}), "/question", "too_long"),
        (json!({"question": 5}), "/question", "wrong_type"),
        (json!({"question": "x\u{7}"}), "/question", "control_character"),
        (json!({}), "/question", "required"),
        (json!({"question": "x", "learner": "y"}), "/learner", "unknown"),
    ] {
        ada.post(&path, body).invalid().await.expect(422).blames(&[(pointer, code)]);
    }
    ada.post(&path, json!({"question": " \n"})).await.expect(422).blames(&[("/question", "blank")]);
    set(&app, "ai.max_message_chars", 100).await;
    let too_long = ada.post(&path, json!({"question": "x".repeat(101)})).await.expect(422).problem("message_too_long");
    too_long.blames(&[("/question", "too_long")]);
    ada.post(&tryouts_of(2), json!({"question": "x"})).await.expect(404).problem("instruction_not_found");
    ada.post(&tryouts_of(0), json!({"question": "x"})).invalid().await.expect(400);
    ada.get(&format!("/v1/admin/tryouts/{}", new_id())).await.expect(404).problem("tryout_not_found");
    ada.get("/v1/admin/tryouts/x").invalid().await.expect(400);
    assert_eq!(app.count("SELECT count(*) FROM ai_tryouts").await, 0);
}

#[tokio::test]
async fn try_outs_are_for_admins() {
    let app = TestApp::new().await;
    let (ada, anna, mia) = (app.admin("ada").await, app.student("anna").await, app.mentor("mia").await);
    let path = tried(&ada, 1, "Secret?").await;
    for other in [&anna, &mia] {
        other.post(&tryouts_of(1), json!({"question": "x"})).await.expect(403).problem("forbidden");
        let refused = other.get(&path).await.expect(403).problem("forbidden");
        assert!(!refused.text.contains("Secret"));
    }
    app.get(&path).await.expect(401);
    app.post(&tryouts_of(1), json!({"question": "x"})).await.expect(401);
    assert_eq!(
        app.admin("bea").await.get(&path).await.expect(200).json["question"],
        "Secret?",
        "admins see all of them"
    );
    app.run_jobs().await;
}

#[tokio::test]
async fn what_lost_its_job_is_answered_or_has_failed() {
    let app = TestApp::new().await;
    let ada = app.admin("ada").await;
    let dead = tried(&ada, 1, "Its job is dead").await;
    sqlx::query("UPDATE apalis.jobs SET status = 'Killed', done_at = now()").execute(app.app.pool()).await.unwrap();
    let jobless = tried(&ada, 1, "Its job was removed").await;
    sqlx::query("DELETE FROM apalis.jobs WHERE status = 'Pending'").execute(app.app.pool()).await.unwrap();
    let reconcile = async || {
        let mut tx: Tx = app.app.db.begin().await.unwrap();
        tryouts::requeue_waiting(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
    };
    reconcile().await;
    let failed = ada.get(&dead).await.expect(200).json;
    assert_eq!((&failed["state"], &failed["reason"]), (&json!("failed"), &json!("attempts_exhausted")));
    assert_eq!(app.run_jobs().await, 0, "a job may still be on its way");
    sqlx::query("UPDATE ai_tryouts SET created_at = now() - interval '2 minutes'")
        .execute(app.app.pool())
        .await
        .unwrap();
    reconcile().await;
    assert_eq!(app.run_jobs().await, 1);
    assert_eq!(ada.get(&jobless).await.expect(200).json["state"], "completed");
    app.leave_jobs();
}

#[tokio::test]
async fn try_outs_are_kept_for_a_day() {
    let app = TestApp::new().await;
    let ada = app.admin("ada").await;
    let (old, recent) = (tried(&ada, 1, "Old?").await, tried(&ada, 1, "Recent?").await);
    app.run_jobs().await;
    for (path, hours) in [(&old, 25), (&recent, 23)] {
        sqlx::query("UPDATE ai_tryouts SET created_at = now() - make_interval(hours => $2) WHERE id = $1")
            .bind(id(&ada.get(path).await.json["id"]))
            .bind(hours)
            .execute(app.app.pool())
            .await
            .unwrap();
    }
    assert!(housekeeping::run(app.app.pool(), Duration::from_secs(20)).await.unwrap());
    ada.get(&old).await.expect(404).problem("tryout_not_found");
    ada.get(&recent).await.expect(200);
}
