//! `cairn jobs`.

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::{Run, Sandbox};

const SEED: &str = r#"
    INSERT INTO apalis.jobs (id, job_type, job, status, attempts, done_at, last_result) VALUES
        ('dead-1', 'likes', '{"kind":"count_likes","v":1,"data":{}}', 'Killed', 25, now() - interval '1 minute',
            '{"Err": "it broke", "attempts": [{"attempt": 25, "at": "2026-05-09T07:30:00Z", "error": "it broke"}]}'),
        ('dead-2', 'maintenance', '{"kind":"housekeeping","v":1,"data":{}}', 'Killed', 3, now() - interval '2 minutes', NULL),
        ('dead-3', 'maintenance', '{"kind":"reconcile","v":1,"data":{}}', 'Killed', 1, now() - interval '3 minutes', NULL),
        ('done-1', 'likes', '{"kind":"count_likes","v":1,"data":{}}', 'Done', 1, now() - interval '4 minutes', '{"Ok": null}'),
        ('garbage', 'likes', '\x1b00ff', 'Killed', 1, now() - interval '5 minutes', NULL);
    INSERT INTO apalis.workers (id, worker_type, storage_name, last_seen, started_at) VALUES
        ('likes-here', 'likes', 'cairn', now(), now()), ('likes-lost', 'likes', 'cairn', now() - interval '1 hour', now());
    INSERT INTO apalis.jobs (id, job_type, job, status, attempts, lock_by, lock_at)
        VALUES ('running-1', 'likes', 'x', 'Running', 1, 'likes-lost', now())
"#;

async fn seeded() -> (Sandbox, PgPool) {
    let sandbox = Sandbox::with_database().await;
    let pool = sandbox.pool().await;
    sqlx::raw_sql(SEED).execute(&pool).await.unwrap();
    (sandbox, pool)
}

fn json(run: &Run) -> Value {
    serde_json::from_str(run.ok()).unwrap()
}

async fn states(pool: &PgPool) -> Vec<(String, String)> {
    sqlx::query_as("SELECT id, job_state(j) FROM apalis.jobs j WHERE job_type <> 'activity' ORDER BY id")
        .fetch_all(pool)
        .await
        .unwrap()
}

async fn state(pool: &PgPool, id: &str) -> String {
    states(pool).await.into_iter().find(|(other, _)| other == id).unwrap().1
}

/// The action, actor and metadata of the events that wait to be recorded.
async fn events(pool: &PgPool) -> Vec<(Value, Value, Value)> {
    let payloads: Vec<Value> = sqlx::query_scalar(
        // Ordered by the ids of the events, because the ids of jobs are not ordered within a millisecond.
        "SELECT event FROM (
             SELECT convert_from(job, 'UTF8')::jsonb #> '{data,event}' AS event FROM apalis.jobs WHERE job_type = 'activity') e
         ORDER BY event ->> 'id'",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    payloads.iter().map(|e| (e["action"].clone(), e["actor_id"].clone(), e["metadata"].clone())).collect()
}

#[tokio::test]
async fn queues_are_shown_as_a_table_and_as_json() {
    let (sandbox, _) = seeded().await;
    let run = sandbox.run(&["jobs", "stats"]);
    let lines: Vec<Vec<&str>> = run.ok().lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..3], ["queue", "due", "oldest"]);
    assert_eq!(lines.len(), 7, "a header and six queues: {run:?}");
    let queue = lines.iter().find(|line| line[0] == "likes").unwrap();
    assert_eq!(queue[1..], ["0", "0", "0", "1", "2", "0", "0", "0", "1"], "{run:?}");
    let queues = json(&sandbox.run(&["jobs", "stats", "--json"]));
    let maintenance = queues.as_array().unwrap().iter().find(|queue| queue["name"] == "maintenance").unwrap();
    assert_eq!((&maintenance["dead"], &maintenance["paused_at"]), (&json!(2), &json!(null)));
}

