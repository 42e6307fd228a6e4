//! The numbers of lessons.

use serde_json::{Value, json};

use super::{refreshed, refreshed_lessons, run, with_people, wrong};

const LESSONS: &str = "/v1/admin/stats/lessons";

#[tokio::test]
async fn a_lesson_has_its_starts_completions_and_median() {
    let app = with_people().await;
    let admin = app.admin("root").await;
    run(
        &app,
        "INSERT INTO user_lesson_progress (user_id, lesson_id, status, started_at, completed_at, updated_at)
         SELECT md5('u' || n)::uuid, md5('l1')::uuid, CASE WHEN minutes IS NULL THEN 'in_progress' ELSE 'completed' END::lesson_status,
             now() - interval '1 day', now() - interval '1 day' + minutes * interval '1 minute', now() - interval '1 hour'
         FROM (VALUES (1, 10), (2, 20), (3, 60), (4, NULL), (5, 0)) AS v (n, minutes)",
    )
    .await;
    let find = async || {
        let page = admin.get(&format!("{LESSONS}?limit=100")).await.expect(200).json;
        page["items"].as_array().unwrap().iter().find(|item| item["title"] == "Lesson 1").unwrap().clone()
    };
    let before = find().await;
    assert_eq!((&before["starts"], &before["as_of"]), (&json!(0), &Value::Null));
    refreshed_lessons(&app).await;
    let after = find().await;
    assert_eq!((&after["starts"], &after["completions"]), (&json!(5), &json!(4)));
    assert_eq!(after["median_seconds"], 1200, "of those who took any time");
    assert!(!after["as_of"].is_null());
    assert_eq!(wrong(&app).await, []);

    // Numbers that are younger than a minute are left alone, unless facts were removed.
    run(&app, "DELETE FROM users WHERE id = md5('u1')::uuid").await;
    assert_eq!(wrong(&app).await, [], "marked");
    refreshed(&app).await;
    refreshed_lessons(&app).await;
    assert_eq!(find().await["starts"], 4);
    run(&app, "UPDATE lesson_stats SET starts = 9 WHERE starts = 4").await;
    assert_eq!(wrong(&app).await, [cairn_core::admin::verify::Kind::LessonStats]);
}

#[tokio::test]
async fn lessons_have_pages_and_an_export() {
    let app = with_people().await;
    let admin = app.admin("root").await;
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = admin.get(&format!("{LESSONS}?limit=4{cursor}")).await.expect(200).json;
        seen.extend(page["items"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen.len(), 9);
    run(&app, "UPDATE lessons SET title = '@lesson' WHERE slug = 'lesson-1'; UPDATE lessons SET deleted_at = now() WHERE slug = 'lesson-2'").await;
    let csv = admin.get(LESSONS).header("Accept", "text/csv").await.expect(200).text;
    assert_eq!(csv.lines().count(), 9);
    assert!(csv.contains(",\"'@lesson\",0,0,,"), "{csv}");
    let ndjson = admin.get(&format!("{LESSONS}?format=ndjson")).await.expect(200).text;
    assert_eq!(ndjson.lines().count(), 8);
}
