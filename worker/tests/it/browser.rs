//! Tests the board in a real browser.

use crate::support::Harness;
use cairn_testing::browser::Browser;
use cairn_testing::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_renders_the_board() {
    let Some(browser) = Browser::start().await else { return };
    let harness = Harness::new().await;
    let (worker, ops) = harness.serve().await;
    harness.enqueue_events(2).await;
    let dead = harness.insert_raw("likes", b"garbage").await;
    eventually("the jobs have run", async || {
        harness.count("activity", "Done").await == 2 && harness.count("likes", "Killed").await == 1
    })
    .await;
    let done: String = sqlx::query_scalar("SELECT min(id) FROM apalis.jobs WHERE job_type = 'activity'")
        .fetch_one(harness.pool())
        .await
        .unwrap();

    browser.shows(&ops.url("/"), &["Killed Jobs\n1", "Done Jobs\n", "progress-bulk", "maintenance", "Healthy"]).await;
    browser.shows(&ops.url("/queues/likes"), &["likes", "Last Heartbeat", "likes-", "just now"]).await;
    browser.shows(&ops.url("/queues/activity/Done"), &[&done, "Done"]).await;
    browser.shows(&ops.url("/tasks/Killed"), &[&dead, "likes"]).await;
    let job = ops.url(&format!("/queues/likes/tasks/{dead}"));
    browser.shows(&job, &[&dead, "Killed", "\"unreadable\": \"garbage\"", "the payload cannot be read"]).await;
    drop(browser);
    worker.stop().await;
}
