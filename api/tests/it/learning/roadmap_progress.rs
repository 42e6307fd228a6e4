//! Progress in one roadmap.

use serde_json::{Value, json};

use super::{all, complete, progress, some, start, uncomplete};
use crate::support::TestApp;
use cairn_testing::course::Course;

const ROLLUP_JOBS: &str = "SELECT count(*) FROM apalis.jobs WHERE job_type = 'progress'";

#[tokio::test]
async fn progress_waits_for_a_change() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let path = Course::new(app.app.pool()).await.path(true, &[1, 1]).await;
    start(&anna, path.lessons[0][0]).await.expect(200);
    app.run_jobs().await;
    let change = complete(&anna, path.lessons[0][0]).await.expect(200).json;
    assert_eq!(change["progress"], json!([{"roadmap_id": path.id, "seq": 2}]));
    let stale = progress(&anna, path.id, "").await;
    assert_eq!(some(&stale, &["seq", "is_current", "percent"]), json!({"seq": 1, "is_current": false, "percent": 0}));
    // No worker is running, but the wait ends nevertheless.
    let stale = progress(&anna, path.id, "?min_seq=2").await;
    assert_eq!(some(&stale, &["seq", "is_current", "percent"]), json!({"seq": 1, "is_current": false, "percent": 0}));
    let (waited, _) = tokio::join!(progress(&anna, path.id, "?min_seq=2"), app.run_jobs());
    let after = progress(&anna, path.id, "?min_seq=2").await;
    assert_eq!(
        some(&after, &["roadmap_id", "seq", "is_current", "percent", "status"]),
        json!({"roadmap_id": path.id, "seq": 2, "is_current": true, "percent": 50, "status": "in_progress"})
    );
    assert_eq!(waited, after, "the waiting call saw it too");
    assert_eq!(all(&after["stages"], "stage_id"), [&json!(path.stages[0]), &json!(path.stages[1])]);
    assert_eq!(all(&after["stages"], "status"), ["completed", "available"]);
    let future = progress(&anna, path.id, "?min_seq=7").await;
    assert_eq!(
        some(&future, &["seq", "is_current"]),
        json!({"seq": 2, "is_current": false}),
        "there has been no such change"
    );
}

#[tokio::test]
async fn changes_before_a_rollup_share_its_job() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let path = Course::new(app.app.pool()).await.path(false, &[5]).await;
    for (n, id) in path.lessons[0].iter().enumerate() {
        let change = complete(&anna, *id).await.expect(200).json;
        assert_eq!(change["progress"][0]["seq"], n + 1);
    }
    assert_eq!(app.count(ROLLUP_JOBS).await, 1);
    app.run_jobs().await;
    assert_eq!(some(&progress(&anna, path.id, "").await, &["seq", "percent"]), json!({"seq": 5, "percent": 100}));
    uncomplete(&anna, path.lessons[0][0]).await.expect(200);
    assert_eq!(app.count(ROLLUP_JOBS).await, 2, "the marker was clean again");
    app.run_jobs().await;
    let after = progress(&anna, path.id, "").await;
    assert_eq!((&after["percent"], &after["completed_at"]), (&json!(80), &Value::Null));
    assert!(after["achieved_at"].is_string(), "achieved once stays");
}
