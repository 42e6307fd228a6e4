//! Tasks of lessons.

use serde_json::json;
use uuid::Uuid;

use super::{check, check_path, complete, lesson, logged, progress, race, some, uncheck, uncomplete};
use crate::support::TestApp;
use cairn_testing::course::Course;

#[tokio::test]
async fn tasks_complete_a_lesson_whose_rule_is_tasks() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let course = Course::new(app.app.pool()).await;
    let path = course.path(false, &[1]).await;
    let id = path.lessons[0][0];
    course.complete_by_tasks(id).await;
    let (one, two) = (course.task(id, "One", true).await, course.task(id, "Two", true).await);
    let extra = course.task(id, "Extra", false).await;
    let refused = complete(&anna, id).await.expect(409).problem("tasks_incomplete");
    assert_eq!(refused.json["detail"], "Check the required tasks first: “One”, “Two”.");
    assert_eq!(app.count("SELECT count(*) FROM user_lesson_progress").await, 0, "nothing half-written");
    let first = check(&anna, id, one).await.expect(200).json;
    assert_eq!((&first["is_changed"], &first["status"]), (&json!(true), &json!("in_progress")));
    let refused = complete(&anna, id).await.expect(409).problem("tasks_incomplete");
    assert_eq!(refused.json["detail"], "Check the required tasks first: “Two”.");
    assert_eq!(check(&anna, id, one).await.expect(200).json["is_changed"], false);
    assert_eq!(check(&anna, id, extra).await.expect(200).json["status"], "in_progress");
    let last = check(&anna, id, two).await.expect(200).json;
    assert_eq!(last["status"], "completed");
    assert_eq!(last["progress"], json!([{"roadmap_id": path.id, "seq": 2}]));
    let repeated = complete(&anna, id).await.expect(200).json;
    assert_eq!((&repeated["is_changed"], &repeated["completed_at"]), (&json!(false), &last["completed_at"]));
    assert_eq!(uncheck(&anna, id, extra).await.expect(200).json["status"], "completed", "optional tasks never matter");
    let reopened = uncheck(&anna, id, one).await.expect(200).json;
    assert_eq!(
        some(&reopened, &["is_changed", "status", "started_at", "completed_at"]),
        json!({"is_changed": true, "status": "in_progress", "started_at": first["started_at"], "completed_at": null})
    );
    assert_eq!(uncheck(&anna, id, one).await.expect(200).json["is_changed"], false);
    assert_eq!(
        logged(&app).await,
        [
            "task.checked",
            "task.checked",
            "task.checked",
            "lesson.completed",
            "task.unchecked",
            "task.unchecked",
            "lesson.reopened"
        ]
    );
    assert_eq!(progress(&anna, path.id, "").await["percent"], 0);
}

#[tokio::test]
async fn tasks_count_as_they_are_now() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let course = Course::new(app.app.pool()).await;
    let id = course.lesson("By tasks").await;
    course.complete_by_tasks(id).await;
    let extra = course.task(id, "Extra", false).await;
    check(&anna, id, extra).await.expect(200);
    assert_eq!(lesson(&anna, id).await["status"], "in_progress", "an optional task completes nothing");
    complete(&anna, id).await.expect(200);
    let added = course.task(id, "Added later", true).await;
    assert_eq!(complete(&anna, id).await.expect(200).json["is_changed"], false, "what was completed stays");
    uncomplete(&anna, id).await.expect(200);
    complete(&anna, id).await.expect(409).problem("tasks_incomplete");
    course.edit("UPDATE lesson_tasks SET deleted_at = now() WHERE id = $1", added).await;
    complete(&anna, id).await.expect(200);
    app.run_jobs().await;
}

#[tokio::test]
async fn tasks_do_not_complete_a_lesson_that_is_completed_by_hand() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let course = Course::new(app.app.pool()).await;
    let id = course.lesson("By hand").await;
    let task = course.task(id, "One", true).await;
    assert_eq!(
        some(&uncheck(&anna, id, task).await.expect(200).json, &["is_changed", "status"]),
        json!({"is_changed": false, "status": "available"}),
        "unchecking does not start a lesson"
    );
    assert_eq!(check(&anna, id, task).await.expect(200).json["status"], "in_progress");
    complete(&anna, id).await.expect(200);
    assert_eq!(uncheck(&anna, id, task).await.expect(200).json["status"], "completed");
    complete(&anna, id).await.expect(200);
    assert_eq!(logged(&app).await, ["task.checked", "lesson.completed", "task.unchecked"]);
}

#[tokio::test]
async fn a_task_belongs_to_its_lesson() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let course = Course::new(app.app.pool()).await;
    let (id, other) = (course.lesson("One").await, course.lesson("Other").await);
    let (foreign, deleted) = (course.task(other, "Foreign", true).await, course.task(id, "Deleted", true).await);
    course.edit("UPDATE lesson_tasks SET deleted_at = now() WHERE id = $1", deleted).await;
    for task in [foreign, deleted, Uuid::nil()] {
        check(&anna, id, task).await.expect(404).problem("task_not_found");
        uncheck(&anna, id, task).await.expect(404).problem("task_not_found");
    }
    assert_eq!(app.count("SELECT count(*) FROM user_lesson_progress").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_checks_of_the_last_tasks_complete_once() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let course = Course::new(app.app.pool()).await;
    for _ in 0..10 {
        let id = course.lesson("By tasks").await;
        course.complete_by_tasks(id).await;
        let tasks = [course.task(id, "One", true).await, course.task(id, "Two", true).await];
        let answers = race(2, |n| check_path(id, tasks[n]), &anna).await;
        assert!(answers.iter().all(|answer| answer["is_changed"] == true));
        assert_eq!(
            answers.iter().filter(|answer| answer["status"] == "completed").count(),
            1,
            "the later one completes"
        );
        assert_eq!(lesson(&anna, id).await["status"], "completed");
    }
    let actions = logged(&app).await;
    assert_eq!(actions.iter().filter(|action| *action == "lesson.completed").count(), 10);
    assert_eq!(actions.iter().filter(|action| *action == "task.checked").count(), 20);
}
