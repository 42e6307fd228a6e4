//! Actions on many jobs at once.

use serde_json::json;

use super::{DISCARD, RETRY, ids, snapshot, with_jobs};

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
