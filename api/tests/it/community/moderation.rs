//! The moderation of learners' projects.

use std::sync::Arc;

use poem::http::Method;
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::{act, all_ids, by_hand, decide, delete, ids, like_path, moderate, patch, project};
use crate::support::TestApp;

const DECISIONS: [&str; 3] = ["approve", "reject", "unpublish"];

#[tokio::test]
async fn an_approved_project_is_shown_and_a_rejected_one_can_be_submitted_again() {
    let app = TestApp::new().await;
    moderate(&app).await;
    let (anna, ben, mia) = (app.student("anna").await, app.student("ben").await, app.mentor("mia").await);
    let id = project(&anna, "Mine").await;
    let path = format!("/v1/projects/{id}");
    let waiting = mia.get(&format!("/v1/mentor/projects/{id}")).await.expect(200);
    assert_eq!((waiting.header("etag"), &waiting.json["status"]), ("\"1\"", &json!("submitted")));
    assert_eq!(waiting.json["author"]["first_name"], "anna");

    let rejected = decide(&mia, id, "reject", 1).await.expect(200).json;
    assert_eq!((&rejected["status"], &rejected["moderation_reason"]), (&json!("rejected"), &json!("Too short")));
    let seen = anna.get(&path).await.expect(200).json;
    assert_eq!((&seen["status"], &seen["moderation_reason"]), (&json!("rejected"), &json!("Too short")));
    let mine = anna.get("/v1/me/projects?status=rejected").await.expect(200).json;
    assert_eq!(mine["items"][0]["moderation_reason"], "Too short");
    ben.get(&path).await.expect(404).problem("project_not_found");
    ben.put(&like_path(id)).await.expect(404).problem("project_not_found");

    assert_eq!(patch(&anna, id, 2, json!({"summary": "Longer"})).await.expect(200).json["status"], "rejected");
    let again = act(&anna, id, "submit", 3).await.expect(200).json;
    assert_eq!((&again["status"], &again["moderation_reason"]), (&json!("submitted"), &Value::Null));
    let approved = decide(&mia, id, "approve", 4).await.expect(200);
    assert_eq!((approved.header("etag"), &approved.json["status"]), ("\"5\"", &json!("published")));
    assert!(approved.json["published_at"].is_string());
    assert_eq!(ben.get(&path).await.expect(200).json["moderation_reason"], Value::Null);

    let down = decide(&mia, id, "unpublish", 5).await.expect(200).json;
    assert_eq!((&down["status"], &down["moderation_reason"]), (&json!("rejected"), &json!("Too short")));
    ben.get(&path).await.expect(404).problem("project_not_found");

    app.run_jobs().await;
    let recorded: Vec<(String, Value, Option<Value>)> = sqlx::query_as(
        "SELECT action, metadata -> 'before' -> 'status', metadata -> 'after' -> 'moderation_reason'
         FROM activity_log WHERE actor_id = $1 AND target_id = $2 ORDER BY occurred_at, id",
    )
    .bind(mia.id)
    .bind(id)
    .fetch_all(app.app.pool())
    .await
    .unwrap();
    let reason = Some(json!("Too short"));
    let expected = [
        ("rejected", "submitted", reason.clone()),
        ("approved", "submitted", None),
        ("unpublished", "published", reason),
    ];
    let expected = expected.map(|(verb, before, reason)| (format!("project.{verb}"), json!(before), reason));
    assert_eq!(recorded, expected);
}

