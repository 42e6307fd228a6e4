//! The caller's own progress and activity.

use serde_json::{Value, json};

use super::{check, complete, start};
use crate::support::TestApp;
use cairn_testing::course::Course;

#[tokio::test]
async fn my_activity_is_mine_and_newest_first() {
    let app = TestApp::new().await;
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    let course = Course::new(app.app.pool()).await;
    let (one, two) = (course.lesson("One").await, course.lesson("Two").await);
    let task = course.task(one, "Do it", false).await;
    start(&anna, one).await.expect(200);
    check(&anna, one, task).await.expect(200);
    start(&ben, one).await.expect(200);
    complete(&anna, two).await.expect(200);
    app.run_jobs().await;
    let mut seen = Vec::new();
    let mut query = "?limit=2".to_owned();
    loop {
        let page = anna.get(&format!("/v1/me/activity{query}")).await.expect(200).json;
        seen.extend(page["items"].as_array().unwrap().clone());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        query = format!("?limit=2&cursor={cursor}");
    }
    let expected = [
        ("lesson.completed", json!({"type": "lesson", "id": two, "title": "Two"})),
        ("task.checked", json!({"type": "task", "id": task, "title": "Do it"})),
        ("lesson.started", json!({"type": "lesson", "id": one, "title": "One"})),
    ];
    let seen: Vec<(&str, Value)> =
        seen.iter().map(|item| (item["action"].as_str().unwrap(), item["target"].clone())).collect();
    assert_eq!(seen, expected);
}
