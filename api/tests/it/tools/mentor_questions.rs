//! Replies that learners put before the mentors.

use cairn_core::admin::verify::{Mode, verify};
use poem::http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ASSISTANT, IDEAS, asked, begin, complete};
use crate::support::{Actor, Reply, TestApp};

/// Asks a tool and has it answer. Returns the id of the reply.
pub(super) async fn answered(app: &TestApp, actor: &Actor, path: &str, question: &str, answer: &str) -> Uuid {
    let id = asked(actor, path, question).await;
    let attempt = begin(app, id).await.unwrap();
    complete(app, &attempt, answer).await;
    id
}

pub(super) async fn ask_mentor(actor: &Actor, reply_id: Uuid) -> Reply {
    actor.call(Method::PUT, &format!("/v1/replies/{reply_id}/mentor-question")).json(json!({"consent": true})).await
}

pub(super) async fn waiting(mentor: &Actor) -> Vec<Value> {
    mentor.get("/v1/mentor/questions").await.expect(200).json["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_mentor_is_shown_one_question_and_answers_it_once_in_the_chat() {
    let app = TestApp::new().await;
    app.leave_jobs();
    let (anna, mentor, other) = (app.student("anna").await, app.mentor("mia").await, app.mentor("max").await);
    answered(&app, &anna, ASSISTANT, "A private matter", "A private answer").await;
    let open = asked(&anna, IDEAS, "Still open?").await;
    ask_mentor(&anna, open).await.expect(409).problem("reply_not_answered");
    let id = answered(&app, &anna, ASSISTANT, "What is a viewport?", "A window").await;
    let path = format!("/v1/replies/{id}/mentor-question");
    let without = anna.call(Method::PUT, &path).json(json!({"consent": false})).await;
    without.expect(422).blames(&[("/consent", "not_allowed")]);
    assert_eq!(waiting(&mentor).await.len(), 0, "nothing without consent");

    let first = ask_mentor(&anna, id).await.expect(200).json;
    let again = ask_mentor(&anna, id).await.expect(200).json;
    assert_eq!((&first["is_new"], &again["is_new"], &first["id"]), (&json!(true), &json!(false), &again["id"]));
    ask_mentor(&app.student("ben").await, id).await.expect(404).problem("reply_not_found");
    let [listed] = &waiting(&mentor).await[..] else { panic!("once") };
    assert_eq!((&listed["question"], &listed["student_id"]), (&json!("What is a viewport?"), &json!(anna.id)));
    let one = format!("/v1/mentor/questions/{}", first["id"].as_str().unwrap());
    anna.get(&one).await.expect(403);
    let shown = mentor.get(&one).await.expect(200);
    assert_eq!((&shown.json["question"], &shown.json["reply"]), (&json!("What is a viewport?"), &json!("A window")));
    assert!(!shown.text.contains("private"), "nothing else of the chat: {}", shown.text);

    let answer = format!("{one}/answer");
    mentor.post(&answer, json!({"text": "  "})).await.expect(422);
    let done = mentor.post(&answer, json!({"text": " The visible part. "})).await.expect(200).json;
    assert_eq!((&done["answer"], &done["answered_by"]), (&json!("The visible part."), &json!(mentor.id)));
    other.post(&answer, json!({"text": "No."})).await.expect(409).problem("mentor_question_answered");
    assert_eq!(waiting(&mentor).await.len(), 0);
    let past = other.get("/v1/mentor/questions?answered=true").await.expect(200).json;
    assert_eq!(past["items"][0]["id"], first["id"]);

    let page = anna.get(ASSISTANT).await.expect(200).json;
    let message = &page["items"][0];
    assert_eq!((&message["role"], &message["content"]), (&json!("mentor"), &json!("The visible part.")));
    assert_eq!((&message["reply_id"], &page["items"][1]["role"]), (&json!(id), &json!("assistant")));
    let asked = ask_mentor(&anna, id).await.expect(200).json;
    assert_eq!(asked["answer_id"], message["id"]);
    anna.delete(&path).await.expect(409).problem("mentor_question_answered");
    let event: Value =
        sqlx::query_scalar("SELECT event FROM user_events WHERE user_id = $1 AND event ->> 'type' = 'mentor.answered'")
            .bind(anna.id)
            .fetch_one(app.app.pool())
            .await
            .unwrap();
    assert_eq!((&event["reply_id"], &event["message_id"]), (&json!(id), &message["id"]));
    let report = verify(app.app.pool(), Mode::WhileRunning).await.unwrap();
    assert!(report.is_clean(), "{report:#?}");
}

#[tokio::test]
async fn what_is_withdrawn_cleared_or_deleted_is_not_shown_to_mentors() {
    let app = TestApp::new().await;
    app.leave_jobs();
    let (anna, ben, mentor) = (app.student("anna").await, app.student("ben").await, app.mentor("mia").await);
    let question = async |actor: &Actor, path: &str| {
        let id = answered(&app, actor, path, "A secret", "An answer").await;
        let asked = ask_mentor(actor, id).await.expect(200).json["id"].as_str().unwrap().to_owned();
        (id, format!("/v1/mentor/questions/{asked}"))
    };
    let (reply_id, withdrawn) = question(&anna, ASSISTANT).await;
    for _ in 0..2 {
        anna.delete(&format!("/v1/replies/{reply_id}/mentor-question")).await.expect(204);
    }
    let (_, cleared) = question(&anna, IDEAS).await;
    anna.delete(IDEAS).await.expect(204);
    let (_, deleted) = question(&ben, ASSISTANT).await;
    assert_eq!(waiting(&mentor).await.len(), 1);
    sqlx::query("UPDATE users SET deleted_at = now() WHERE id = $1")
        .bind(ben.id)
        .execute(app.app.pool())
        .await
        .unwrap();
    assert_eq!(waiting(&mentor).await.len(), 0);
    for path in [withdrawn, cleared, deleted] {
        mentor.get(&path).await.expect(404).problem("mentor_question_not_found");
        let answer = mentor.post(&format!("{path}/answer"), json!({"text": "Too late"})).await;
        answer.expect(404).problem("mentor_question_not_found");
    }
    assert_eq!(app.count("SELECT count(*) FROM tool_messages WHERE content = 'Too late'").await, 0);
}
