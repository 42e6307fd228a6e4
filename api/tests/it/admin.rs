//! Queues, workers and jobs, as admins see and act on them.

use serde_json::{Value, json};

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
async fn operations_are_for_admins() {
    let (app, _) = with_jobs().await;
    let (anna, max) = (app.student("anna").await, app.mentor("max").await);
    for actor in [anna, max] {
        for path in ["/v1/admin/queues", "/v1/admin/workers", "/v1/admin/jobs", "/v1/admin/jobs/dead"] {
            actor.get(path).await.expect(403).problem("forbidden");
        }
        actor.put("/v1/admin/queues/likes/pause").await.expect(403).problem("forbidden");
        actor.call(poem::http::Method::POST, "/v1/admin/jobs/dead/retry").await.expect(403).problem("forbidden");
        actor.post(RETRY, json!({"queue": "likes", "state": "dead"})).await.expect(403).problem("forbidden");
    }
    app.get("/v1/admin/queues").await.expect(401);
    assert_eq!(app.count("SELECT count(*) FROM paused_queues").await, 0);
}

#[tokio::test]
async fn queues_tell_how_they_are() {
    let (_app, ada) = with_jobs().await;
    let queues = ada.get("/v1/admin/queues").await.expect(200).json["items"].clone();
    let names: Vec<&str> = queues.as_array().unwrap().iter().map(|q| q["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["activity", "likes", "maintenance", "progress", "progress-bulk", "replies"]);
    let likes = &queues[1];
    for (field, count) in [
        ("due", 1),
        ("scheduled", 1),
        ("retrying", 1),
        ("running", 1),
        ("dead", 1),
        ("workers", 1),
        ("done_last_hour", 0),
    ] {
        assert_eq!(likes[field], count, "{field} of {likes}");
    }
    assert!(likes["oldest_due_seconds"].as_f64().unwrap() >= 9.0);
    assert_eq!((&likes["paused_at"], &queues[5]["oldest_due_seconds"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn workers_tell_what_they_hold() {
    let (_app, ada) = with_jobs().await;
    let page = ada.get("/v1/admin/workers?limit=1").await.expect(200).json;
    assert_eq!(page["items"][0]["name"], "likes-w");
    assert_eq!((&page["items"][0]["held"], &page["items"][0]["is_alive"]), (&json!(1), &json!(true)));
    let cursor = page["next_cursor"].as_str().unwrap();
    let page = ada.get(&format!("/v1/admin/workers?limit=1&cursor={cursor}")).await.expect(200).json;
    assert_eq!((&page["items"][0]["name"], &page["next_cursor"]), (&json!("replies-w"), &Value::Null));
    ada.get("/v1/admin/workers?cursor=WyJ4IiwyXQ").await.expect(400).blames(&[("cursor", "malformed")]);
    ada.get("/v1/admin/workers?cursor=IlxcdTAwMDAi").await.expect(200);
    ada.get("/v1/admin/workers?cursor=Ilx1MDAwMCI").await.expect(400).blames(&[("cursor", "malformed")]);
}

#[tokio::test]
async fn a_queue_is_paused_and_resumed() {
    let (app, ada) = with_jobs().await;
    sqlx::query("DELETE FROM apalis.jobs WHERE id <> 'due'").execute(app.app.pool()).await.unwrap();
    let path = "/v1/admin/queues/likes/pause";
    let paused = ada.put(path).await.expect(200).json;
    assert_eq!((&paused["name"], &paused["paused_by"]), (&json!("likes"), &json!(ada.id)));
    assert_eq!(ada.put(path).await.expect(200).json["paused_at"], paused["paused_at"], "once is enough");
    app.run_jobs().await;
    assert_eq!(ids(&ada, "?queue=likes&state=due").await, ["due"], "it waits");
    let resumed = ada.delete(path).await.expect(200).json;
    assert_eq!((&resumed["paused_at"], &resumed["paused_by"]), (&Value::Null, &Value::Null));
    ada.delete(path).await.expect(200);
    app.run_jobs().await;
    assert_eq!(ids(&ada, "?queue=likes&state=due").await, [""; 0]);
    let events: Vec<(String, Option<uuid::Uuid>, Value)> =
        sqlx::query_as("SELECT action, actor_id, metadata FROM activity_log ORDER BY occurred_at")
            .fetch_all(app.app.pool())
            .await
            .unwrap();
    let details = |before: bool| json!({"queue": "likes", "before": {"paused": before}, "after": {"paused": !before}});
    let expected = [
        ("queue.paused".to_owned(), Some(ada.id), details(false)),
        ("queue.resumed".to_owned(), Some(ada.id), details(true)),
    ];
    assert_eq!(events, expected);
}

#[tokio::test]
async fn unknown_names_are_answered_with_the_known_ones() {
    let (app, ada) = with_jobs().await;
    let before = snapshot(&app).await;
    let queues = "One of activity, progress, progress-bulk, likes, replies, maintenance is expected.";
    let says = |reply: &crate::support::Reply, text: &str| {
        assert!(reply.json["errors"][0]["message"].as_str().unwrap().contains(text), "{reply:#?}");
    };
    for method in [poem::http::Method::PUT, poem::http::Method::DELETE] {
        let reply = ada.call(method, "/v1/admin/queues/like/pause").invalid().await.expect(400);
        says(&reply, queues);
        reply.problem("malformed_parameter").blames(&[("queue_name", "malformed")]);
    }
    for (query, name, text) in [
        ("queue=Likes", "queue", queues),
        ("state=failed", "state", "due, scheduled, retrying, running, done, dead, discarded"),
        ("kind=fly_to_moon", "kind", "record_activity, roll_up_progress, recompute_roadmap, count_likes"),
        ("limit=101", "limit", "1 to 100"),
    ] {
        let reply = ada.get(&format!("/v1/admin/jobs?{query}")).invalid().await.expect(400);
        says(&reply, text);
        reply.blames(&[(name, "malformed")]);
    }
    let reply = ada.get("/v1/admin/jobs?queue=likes&kind=reconcile").await.expect(400);
    says(&reply, "Jobs of the kind reconcile go to the queue maintenance.");
    reply.blames(&[("kind", "not_allowed")]);
    for id in ["a%20b", &"x".repeat(65), "a.b"] {
        let reply = ada.get(&format!("/v1/admin/jobs/{id}")).invalid().await.expect(400);
        says(&reply, "1 to 64 letters, digits, - and _");
        reply.blames(&[("job_id", "malformed")]);
    }
    assert_eq!(snapshot(&app).await, before);
    assert_eq!(app.count("SELECT count(*) FROM paused_queues").await, 0);
}

#[tokio::test]
async fn jobs_are_listed_by_state_queue_and_kind() {
    let (_app, ada) = with_jobs().await;
    let all = ["retrying", "scheduled", "running", "due", "garbage", "dead", "done"];
    let mut seen = ids(&ada, "").await;
    // Two of them are due for as long as the other has been over.
    seen.sort();
    let mut expected = all.to_vec();
    expected.sort_unstable();
    assert_eq!(seen, expected);
    for state in ["due", "scheduled", "retrying", "running", "done"] {
        assert_eq!(ids(&ada, &format!("?state={state}")).await, [state]);
    }
    assert_eq!(ids(&ada, "?state=dead").await, ["garbage", "dead"]);
    assert_eq!(ids(&ada, "?state=dead&queue=likes").await, ["dead"]);
    let mut of_kind = ids(&ada, "?kind=count_likes").await;
    of_kind.sort();
    assert_eq!(of_kind, ["dead", "due"]);
    assert_eq!(ids(&ada, "?kind=count_likes&queue=likes&state=done").await, [""; 0]);
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = ada.get(&format!("/v1/admin/jobs?limit=2{cursor}")).await.expect(200).json;
        paged.extend(page["items"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(paged, ids(&ada, "").await);
    let job = &ada.get("/v1/admin/jobs?state=running").await.expect(200).json["items"][0];
    assert_eq!((&job["worker"], &job["attempts"], &job["kind"]), (&json!("likes-w"), &json!(1), &Value::Null));
}

#[tokio::test]
async fn cursors_of_other_lists_are_refused() {
    let (_app, ada) = with_jobs().await;
    let time = |time: &str| {
        use base64::Engine;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json!([time, "x"]).to_string())
    };
    for cursor in
        ["x", "WyJ4IiwyXQ", &time("infinity"), &time("+200000-01-01T00:00:00Z"), &time("-9999-01-01T00:00:00Z")]
    {
        let reply = ada.get(&format!("/v1/admin/jobs?cursor={cursor}")).await.expect(400);
        reply.problem("malformed_parameter").blames(&[("cursor", "malformed")]);
        let body = json!({"queue": "likes", "state": "dead"});
        for path in [RETRY, DISCARD] {
            let reply = ada.post(&format!("{path}?cursor={cursor}"), body.clone()).await.expect(400);
            reply.blames(&[("cursor", "malformed")]);
        }
    }
    assert_eq!(ids(&ada, "?state=dead").await.len(), 2);
}

#[tokio::test]
async fn a_job_is_shown_with_its_payload_and_errors() {
    let (_app, ada) = with_jobs().await;
    let dead = ada.get("/v1/admin/jobs/dead").await.expect(200).json;
    assert_eq!(
        (&dead["state"], &dead["kind"], &dead["error"]),
        (&json!("dead"), &json!("count_likes"), &json!("it broke"))
    );
    assert_eq!((&dead["is_payload_readable"], &dead["payload"]["data"]["project_id"]), (&json!(true), &json!("x")));
    let errors: Vec<_> = dead["errors"].as_array().unwrap().iter().map(|e| (&e["attempt"], &e["error"])).collect();
    assert_eq!(errors, [(&json!(24), &json!("it fell")), (&json!(25), &json!("it broke"))]);
    let garbage = ada.get("/v1/admin/jobs/garbage").await.expect(200).json;
    assert_eq!((&garbage["is_payload_readable"], &garbage["payload"]), (&json!(false), &Value::Null));
    assert_eq!(garbage["payload_text"], "\u{fffd}\0");
    ada.get("/v1/admin/jobs/unknown").await.expect(404).problem("job_not_found");
}

#[tokio::test]
async fn a_job_is_retried_and_discarded() {
    let (app, ada) = with_jobs().await;
    let act =
        async |id: &str, act: &str| ada.call(poem::http::Method::POST, &format!("/v1/admin/jobs/{id}/{act}")).await;
    let retried = act("dead", "retry").await.expect(200).json;
    assert_eq!(
        (&retried["state"], &retried["attempts"], &retried["ended_at"]),
        (&json!("due"), &json!(0), &Value::Null)
    );
    assert_eq!(retried["errors"].as_array().unwrap().len(), 2, "they are kept");
    let discarded = act("dead", "discard").await.expect(200).json;
    assert_eq!((&discarded["state"], &discarded["discarded_by"]), (&json!("discarded"), &json!(ada.id)));
    assert_eq!(act("dead", "discard").await.expect(200).json, discarded, "repeating it changes nothing");
    assert_eq!(ids(&ada, "?state=discarded").await, ["dead"]);
    assert_eq!(act("scheduled", "retry").await.expect(200).json["state"], "due");

    let before = snapshot(&app).await;
    for verb in ["retry", "discard"] {
        act("running", verb).await.expect(409).problem("job_running");
        act("done", verb).await.expect(409).problem("job_finished");
        act("unknown", verb).await.expect(404).problem("job_not_found");
    }
    assert_eq!(snapshot(&app).await, before, "a refusal changes nothing");
    assert_eq!(app.count("SELECT count(*) FROM apalis.jobs WHERE job_type = 'activity'").await, 3);
}

#[tokio::test]
async fn many_jobs_are_retried_and_discarded() {
    let (app, ada) = with_jobs().await;
    sqlx::raw_sql(
        r#"INSERT INTO apalis.jobs (id, job_type, job, status, attempts, done_at)
           SELECT 'many-' || n, 'maintenance', '{"kind":"reconcile","v":1,"data":{}}', 'Killed', 1, now()
           FROM generate_series(1, 130) n"#,
    )
    .execute(app.app.pool())
    .await
    .unwrap();
    let body = json!({"queue": "maintenance", "state": "dead", "kind": "reconcile"});
    let first = ada.post(DISCARD, body.clone()).await.expect(200).json;
    assert_eq!(first["changed_count"], 100);
    let rest = format!("{DISCARD}?cursor={}", first["next_cursor"].as_str().unwrap());
    let second = ada.post(&rest, body.clone()).await.expect(200).json;
    assert_eq!(second, json!({"changed_count": 30, "next_cursor": null}));
    assert_eq!(ids(&ada, "?queue=maintenance&state=dead").await, ["garbage"]);
    let undone = ada.post(RETRY, json!({"queue": "maintenance", "state": "discarded"})).await.expect(200).json;
    assert_eq!(undone["changed_count"], 100);
    let nothing = ada.post(RETRY, json!({"queue": "replies", "state": "dead", "kind": null})).await.expect(200).json;
    assert_eq!(nothing, json!({"changed_count": 0, "next_cursor": null}));
    let counts = "SELECT count(*) FROM apalis.jobs WHERE job_type = 'activity'
        AND convert_from(job, 'UTF8')::jsonb #>> '{data,event,action}' IN ('jobs.discarded', 'jobs.retried')";
    assert_eq!(app.count(counts).await, 3);
}

#[tokio::test]
async fn a_selection_must_say_which() {
    let (app, ada) = with_jobs().await;
    let before = snapshot(&app).await;
    for path in [RETRY, DISCARD] {
        let cases = [
            (json!({}), &[("/queue", "required"), ("/state", "required")][..]),
            (json!({"state": "dead"}), &[("/queue", "required")]),
            (json!({"queue": "likes"}), &[("/state", "required")]),
            (json!({"queue": "like", "state": "dead"}), &[("/queue", "not_allowed")]),
            (json!({"queue": "likes", "state": "Failed"}), &[("/state", "not_allowed")]),
            (json!({"queue": null, "state": 7}), &[("/queue", "wrong_type"), ("/state", "wrong_type")]),
            (json!({"queue": "likes", "state": "dead", "kind": "x"}), &[("/kind", "not_allowed")]),
        ];
        for (body, blamed) in cases {
            ada.post(path, body).invalid().await.expect(422).problem("invalid_body").blames(blamed);
        }
        for state in ["running", "done"] {
            let reply = ada.post(path, json!({"queue": "likes", "state": state})).await.expect(422);
            reply.problem("invalid_body").blames(&[("/state", "not_allowed")]);
        }
        let elsewhere = json!({"queue": "likes", "state": "dead", "kind": "reconcile"});
        let reply = ada.post(path, elsewhere).await.expect(422).blames(&[("/kind", "not_allowed")]);
        assert!(reply.json["errors"][0]["message"].as_str().unwrap().contains("the queue maintenance"));
    }
    let reply = ada.post(RETRY, json!({"queue": "likes", "state": "due"})).await.expect(422);
    assert!(reply.json["errors"][0]["message"].as_str().unwrap().contains("scheduled, retrying, dead, discarded"));
    assert_eq!(snapshot(&app).await, before);
    assert_eq!(app.count("SELECT count(*) FROM apalis.jobs WHERE job_type = 'activity'").await, 0);
}
