//! The activity log as a file.

use futures_util::StreamExt;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{logged, nothing};
use crate::support::TestApp;

const EXPORT: &str = "/v1/admin/activity/export";

#[tokio::test]
async fn a_file_has_every_row_and_no_formula() {
    let app = TestApp::new().await;
    // Each export is recorded.
    app.leave_jobs();
    let (root, lesson) = (app.admin("root").await, Uuid::from_u128(1));
    for (at, title) in [("2026-10-01T00:00:00Z", "=HYPERLINK(\"http://x\")"), ("2026-10-02T00:00:00Z", "A, b")] {
        logged(&app, at, root.id, "lesson.updated", Some(("lesson", lesson, title)), json!({"after": {"n": 1}})).await;
    }
    let csv = root.get(EXPORT).await.expect(200);
    assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
    assert_eq!(csv.header("content-disposition"), "attachment; filename=\"activity.csv\"");
    let lines: Vec<&str> = csv.text.split_terminator("\r\n").collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].starts_with("id,occurred_at,actor_id,actor_email,action,"));
    assert!(lines[1].contains(",\"root@example.test\",lesson.updated,lesson,"), "{}", lines[1]);
    assert!(lines[1].contains(",\"A, b\","), "{}", lines[1]);
    assert!(lines[2].contains(",\"'=HYPERLINK(\"\"http://x\"\")\","), "{}", lines[2]);
    assert!(lines[2].ends_with(",\"{\"\"after\"\":{\"\"n\"\":1}}\""), "{}", lines[2]);

    for call in
        [root.get(&format!("{EXPORT}?format=ndjson")), root.get(EXPORT).header("Accept", "application/x-ndjson, */*")]
    {
        let ndjson = call.await.expect(200);
        assert_eq!(ndjson.header("content-type"), "application/x-ndjson");
        let rows: Vec<Value> = ndjson.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(rows.len(), 2);
        assert_eq!((&rows[0]["target"]["title"], &rows[1]["details"]), (&json!("A, b"), &json!({"after": {"n": 1}})));
    }
    let none = root.get(&format!("{EXPORT}?to=2020-01-01T00:00:00Z")).await.expect(200);
    assert_eq!(none.text.lines().count(), 1, "the names alone");
    root.get(&format!("{EXPORT}?format=xlsx")).invalid().await.expect(400).problem("malformed_parameter");
}

#[tokio::test]
async fn a_long_file_is_complete_and_has_each_row_once() {
    let app = TestApp::new().await;
    // Each export is recorded.
    app.leave_jobs();
    let root = app.admin("root").await;
    sqlx::query(
        "INSERT INTO activity_log (id, occurred_at, action)
         SELECT gen_random_uuid(), '2026-10-01'::timestamptz + n / 3 * interval '1 hour', 'user.registered'
         FROM generate_series(1, 1301) n",
    )
    .execute(app.app.pool())
    .await
    .unwrap();
    let text = root.get(&format!("{EXPORT}?format=ndjson")).await.expect(200).text;
    let mut ids: Vec<String> =
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].to_string()).collect();
    assert_eq!(ids.len(), 1301);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 1301);
}

#[tokio::test]
async fn an_export_ends_when_the_caller_is_no_longer_an_admin() {
    let app = TestApp::new().await;
    // Each export is recorded.
    app.leave_jobs();
    let root = app.admin("root").await;
    // The last active admin cannot be demoted.
    app.admin("other").await;
    for _ in 0..501 {
        logged(&app, "2026-10-01T00:00:00Z", root.id, "user.registered", None, nothing()).await;
    }
    let mut pieces = root.get(EXPORT).body().await;
    pieces.next().await.unwrap().unwrap();
    sqlx::query("UPDATE users SET role = 'student' WHERE id = $1").bind(root.id).execute(app.app.pool()).await.unwrap();
    let rest: Vec<_> = pieces.collect().await;
    assert!(rest.iter().any(Result::is_err), "{rest:?}");
}
