//! Single jobs.

use serde_json::{Value, json};

use super::{DISCARD, RETRY, ids, snapshot, with_jobs};

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