#[tokio::test]
async fn the_queue_is_served_in_the_order_of_submission() {
    let app = TestApp::new().await;
    moderate(&app).await;
    let (anna, mia) = (app.student("anna").await, app.mentor("mia").await);
    let mut expected = Vec::new();
    for n in 0..7 {
        expected.push(project(&anna, &format!("Project {n}")).await);
    }
    for _ in 0..2 {
        project(&mia, "Published at once").await;
    }
    // Ties, which only the id tells apart, and one that was submitted before there was a time of submission.
    by_hand(&app, "UPDATE showcase_projects SET submitted_at = '2026-05-01' WHERE title IN ('Project 1', 'Project 2')")
        .await;
    by_hand(
        &app,
        "UPDATE showcase_projects SET submitted_at = NULL, created_at = '2026-04-01' WHERE title = 'Project 6'",
    )
    .await;
    let order = [6, 1, 2, 0, 3, 4, 5].map(|n: usize| expected[n]);
    assert_eq!(all_ids(&mia, "/v1/mentor/projects").await, order);
    let page = mia.get("/v1/mentor/projects?limit=2").await.expect(200).json;
    let first = &page["items"][0];
    assert!(first.get("description").is_none(), "lists carry no long texts");
    assert_eq!((&first["author"]["id"], &first["status"]), (&json!(anna.id), &json!("submitted")));
    // The system that this replaces counted what was on the page.
    let waiting = mia.get("/v1/mentor/projects/waiting").await.expect(200).json;
    assert_eq!(waiting["count"], 7);
    assert!(waiting["oldest_submitted_at"].as_str().unwrap().starts_with("2026-04-01T00:00:00"), "{waiting}");
    act(&anna, order[1], "withdraw", 2).await.expect(200);
    delete(&anna, order[2], 2).await.expect(204);
    decide(&mia, order[3], "approve", 1).await.expect(200);
    assert_eq!(all_ids(&mia, "/v1/mentor/projects").await, [order[0], order[4], order[5], order[6]]);
    assert_eq!(mia.get("/v1/mentor/projects/waiting").await.expect(200).json["count"], 4);
    by_hand(&app, "UPDATE users SET deleted_at = now() WHERE first_name = 'anna'").await;
    let none = mia.get("/v1/mentor/projects/waiting").await.expect(200).json;
    assert_eq!(none, json!({"count": 0, "oldest_submitted_at": null}));
    assert!(ids(&mia.get("/v1/mentor/projects").await.expect(200).json).is_empty());
    mia.get(&format!("/v1/mentor/projects/{}", order[0])).await.expect(404).problem("project_not_found");
    decide(&mia, order[0], "approve", 3).await.expect(404).problem("project_not_found");
    app.run_jobs().await;
}

#[tokio::test]
async fn of_two_moderators_one_decides() {
    let app = TestApp::new().await;
    moderate(&app).await;
    let anna = app.student("anna").await;
    let (mia, root) = (app.mentor("mia").await, app.admin("root").await);
    for round in 0..6 {
        let id = project(&anna, &format!("Project {round}")).await;
        let barrier = Arc::new(Barrier::new(2));
        let mut calls = JoinSet::new();
        for (moderator, decision) in [(mia.clone(), "approve"), (root.clone(), "reject")] {
            let barrier = Arc::clone(&barrier);
            calls.spawn(async move {
                barrier.wait().await;
                (decision, decide(&moderator, id, decision, 1).await)
            });
        }
        let (won, lost): (Vec<_>, Vec<_>) =
            calls.join_all().await.into_iter().partition(|(_, reply)| reply.status == 200);
        let ([(decision, _)], [(_, refused)]) = (&won[..], &lost[..]) else { panic!("{won:?} {lost:?}") };
        let status = if *decision == "approve" { "published" } else { "rejected" };
        assert_eq!((refused.status.as_u16(), &refused.json["code"]), (409, &json!("project_state")));
        assert_eq!(refused.json["project_status"], status);
        assert_eq!(anna.get(&format!("/v1/projects/{id}")).await.expect(200).json["status"], status);
    }
    app.run_jobs().await;
    let decided = "SELECT count(*) FROM activity_log WHERE action IN ('project.approved', 'project.rejected')";
    assert_eq!(app.count(decided).await, 6);
}

#[tokio::test]
async fn what_is_approved_is_what_was_read() {
    let app = TestApp::new().await;
    moderate(&app).await;
    let (anna, mia) = (app.student("anna").await, app.mentor("mia").await);
    let id = project(&anna, "Mine").await;
    patch(&anna, id, 1, json!({"summary": "Buy this"})).await.expect(200);
    decide(&mia, id, "approve", 1).await.expect(412).problem("version_mismatch");
    let path = format!("/v1/mentor/projects/{id}/approve");
    mia.call(Method::POST, &path).invalid().await.expect(428).problem("precondition_required");
    assert_eq!(anna.get(&format!("/v1/projects/{id}")).await.expect(200).json["status"], "submitted");
    decide(&mia, id, "approve", 2).await.expect(200);
    app.run_jobs().await;
}

