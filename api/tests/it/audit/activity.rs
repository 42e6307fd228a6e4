//! Lists of activities.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{logged, nothing};
use crate::support::{Actor, TestApp};

const LIST: &str = "/v1/admin/activity";

/// Lessons that Anna and Ben started and completed, in three months, two of them at the same moment.
async fn with_log() -> (TestApp, Actor, Actor, Actor, [Uuid; 2]) {
    let app = TestApp::new().await;
    let (root, anna, ben) = (app.admin("root").await, app.student("anna").await, app.student("ben").await);
    let lessons = [Uuid::from_u128(1), Uuid::from_u128(2)];
    for (at, actor, action, lesson) in [
        ("2026-09-30T23:59:59Z", &anna, "lesson.started", 0),
        ("2026-10-01T00:00:00Z", &anna, "lesson.completed", 0),
        ("2026-10-05T12:00:00Z", &ben, "lesson.started", 0),
        ("2026-10-05T12:00:00Z", &anna, "lesson.started", 1),
        ("2026-11-02T08:00:00Z", &ben, "lesson.completed", 0),
    ] {
        logged(&app, at, actor.id, action, Some(("lesson", lessons[lesson], "Hello")), nothing()).await;
    }
    logged(&app, "2026-11-03T08:00:00Z", root.id, "user.registered", None, nothing()).await;
    (app, root, anna, ben, lessons)
}

fn actions(page: &Value) -> Vec<(&str, &str)> {
    let items = page["items"].as_array().unwrap().iter();
    items
        .map(|item| (item["occurred_at"].as_str().unwrap().get(5..10).unwrap(), item["action"].as_str().unwrap()))
        .collect()
}

#[tokio::test]
async fn every_filter_selects_and_they_combine() {
    let (_app, root, anna, ben, lessons) = with_log().await;
    let (a, b, first, second) = (anna.id, ben.id, lessons[0], lessons[1]);
    for (query, expected) in [
        (String::new(), 6),
        (format!("user_id={a}"), 3),
        ("action=lesson.completed".to_owned(), 2),
        ("target_type=lesson".to_owned(), 5),
        ("target_type=style".to_owned(), 0),
        (format!("target_id={first}"), 4),
        (format!("target_type=lesson&target_id={second}"), 1),
        (format!("target_type=style&target_id={second}"), 0),
        (format!("user_id={b}&action=lesson.started"), 1),
        (format!("user_id={b}&action=lesson.started&target_id={second}"), 0),
        ("from=2026-10-01T00:00:00Z".to_owned(), 5),
        ("to=2026-10-01T00:00:00Z".to_owned(), 1),
        ("from=2026-10-01T00:00:00Z&to=2026-11-01T00:00:00Z&action=lesson.started".to_owned(), 2),
        (format!("user_id={a}&from=2026-10-02T00:00:00Z"), 1),
    ] {
        let page = root.get(&format!("{LIST}?{query}")).await.expect(200).json;
        assert_eq!(page["items"].as_array().unwrap().len(), expected, "{query}: {page:#}");
    }
    let page = root.get(&format!("{LIST}?limit=2")).await.expect(200).json;
    assert_eq!(actions(&page), [("11-03", "user.registered"), ("11-02", "lesson.completed")]);
    assert_eq!(page["items"][0]["target"], Value::Null);
    assert_eq!(page["items"][1]["target"], json!({"type": "lesson", "id": first, "title": "Hello"}));
    assert_eq!(page["items"][1]["actor"]["email"], "ben@example.test");
    for bad in ["from=-0100-01-01T00:00:00Z", "from=yesterday", "action=lesson", "target_type=a-b", "user_id=x"] {
        root.get(&format!("{LIST}?{bad}")).invalid().await.expect(400).problem("malformed_parameter");
    }
}

#[tokio::test]
async fn pages_have_a_total_order_across_months_and_filters() {
    let (_app, root, anna, _, lessons) = with_log().await;
    for query in [
        String::new(),
        format!("user_id={}", anna.id),
        format!("target_id={}", lessons[0]),
        "action=lesson.started".into(),
        "target_type=lesson".into(),
    ] {
        let whole = root.get(&format!("{LIST}?{query}")).await.expect(200).json["items"].clone();
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = root.get(&format!("{LIST}?limit=1&{query}{cursor}")).await.expect(200).json;
            seen.extend(page["items"].as_array().unwrap().iter().cloned());
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(Value::from(seen), whole, "{query}");
    }
}

#[tokio::test]
async fn one_activity_shows_what_was_recorded() {
    let app = TestApp::new().await;
    let root = app.admin("root").await;
    let path = "/v1/admin/settings/navigation.search";
    let change =
        root.put(path).json(json!({"value": false})).header("If-Match", "\"1\"").header("User-Agent", "curl/8");
    change.await.expect(200);
    app.run_jobs().await;
    let listed = root.get(LIST).await.expect(200).json["items"][0].clone();
    let one = root.get(&format!("{LIST}/{}", listed["id"].as_str().unwrap())).await.expect(200).json;
    assert_eq!((&one["id"], &one["action"]), (&listed["id"], &json!("setting.updated")));
    assert_eq!(one["details"]["after"]["value"], false);
    assert_eq!(one["user_agent"], "curl/8");
    root.get(&format!("{LIST}/{}", Uuid::from_u128(7))).await.expect(404).problem("activity_not_found");
}

/// Served from the view `recent_student_activity`.
#[tokio::test]
async fn recent_activity_is_that_of_live_learners() {
    let (app, root, anna, ben, _) = with_log().await;
    sqlx::query("UPDATE users SET deleted_at = now() WHERE id = $1")
        .bind(ben.id)
        .execute(app.app.pool())
        .await
        .unwrap();
    let first = root.get("/v1/admin/activity/students?limit=2").await.expect(200).json;
    assert_eq!(actions(&first), [("10-05", "lesson.started"), ("10-01", "lesson.completed")]);
    assert_eq!(first["items"][0]["actor"]["id"], json!(anna.id));
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = root.get(&format!("/v1/admin/activity/students?limit=2&cursor={cursor}")).await.expect(200).json;
    assert_eq!((actions(&second), &second["next_cursor"]), (vec![("09-30", "lesson.started")], &Value::Null));
}
