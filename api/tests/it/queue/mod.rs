//! Queues, workers and jobs, as admins see and act on them.

mod bulk;
mod jobs;
mod queues;
mod workers;

use crate::support::{Actor, TestApp};

const RETRY: &str = "/v1/admin/jobs/retry";

const DISCARD: &str = "/v1/admin/jobs/discard";

/// A job in each state, of which nothing but the id matters, and a dead one with a history.
const JOBS: &str = r#"
    INSERT INTO apalis.workers (id, worker_type, storage_name, started_at) VALUES
        ('likes-w', 'likes', 'cairn', now()), ('replies-w', 'replies', 'cairn', now());
    INSERT INTO apalis.jobs (id, job_type, job, status, attempts, run_at, lock_by, lock_at, done_at, last_result) VALUES
        ('due', 'likes', '{"kind":"count_likes","v":1,"data":{}}', 'Pending', 0, now() - interval '9 s', NULL, NULL, NULL, NULL),
        ('scheduled', 'likes', 'x', 'Pending', 0, now() + interval '1 h', NULL, NULL, NULL, NULL),
        ('retrying', 'likes', 'x', 'Failed', 3, now() + interval '2 h', NULL, NULL, NULL, NULL),
        ('running', 'likes', 'x', 'Running', 1, now() - interval '8 s', 'likes-w', now(), NULL, NULL),
        ('done', 'likes', 'x', 'Done', 1, now() - interval '1 h', NULL, NULL, now() - interval '7 s', '{"Ok": null}'),
        ('dead', 'likes', '{"kind":"count_likes","v":1,"data":{"project_id":"x"}}', 'Killed', 25, now() - interval '1 h', NULL,
            now() - interval '6 s', now() - interval '6 s', '{"Err": "it broke", "attempts": [
                {"attempt": 24, "at": "2026-05-09T07:30:00Z", "error": "it fell"},
                {"attempt": 25, "at": "2026-05-09T07:40:00Z", "error": "it broke"}]}'),
        ('garbage', 'maintenance', '\xff00', 'Killed', 1, now() - interval '1 h', NULL, NULL, now() - interval '5 s', '7')
"#;

async fn with_jobs() -> (TestApp, Actor) {
    let app = TestApp::new().await;
    app.leave_jobs();
    sqlx::raw_sql(JOBS).execute(app.app.pool()).await.unwrap();
    let ada = app.admin("ada").await;
    (app, ada)
}

async fn ids(ada: &Actor, query: &str) -> Vec<String> {
    let page = ada.get(&format!("/v1/admin/jobs{query}")).await.expect(200).json;
    page["items"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
}

/// Every row, but for the events.
async fn snapshot(app: &TestApp) -> Vec<String> {
    sqlx::query_scalar("SELECT j::text FROM apalis.jobs j WHERE job_type <> 'activity' ORDER BY id")
        .fetch_all(app.app.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn unknown_names_are_answered_with_the_known_ones() {
    let (app, ada) = with_jobs().await;
    let before = snapshot(&app).await;
    let queues = "\"activity\", \"progress\", \"progress-bulk\", \"likes\", \"replies\", \"maintenance\" is expected.";
    let says = |reply: &crate::support::Reply, text: &str| {
        assert!(reply.json["errors"][0]["message"].as_str().unwrap().contains(text), "{reply:#?}");
    };
    for method in [poem::http::Method::PUT, poem::http::Method::DELETE] {
        let reply = ada.call(method, "/v1/admin/queues/like/pause").invalid().await.expect(400);
        says(&reply, queues);
        reply.problem("malformed_parameter").blames(&[("queue_name", "not_allowed")]);
    }
    for (query, name, code, text) in [
        ("queue=Likes", "queue", "not_allowed", queues),
        (
            "state=failed",
            "state",
            "not_allowed",
            "\"due\", \"scheduled\", \"retrying\", \"running\", \"done\", \"dead\"",
        ),
        ("kind=fly_to_moon", "kind", "not_allowed", "\"record_activity\", \"roll_up_progress\", \"recompute_roadmap\""),
        ("limit=101", "limit", "too_large", "At most 100 is allowed."),
    ] {
        let reply = ada.get(&format!("/v1/admin/jobs?{query}")).invalid().await.expect(400);
        says(&reply, text);
        reply.blames(&[(name, code)]);
    }
    let reply = ada.get("/v1/admin/jobs?queue=likes&kind=reconcile").await.expect(400);
    says(&reply, "Jobs of the kind reconcile go to the queue maintenance.");
    reply.blames(&[("kind", "not_allowed")]);
    for (id, code, text) in [
        ("a%20b", "malformed", "1 to 64 letters, digits, - and _"),
        (&*"x".repeat(65), "too_long", "At most 64 characters are allowed."),
        ("a.b", "malformed", "1 to 64 letters, digits, - and _"),
    ] {
        let reply = ada.get(&format!("/v1/admin/jobs/{id}")).invalid().await.expect(400);
        says(&reply, text);
        reply.blames(&[("job_id", code)]);
    }
    assert_eq!(snapshot(&app).await, before);
    assert_eq!(app.count("SELECT count(*) FROM paused_queues").await, 0);
}