#[tokio::test]
async fn every_decision_has_its_status() {
    let app = TestApp::new().await;
    let (anna, mia) = (app.student("anna").await, app.mentor("mia").await);
    let id = project(&anna, "Mine").await;
    let path = format!("/v1/mentor/projects/{id}");
    let refused = async |status: &'static str, update: &'static str, decisions: &[&str]| {
        by_hand(&app, update).await;
        let version: i64 =
            sqlx::query_scalar("SELECT version FROM showcase_projects").fetch_one(app.app.pool()).await.unwrap();
        for decision in decisions {
            let reply = decide(&mia, id, decision, version).await.expect(409).problem("project_state");
            assert_eq!(reply.json["project_status"], status);
        }
    };
    refused("published", "UPDATE showcase_projects SET status = 'published'", &["approve", "reject"]).await;
    refused("submitted", "UPDATE showcase_projects SET status = 'submitted'", &["unpublish"]).await;
    refused("rejected", "UPDATE showcase_projects SET status = 'rejected'", &DECISIONS).await;
    for (hide, version) in [
        ("UPDATE showcase_projects SET status = 'draft'", 4),
        ("UPDATE showcase_projects SET status = 'submitted', deleted_at = now()", 5),
    ] {
        by_hand(&app, hide).await;
        mia.get(&path).await.expect(404).problem("project_not_found");
        for decision in DECISIONS {
            decide(&mia, id, decision, version).await.expect(404).problem("project_not_found");
        }
    }
    by_hand(&app, "UPDATE showcase_projects SET deleted_at = NULL").await;
    for reason in ["", " \n ", &"x".repeat(2001)] {
        let call = mia.call(Method::POST, &format!("{path}/reject")).header("If-Match", "\"6\"");
        call.json(json!({"reason": reason})).invalid().await.expect(422).problem("invalid_body");
    }
    let call = mia.call(Method::POST, &format!("{path}/reject")).header("If-Match", "\"6\"");
    let reason = "ж".repeat(2000);
    assert_eq!(call.json(json!({"reason": reason})).await.expect(200).json["moderation_reason"], reason);
    app.run_jobs().await;
}

#[tokio::test]
async fn learners_moderate_nothing_and_mentors_not_their_own() {
    let app = TestApp::new().await;
    moderate(&app).await;
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    let (mia, max, root) = (app.mentor("mia").await, app.mentor("max").await, app.admin("root").await);
    let id = project(&anna, "Mine").await;
    for (caller, status, code) in
        [(Some(&anna), 403, "forbidden"), (Some(&ben), 403, "forbidden"), (None, 401, "unauthorized")]
    {
        let call = |method: Method, path: &str| match caller {
            Some(actor) => actor.call(method, path),
            None => app.call(method, path),
        };
        for path in ["/v1/mentor/projects", "/v1/mentor/projects/waiting", &format!("/v1/mentor/projects/{id}")] {
            call(Method::GET, path).await.expect(status).problem(code);
        }
        for decision in DECISIONS {
            let call = call(Method::POST, &format!("/v1/mentor/projects/{id}/{decision}")).header("If-Match", "\"1\"");
            let call = if decision == "approve" { call } else { call.json(json!({"reason": "R"})) };
            call.await.expect(status).problem(code);
        }
    }
    // Somebody who submitted a project and then became a mentor, or an admin.
    sqlx::query("UPDATE showcase_projects SET user_id = $1").bind(mia.id).execute(app.app.pool()).await.unwrap();
    assert_eq!(ids(&mia.get("/v1/mentor/projects").await.expect(200).json), [id]);
    for decision in DECISIONS {
        decide(&mia, id, decision, 2).await.expect(403).problem("own_project");
    }
    decide(&max, id, "approve", 2).await.expect(200);
    sqlx::query("UPDATE showcase_projects SET user_id = $1").bind(root.id).execute(app.app.pool()).await.unwrap();
    decide(&root, id, "unpublish", 4).await.expect(200);
    app.run_jobs().await;
}