#[tokio::test]
async fn workers_are_shown_with_the_number_of_their_jobs() {
    let (sandbox, pool) = seeded().await;
    let run = sandbox.run(&["jobs", "workers"]);
    assert!(run.ok().lines().any(|line| line.contains("likes-lost") && line.contains("lost: its jobs")), "{run:?}");
    let workers = json(&sandbox.run(&["jobs", "workers", "--json"]));
    let shown: Vec<_> = workers.as_array().unwrap().iter().map(|w| (&w["name"], &w["is_alive"], &w["held"])).collect();
    assert_eq!(
        shown,
        [(&json!("likes-here"), &json!(true), &json!(0)), (&json!("likes-lost"), &json!(false), &json!(1))]
    );
    sqlx::raw_sql("DELETE FROM apalis.jobs; DELETE FROM apalis.workers").execute(&pool).await.unwrap();
    assert!(sandbox.run(&["jobs", "workers"]).ok().contains("start cairn-worker"));
}

#[tokio::test]
async fn jobs_are_listed_newest_first() {
    let (sandbox, _) = seeded().await;
    let ids = |args: &[&str]| {
        let run = sandbox.run(&[&["jobs", "list", "--json"], args].concat());
        json(&run).as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&[]), ["running-1", "dead-1", "dead-2", "dead-3", "done-1", "garbage"]);
    assert_eq!(ids(&["--limit", "2"]), ["running-1", "dead-1"]);
    assert_eq!(ids(&["--state", "dead", "--queue", "maintenance"]), ["dead-2", "dead-3"]);
    assert_eq!(ids(&["--kind", "count_likes"]), ["dead-1", "done-1"]);
    let table = sandbox.run(&["jobs", "list", "--state", "dead"]);
    assert_eq!(table.ok().lines().count(), 5);
    assert!(table.out.contains("it broke") && table.out.contains("25/25"), "{table:?}");
    assert_eq!(sandbox.run(&["jobs", "list", "--state", "scheduled"]).ok(), "no jobs found\n");
    sandbox.run(&["jobs", "list", "--queue", "likes", "--kind", "reconcile"]).fails(2, &["--queue maintenance"]);
}

#[tokio::test]
async fn a_job_is_shown_with_all_details() {
    let (sandbox, _) = seeded().await;
    let run = sandbox.run(&["jobs", "show", "dead-1"]);
    for text in ["count_likes", "dead", "25 of 25", "2026-05-09 07:30:00  it broke", "\"data\": {}"] {
        assert!(run.ok().contains(text), "{text:?} not in {run:?}");
    }
    let details = json(&sandbox.run(&["jobs", "show", "dead-1", "--json"]));
    assert_eq!((&details["state"], &details["payload"]["json"]["v"]), (&json!("dead"), &json!(1)));
    let run = sandbox.run(&["jobs", "show", "garbage"]);
    assert!(run.ok().contains("unreadable") && !run.out.contains('\x1b'), "no control characters: {run:?}");
    sandbox.run(&["jobs", "show", "nonsense"]).fails(1, &["job nonsense does not exist", "cairn jobs list"]);
}

#[tokio::test]
async fn jobs_are_retried_and_discarded_by_their_ids() {
    let (sandbox, pool) = seeded().await;
    assert_eq!(sandbox.run(&["jobs", "retry", "dead-1", "dead-2"]).ok(), "2 due for retry\n");
    assert_eq!((state(&pool, "dead-1").await, state(&pool, "dead-2").await), ("due".into(), "due".into()));
    assert_eq!(sandbox.run(&["jobs", "retry", "dead-1"]).ok(), "0 due for retry (1 already were)\n");
    let run = sandbox.run(&["jobs", "discard", "dead-1", "--json"]);
    assert_eq!(json(&run), json!({"changed_count": 1, "unchanged_count": 0}));
    assert_eq!(state(&pool, "dead-1").await, "discarded");
    assert!(sandbox.run(&["jobs", "show", "dead-1"]).ok().contains("discarded by  the command line"));
    let events = events(&pool).await;
    let actions: Vec<_> = events.iter().map(|(action, actor, details)| (action, actor, &details["job_id"])).collect();
    let expected = [("job.retried", "dead-1"), ("job.retried", "dead-2"), ("job.discarded", "dead-1")];
    for (recorded, (action, id)) in actions.iter().zip(expected) {
        assert_eq!(*recorded, (&json!(action), &Value::Null, &json!(id)), "the command line has no actor");
    }
    assert_eq!(actions.len(), 3);
}

