//! Starting, completing and reopening lessons.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::{complete, completion_path, lesson, logged, progress, race, some, start, uncomplete};
use crate::support::TestApp;
use cairn_testing::course::Course;

#[tokio::test]
async fn starting_is_done_once() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let path = Course::new(app.app.pool()).await.path(false, &[2]).await;
    let id = path.lessons[0][0];
    let before = lesson(&anna, id).await;
    assert_eq!(some(&before, &["status", "started_at"]), json!({"status": "available", "started_at": null}));
    let first = start(&anna, id).await.expect(200).json;
    assert_eq!(
        some(&first, &["lesson_id", "is_changed", "status", "completed_at", "progress"]),
        json!({"lesson_id": id, "is_changed": true, "status": "in_progress", "completed_at": null,
               "progress": [{"roadmap_id": path.id, "seq": 1}]})
    );
    let again = start(&anna, id).await.expect(200).json;
    assert_eq!(again["is_changed"], false);
    assert_eq!(again["started_at"], first["started_at"]);
    assert_eq!(again["progress"], first["progress"]);
    complete(&anna, id).await.expect(200);
    assert_eq!(start(&anna, id).await.expect(200).json["status"], "completed", "it starts nothing over");
    assert_eq!(logged(&app).await, ["lesson.started", "lesson.completed"]);
}

#[tokio::test]
async fn completing_again_changes_nothing() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let path = Course::new(app.app.pool()).await.path(false, &[2]).await;
    let id = path.lessons[0][0];
    let first = complete(&anna, id).await.expect(200).json;
    assert_eq!((&first["status"], &first["is_changed"]), (&json!("completed"), &json!(true)));
    assert_eq!(first["started_at"], first["completed_at"], "completing starts what was not started");
    app.run_jobs().await;
    let again = complete(&anna, id).await.expect(200).json;
    assert_eq!(again["is_changed"], false);
    assert_eq!(
        some(&again, &["started_at", "completed_at", "progress"]),
        some(&first, &["started_at", "completed_at", "progress"])
    );
    assert_eq!(app.run_jobs().await, 0, "a repeat enqueues nothing");
    assert_eq!(app.count("SELECT requested_seq FROM progress_dirty").await, 1);
    assert_eq!(logged(&app).await, ["lesson.completed"]);
}

#[tokio::test]
async fn a_completion_can_be_taken_back() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let path = Course::new(app.app.pool()).await.path(false, &[2]).await;
    let id = path.lessons[0][0];
    let untouched = uncomplete(&anna, id).await.expect(200).json;
    assert_eq!(
        untouched,
        json!({"lesson_id": id, "is_changed": false, "status": "available", "started_at": null, "completed_at": null, "progress": []})
    );
    let started = start(&anna, id).await.expect(200).json;
    assert_eq!(uncomplete(&anna, id).await.expect(200).json["is_changed"], false, "it was not completed");
    complete(&anna, id).await.expect(200);
    app.run_jobs().await;
    assert_eq!(progress(&anna, path.id, "").await["percent"], 50);
    let back = uncomplete(&anna, id).await.expect(200).json;
    assert_eq!(
        back,
        json!({"lesson_id": id, "is_changed": true, "status": "in_progress", "started_at": started["started_at"],
               "completed_at": null, "progress": [{"roadmap_id": path.id, "seq": 3}]})
    );
    assert_eq!(uncomplete(&anna, id).await.expect(200).json["is_changed"], false);
    app.run_jobs().await;
    assert_eq!(progress(&anna, path.id, "").await["percent"], 0);
    assert_eq!(logged(&app).await, ["lesson.started", "lesson.completed", "lesson.reopened"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_completions_and_reopenings_end_exact() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let path = Course::new(app.app.pool()).await.path(false, &[2]).await;
    let id = path.lessons[0][0];
    let barrier = Arc::new(Barrier::new(50));
    let mut calls = JoinSet::new();
    for n in 0..50 {
        let (anna, barrier) = (anna.clone(), Arc::clone(&barrier));
        calls.spawn(async move {
            barrier.wait().await;
            let reply = if n % 2 == 0 { complete(&anna, id).await } else { uncomplete(&anna, id).await };
            (n % 2 == 0, reply.expect(200).json["is_changed"] == true)
        });
    }
    let answers = calls.join_all().await;
    let changed = |completing: bool| answers.iter().filter(|answer| **answer == (completing, true)).count();
    let (completed, reopened) = (changed(true), changed(false));
    let is_completed = lesson(&anna, id).await["status"] == "completed";
    assert_eq!(completed, reopened + usize::from(is_completed), "completions and reopenings take turns");
    let actions = logged(&app).await;
    let count = |action: &str| actions.iter().filter(|name| *name == action).count();
    assert_eq!((count("lesson.completed"), count("lesson.reopened")), (completed, reopened));
    assert_eq!(
        app.count("SELECT requested_seq FROM progress_dirty").await,
        i64::try_from(completed + reopened).unwrap()
    );
    let numbers = progress(&anna, path.id, "").await;
    assert_eq!(
        (&numbers["lessons_completed"], &numbers["is_current"]),
        (&json!(i32::from(is_completed)), &json!(true))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_completions_are_one() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let path = Course::new(app.app.pool()).await.path(false, &[1]).await;
    let id = path.lessons[0][0];
    let answers = race(20, |_| completion_path(id), &anna).await;
    assert_eq!(answers.iter().filter(|answer| answer["is_changed"] == true).count(), 1);
    assert!(answers.iter().all(|answer| answer["completed_at"] == answers[0]["completed_at"]));
    assert_eq!(logged(&app).await, ["lesson.completed", "stage.achieved", "roadmap.achieved"]);
}
