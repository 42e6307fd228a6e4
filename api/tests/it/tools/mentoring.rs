//! What mentors do with the questions of learners.

use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::Barrier;

use super::ASSISTANT;
use super::mentor_questions::{answered, ask_mentor, waiting};
use crate::support::TestApp;

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