#[tokio::test]
async fn a_refusal_changes_nothing_and_gives_the_reason() {
    let (sandbox, pool) = seeded().await;
    let before = states(&pool).await;
    for action in ["retry", "discard"] {
        sandbox
            .run(&["jobs", action, "dead-1", "running-1"])
            .fails(1, &["nothing was changed", "running-1 is running"]);
        sandbox.run(&["jobs", action, "dead-1", "done-1"]).fails(1, &["nothing was changed", "done-1 is done"]);
        sandbox.run(&["jobs", action, "dead-1", "x"]).fails(1, &["nothing was changed", "job x does not exist"]);
        sandbox
            .run(&["jobs", action, "--queue", "likes", "--state", "running"])
            .fails(2, &["--state running", "choose one of", "dead"]);
        sandbox
            .run(&["jobs", action, "--queue", "likes", "--all-dead", "--kind", "housekeeping"])
            .fails(2, &["housekeeping belong to --queue maintenance"]);
    }
    assert_eq!(states(&pool).await, before);
    assert_eq!(events(&pool).await, []);
}

#[tokio::test]
async fn selected_jobs_are_retried_and_discarded() {
    let (sandbox, pool) = seeded().await;
    sqlx::raw_sql(
        "INSERT INTO apalis.jobs (id, job_type, job, status, attempts, done_at)
         SELECT 'many-' || n, 'replies', 'x', 'Killed', 5, now() FROM generate_series(1, 250) n",
    )
    .execute(&pool)
    .await
    .unwrap();
    assert_eq!(sandbox.run(&["jobs", "discard", "--queue", "replies", "--all-dead"]).ok(), "250 discarded\n");
    assert_eq!(sandbox.run(&["jobs", "discard", "--queue", "replies", "--all-dead"]).ok(), "0 discarded\n");
    let run = sandbox.run(&["jobs", "retry", "--queue", "replies", "--state", "discarded", "--json"]);
    assert_eq!(json(&run), json!({"changed_count": 250, "unchanged_count": 0}));
    let run = sandbox.run(&["jobs", "retry", "--queue", "maintenance", "--all-dead", "--kind", "reconcile"]);
    assert_eq!(run.ok(), "1 due for retry\n");
    assert_eq!((state(&pool, "dead-3").await, state(&pool, "dead-2").await), ("due".into(), "dead".into()));
    let counts: Vec<_> = events(&pool).await.into_iter().map(|(_, _, details)| details["count"].clone()).collect();
    assert_eq!(counts, [100, 100, 50, 100, 100, 50, 1]);
}

#[tokio::test]
async fn a_queue_is_paused_and_resumed() {
    let (sandbox, pool) = seeded().await;
    let run = sandbox.run(&["jobs", "pause", "maintenance"]);
    assert!(run.ok().starts_with("maintenance is paused") && run.out.contains("the reconciler"), "{run:?}");
    assert_eq!(sandbox.run(&["jobs", "pause", "maintenance"]).ok(), "maintenance is already paused\n");
    assert!(sandbox.run(&["jobs", "stats"]).ok().contains("paused since "));
    assert_eq!(sandbox.run(&["jobs", "resume", "maintenance"]).ok(), "maintenance is resumed\n");
    assert_eq!(sandbox.run(&["jobs", "resume", "maintenance"]).ok(), "maintenance was not paused\n");
    let actions: Vec<_> = events(&pool).await.into_iter().map(|(action, ..)| action).collect();
    assert_eq!(actions, ["queue.paused", "queue.resumed"]);
    let run = sandbox.run(&["jobs", "pause", "like"]);
    assert!(run.code == 2 && run.err.contains("progress-bulk") && run.err.contains("likes"), "{run:?}");
}
