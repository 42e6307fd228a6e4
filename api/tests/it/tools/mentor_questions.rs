//! Replies that learners put before the mentors.

use std::sync::Arc;

use cairn_core::admin::verify::{Mode, verify};
use futures_util::future::join_all;
use poem::http::Method;
use serde_json::{Value, json};
use tokio::sync::Barrier;
use uuid::Uuid;

use super::{ASSISTANT, IDEAS, asked, begin, complete};
use crate::support::{Actor, Reply, TestApp};

/// Asks a tool and has it answer. Returns the id of the reply.
async fn answered(app: &TestApp, actor: &Actor, path: &str, question: &str, answer: &str) -> Uuid {
    let id = asked(actor, path, question).await;
    let attempt = begin(app, id).await.unwrap();
    complete(app, &attempt, answer).await;
    id
}

async fn ask_mentor(actor: &Actor, reply_id: Uuid) -> Reply {
    actor.call(Method::PUT, &format!("/v1/replies/{reply_id}/mentor-question")).json(json!({"consent": true})).await
}

async fn waiting(mentor: &Actor) -> Vec<Value> {
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

#[tokio::test(flavor = "multi_thread")]
async fn of_mentors_who_answer_at_once_one_succeeds() {
    let app = TestApp::new().await;
    app.leave_jobs();
    let anna = app.student("anna").await;
    let id = answered(&app, &anna, ASSISTANT, "Why?", "Because").await;
    let barrier = Arc::new(Barrier::new(4));
    let asking = (0..4).map(|_| {
        let (anna, barrier) = (anna.clone(), Arc::clone(&barrier));
        tokio::spawn(async move {
            barrier.wait().await;
            ask_mentor(&anna, id).await.expect(200).json["is_new"] == true
        })
    });
    let new = join_all(asking).await.into_iter().filter(|is_new| *is_new.as_ref().unwrap()).count();
    assert_eq!(new, 1);
    let question = waiting(&app.mentor("mia").await).await[0]["id"].as_str().unwrap().to_owned();
    let mut mentors = Vec::new();
    for n in 0..4 {
        mentors.push(app.mentor(&format!("mentor-{n}")).await);
    }
    let answering = mentors.into_iter().map(|mentor| {
        let (question, barrier) = (question.clone(), Arc::clone(&barrier));
        tokio::spawn(async move {
            barrier.wait().await;
            let path = format!("/v1/mentor/questions/{question}/answer");
            mentor.post(&path, json!({"text": "Because of that"})).await.status.as_u16()
        })
    });
    let mut statuses: Vec<u16> = join_all(answering).await.into_iter().map(Result::unwrap).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409, 409]);
    assert_eq!(app.count("SELECT count(*) FROM tool_messages WHERE content = 'Because of that'").await, 1);
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

#[tokio::test]
async fn questions_to_the_mentors_are_listed_in_pages() {
    let app = TestApp::new().await;
    app.leave_jobs();
    let mentor = app.mentor("mia").await;
    for n in 0..5 {
        let learner = app.student(&format!("learner-{n}")).await;
        let id = answered(&app, &learner, ASSISTANT, &format!("Question {n}"), "Answer").await;
        ask_mentor(&learner, id).await.expect(200);
    }
    for (query, answers) in [("?limit=2", false), ("?limit=2&answered=true", true)] {
        if answers {
            for item in waiting(&mentor).await {
                let path = format!("/v1/mentor/questions/{}/answer", item["id"].as_str().unwrap());
                mentor.post(&path, json!({"text": "Yes"})).await.expect(200);
            }
        }
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = mentor.get(&format!("/v1/mentor/questions{query}{cursor}")).await.expect(200).json;
            seen.extend(
                page["items"].as_array().unwrap().iter().map(|item| item["question"].as_str().unwrap().to_owned()),
            );
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        let mut expected: Vec<String> = (0..5).map(|n| format!("Question {n}")).collect();
        if answers {
            expected.reverse();
        }
        assert_eq!(seen, expected);
    }
}
