//! Metrics, probes and the board on the worker's ops port.

use cairn_postgres::Durability;
use cairn_postgres::testing::throw_away_server;
use cairn_stub_provider::Recorded;

use crate::replies::ReplyHarness;
use crate::support::Harness;
use cairn_testing::database::set_up_on;
use cairn_testing::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_the_outcomes_of_jobs() {
    let harness = Harness::new().await;
    let (worker, ops) = harness.serve().await;
    harness.enqueue_events(30).await;
    harness.enqueue_bad_event().await;
    harness.insert_raw("activity", b"garbage").await;
    harness.insert_raw("likes", br#"{"kind":"fly_to_moon","v":1,"data":{}}"#).await;
    for (sample, value) in [
        (r#"cairn_jobs_finished_total{kind="record_activity",queue="activity",result="done"}"#, 30.0),
        (r#"cairn_jobs_finished_total{kind="unknown",queue="activity",result="dead"}"#, 1.0),
        (r#"cairn_jobs_finished_total{kind="unknown",queue="likes",result="dead"}"#, 1.0),
        (r#"cairn_job_run_seconds_count{kind="record_activity",result="done"}"#, 30.0),
        (r#"cairn_job_attempts_bucket{kind="record_activity",le="1"}"#, 30.0),
        (r#"cairn_jobs_running{queue="activity"}"#, 0.0),
        (r#"cairn_worker_concurrency_limit{queue="activity"}"#, 256.0),
        ("cairn_worker_listener_up", 1.0),
        ("cairn_database_up", 1.0),
        (r#"cairn_queue_jobs{queue="activity",state="dead"}"#, 1.0),
        (r#"cairn_queue_jobs{queue="activity",state="retrying"}"#, 1.0),
        (r#"cairn_queue_jobs{queue="replies",state="due"}"#, 0.0),
        (r#"cairn_stale_marker_oldest_seconds{marker="progress"}"#, 0.0),
        (r#"cairn_database_connections_max{pool="leases"}"#, 6.0),
    ] {
        eventually(&format!("{sample} is {value}"), async || ops.metric(sample).await == Some(value)).await;
    }
    // The failed job may have been retried already.
    for (sample, value) in [
        (r#"cairn_jobs_started_total{queue="activity"}"#, 32.0),
        (r#"cairn_jobs_finished_total{kind="record_activity",queue="activity",result="retry"}"#, 1.0),
        (r#"cairn_job_start_latency_seconds_count{queue="activity"}"#, 32.0),
    ] {
        let metric = ops.metric(sample).await.unwrap();
        assert!(metric >= value, "{sample} {metric}");
    }
    assert_eq!(ops.metric(r#"cairn_queue_paused{queue="likes"}"#).await, Some(0.0));
    sqlx::query("INSERT INTO paused_queues (queue) VALUES ('likes')").execute(harness.pool()).await.unwrap();
    eventually("the pause shows", async || ops.metric(r#"cairn_queue_paused{queue="likes"}"#).await == Some(1.0)).await;
    assert!(ops.metric("cairn_worker_heartbeat_age_seconds").await.unwrap() < 15.0);
    assert!(ops.metric(r#"cairn_worker_last_poll_age_seconds{queue="likes"}"#).await.unwrap() < 15.0);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_how_reply_attempts_ended() {
    let fixture = ReplyHarness::new().await;
    let (worker, ops) = fixture.harness.serve().await;
    for script in ["fault=429,times=1", "words=10", "fault=401"] {
        let reply = fixture.ask(&format!("stub:{script} What is a viewport?")).await;
        fixture.finished(reply).await;
    }
    for (sample, value) in [
        (r#"cairn_reply_attempts_total{end="completed"}"#, 2.0),
        (r#"cairn_reply_attempts_total{end="rate_limited"}"#, 1.0),
        (r#"cairn_reply_attempts_total{end="unauthorized"}"#, 1.0),
        ("cairn_reply_first_token_seconds_count", 2.0),
        ("cairn_replies_deferred_total", 0.0),
    ] {
        eventually(&format!("{sample} is {value}"), async || ops.metric(sample).await == Some(value)).await;
    }
    assert!(ops.metric(r#"cairn_reply_tokens_total{kind="completion"}"#).await > Some(0.0));
    worker.stop().await;
}

/// The model cites a term that it was given, and what it has made up.
#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_what_answers_cite() {
    let fixture = ReplyHarness::new().await;
    sqlx::raw_sql("INSERT INTO glossary_terms (slug, term, definition, publication) VALUES ('viewport', 'Viewport', 'A part.', 'published')")
        .execute(fixture.harness.pool())
        .await
        .unwrap();
    let (worker, ops) = fixture.harness.serve().await;
    let answer = "See [1], [1] and [8], or 00000000-0000-7000-8000-000000000009.";
    let whole = format!(
        "{{\"choices\":[{{\"message\":{{\"role\":\"assistant\",\"content\":\"{answer}\"}},\"finish_reason\":\"stop\"}}]}}"
    );
    fixture.stub.record("hostile", Recorded::ok("application/json", whole));
    let reply = fixture.ask("stub:hostile What is a viewport?").await;
    assert_eq!(fixture.completed(reply).await.answer.as_deref(), Some(answer));
    for (kind, value) in [("used", 1.0), ("invented", 2.0)] {
        let sample = format!("cairn_reply_citations_total{{kind=\"{kind}\"}}");
        eventually(&format!("{sample} is {value}"), async || ops.metric(&sample).await == Some(value)).await;
    }
    assert_eq!(fixture.count("SELECT count(*) FROM ai_replies WHERE cited = '{1}'").await, 1);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rescues_are_counted_and_start_latency_is_measured_from_when_the_job_was_due() {
    let harness = Harness::new().await;
    harness.enqueue_events(2).await;
    sqlx::raw_sql(
        "INSERT INTO apalis.workers (id, worker_type, storage_name, last_seen) VALUES ('gone', 'activity', 'cairn', now() - interval '1 hour');
         UPDATE apalis.jobs SET status = 'Running', lock_by = 'gone', attempts = 1 WHERE id = (SELECT min(id) FROM apalis.jobs);
         UPDATE apalis.jobs SET run_at = now() - interval '20 seconds' WHERE status = 'Pending'",
    )
    .execute(harness.pool())
    .await
    .unwrap();
    let (worker, ops) = harness.serve().await;
    eventually("both jobs are done", async || harness.count("activity", "Done").await == 2).await;
    assert_eq!(ops.metric("cairn_jobs_rescued_total").await, Some(1.0));
    let latency = |le: &str| format!(r#"cairn_job_start_latency_seconds_bucket{{queue="activity",le="{le}"}}"#);
    let (ten, thirty) = (ops.metric(&latency("10")).await.unwrap(), ops.metric(&latency("30")).await.unwrap());
    assert_eq!((ten, thirty), (1.0, 2.0), "one job had waited for 20 s");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_valid_prometheus_text() {
    let harness = Harness::new().await;
    let (worker, ops) = harness.serve().await;
    harness.enqueue_events(1).await;
    eventually("the job is done", async || harness.count("activity", "Done").await == 1).await;
    let answer = ops.get("/metrics").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = answer.text().await.unwrap();
    let described = |word: &str| -> Vec<&str> {
        text.lines().filter_map(|line| line.strip_prefix(word)?.split(' ').next()).collect()
    };
    let (help, types) = (described("# HELP "), described("# TYPE "));
    assert_eq!(help, types);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(value == "+Inf" || value.parse::<f64>().is_ok(), "{line}");
        let name = name.split('{').next().unwrap();
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        let is_ours = ["cairn_", "process_"].iter().any(|prefix| family.starts_with(prefix));
        assert!(types.contains(&family) && is_ours, "{line}");
    }
    // Counters have the right suffix, and no label contains an id.
    for (family, kind) in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')) {
        assert_eq!(family.ends_with("_total"), kind == "counter", "{family} is a {kind}");
    }
    let ids: Vec<String> = sqlx::query_scalar("SELECT id FROM apalis.jobs UNION SELECT id FROM apalis.workers")
        .fetch_all(harness.pool())
        .await
        .unwrap();
    assert!(!ids.is_empty() && ids.iter().all(|id| !text.contains(id)), "{text}");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worker_stays_alive_without_its_database_and_recovers_by_itself() {
    let mut server = throw_away_server(Durability::Relaxed, &[]).await.unwrap();
    let url = set_up_on(&server, "cairn").await.unwrap();
    let harness = Harness::on(&url);
    let (worker, ops) = harness.serve().await;
    eventually("the worker is ready", async || ops.readiness().await == (200, "ready".to_owned(), "up".to_owned()))
        .await;

    let killed = std::process::Command::new("kill").args(["-QUIT", &server.pid().to_string()]).status().unwrap();
    assert!(killed.success());
    let gone = (503, "the database does not answer".to_owned(), "down".to_owned());
    eventually("the worker is not ready", async || ops.readiness().await == gone).await;
    assert_eq!(ops.get("/health/live").await.status(), 200);
    eventually("the metrics show it", async || ops.metric("cairn_database_up").await == Some(0.0)).await;
    assert_eq!(
        ops.metric(r#"cairn_queue_jobs{queue="likes",state="due"}"#).await,
        None,
        "outdated figures are not shown"
    );
    assert!(ops.metric("cairn_worker_heartbeat_age_seconds").await.is_some());
    assert_eq!(ops.get("/api/v1/overview").await.status(), 503);

    server.restart_immediate().await.unwrap();
    eventually("the worker is ready again", async || {
        ops.readiness().await == (200, "ready".to_owned(), "up".to_owned())
    })
    .await;
    eventually("the metrics show it", async || ops.metric("cairn_database_up").await == Some(1.0)).await;
    worker.stop().await;
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_worker_is_not_ready_but_still_serves_metrics() {
    let harness = Harness::new().await;
    let (worker, ops) = harness.serve().await;
    let release = harness.block_a_recount().await;
    eventually("the job runs", async || ops.metric(r#"cairn_jobs_running{queue="likes"}"#).await == Some(1.0)).await;
    worker.begin_stop();
    assert_eq!(ops.readiness().await.1, "the worker is stopping");
    assert_eq!(ops.get("/health/live").await.status(), 200);
    assert_eq!(ops.metric(r#"cairn_jobs_running{queue="likes"}"#).await, Some(1.0));
    release.rollback().await.unwrap();
    worker.stop().await;
    assert_eq!(harness.count("likes", "Done").await, 1);
    assert!(ops.is_closed().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_board_shows_jobs_with_any_payload() {
    let harness = Harness::new().await;
    let (worker, ops) = harness.serve().await;
    harness.enqueue_events(3).await;
    harness.enqueue_bad_event().await;
    let dead = harness.insert_raw("likes", &[b'<', 0xff, 0x00]).await;
    eventually("the jobs have run", async || {
        harness.count("activity", "Done").await == 3
            && harness.count("activity", "Failed").await == 1
            && harness.count("likes", "Killed").await == 1
    })
    .await;

    let job = ops.json(&format!("/api/v1/queues/likes/tasks/{dead}")).await;
    assert_eq!(job["args"]["unreadable"], "<\u{fffd}\0");
    assert_eq!((&job["ctx"]["status"], &job["ctx"]["attempt"]), (&"Killed".into(), &1.into()));
    let error = job["ctx"]["runs"][0]["result"]["result"]["Err"].as_str().unwrap();
    assert!(error.contains("cannot be read"), "{error}");

    let listed = async |path: &str| -> Vec<String> {
        let jobs = ops.json(path).await;
        jobs.as_array().unwrap().iter().map(|job| job["ctx"]["queue"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(listed("/api/v1/tasks?&page=1&page_size=15&queue=&status=Killed").await, ["likes"]);
    assert_eq!(listed("/api/v1/queues/activity/tasks?status=Failed").await, ["activity"]);
    assert_eq!(listed("/api/v1/queues/activity/tasks?status=Done&page=2&page_size=2").await, ["activity"]);
    assert!(listed("/api/v1/queues/likes/tasks?status=Done").await.is_empty());
    assert!(listed("/api/v1/tasks?status=Queued").await.is_empty());
    assert!(listed("/api/v1/tasks?status=Done&page=4000000000&page_size=100").await.is_empty());

    let [listed, asked_for] =
        ["", "&payloads=true"].map(|more| format!("/api/v1/queues/activity/tasks?status=Done{more}"));
    assert_eq!(ops.json(&listed).await[0]["args"], serde_json::json!({"kind": "record_activity"}));
    assert!(ops.json(&asked_for).await[0]["args"]["data"].is_object(), "who asks for payloads gets them");

    // Jobs are shown even with times that only Postgres can represent. One that ended long ago would be removed.
    sqlx::query("UPDATE apalis.jobs SET run_at = '-infinity', done_at = 'infinity' WHERE id = $1")
        .bind(&dead)
        .execute(harness.pool())
        .await
        .unwrap();
    assert_eq!(ops.json("/api/v1/tasks?status=Killed").await[0]["ctx"]["task_id"], dead);

    for (queue, title, value) in
        [("likes", "KILLED_JOBS", "1"), ("activity", "DONE_JOBS", "3"), ("likes", "DONE_JOBS", "0")]
    {
        let stats = ops.json(&format!("/api/v1/queues/{queue}/stats")).await;
        let stat = stats.as_array().unwrap().iter().find(|stat| stat["title"] == title).unwrap();
        assert_eq!(stat["value"], value, "{title} of {queue}");
    }
    let queues = ops.json("/api/v1/queues").await;
    assert_eq!(queues.as_array().unwrap().len(), 6);
    assert!(queues[0]["workers"][0].as_str().unwrap().starts_with("activity-"), "{queues}");
    assert_eq!(ops.json("/api/v1/workers").await.as_array().unwrap().len(), 6);
    assert_eq!(ops.json("/api/v1/queues/replies/workers").await.as_array().unwrap().len(), 1);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_board_rejects_invalid_requests_and_every_change() {
    let harness = Harness::new().await;
    let (worker, ops) = harness.serve().await;
    for (path, status, says) in [
        ("/api/v1/tasks?page=0", 400, "page must be at least 1"),
        ("/api/v1/tasks?page_size=1000000", 400, "page_size from 1 to 100"),
        ("/api/v1/tasks?page=-1", 400, ""),
        ("/api/v1/tasks?status=Lost", 400, "Pending, Queued, Running, Done, Failed, Killed"),
        ("/api/v1/queues/nope/tasks", 404, "the queues are activity, progress"),
        ("/api/v1/queues/nope/stats", 404, "the queues are activity"),
        ("/api/v1/queues/likes/tasks/nope", 404, "this queue has no job"),
        ("/api/v1/nope", 404, ""),
        ("/nope.js", 404, ""),
    ] {
        let answer = ops.get(path).await;
        assert_eq!(answer.status(), status, "{path}");
        let text = answer.text().await.unwrap();
        assert!(text.contains(says), "{path}: {text}");
    }
    for path in
        ["/", "/metrics", "/health/ready", "/queues/likes", "/api/v1/queues", "/api/v1/queues/likes/tasks", "/x"]
    {
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            assert_eq!(ops.send(method, path).await.status(), 405, "{method} {path}");
        }
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_file_of_the_pages_is_served() {
    let harness = Harness::new().await;
    let (worker, ops) = harness.serve().await;
    let page = ops.get("/").await;
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let page = page.text().await.unwrap();
    // Every file that the page refers to is served with the right type.
    let files: Vec<&str> = page.split(['"', '\'']).filter(|part| part.starts_with('/') && part.contains('.')).collect();
    assert!(files.len() >= 3, "{page}");
    for file in files {
        let answer = ops.get(file).await;
        assert_eq!(answer.status(), 200, "{file}");
        let expected = match file.rsplit_once('.').unwrap().1 {
            "js" => "application/javascript",
            "wasm" => "application/wasm",
            "css" => "text/css",
            other => panic!("unexpected type {other}"),
        };
        assert_eq!(answer.headers()["content-type"], expected, "{file}");
        assert!(!answer.bytes().await.unwrap().is_empty());
    }
    // Client-side routes are answered with the page.
    for path in ["/queues/activity/Done", "/workers", "/tasks"] {
        assert_eq!(ops.get(path).await.text().await.unwrap(), page);
    }
    let events = ops.get("/api/v1/events").await;
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    worker.stop().await;
}
