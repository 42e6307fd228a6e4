//! The sessions of the signed-in user.

use cairn_core::clock::new_id;
use chrono::TimeDelta;
use serde_json::{Value, json};

use super::password::{login, set_password};
use crate::support::{Actor, TestApp};

async fn sessions(person: &Actor) -> Vec<Value> {
    person.get("/v1/me/sessions").await.expect(200).json["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn sessions_are_listed_and_revoked() {
    let app = TestApp::new().await;
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    set_password(&app, &anna, "correct horse battery").await;
    app.app.db.clock().advance(TimeDelta::seconds(1));
    let phone = login(&app, "anna@example.test", "correct horse battery").header("User-Agent", "Phone/1");
    let phone = phone.await.expect(200).json["tokens"]["access_token"].as_str().unwrap().to_owned();
    let listed = sessions(&anna).await;
    assert_eq!(listed.len(), 2);
    assert_eq!((&listed[0]["user_agent"], &listed[0]["is_current"]), (&json!("Phone/1"), &json!(false)));
    assert_eq!((&listed[1]["id"], &listed[1]["is_current"]), (&json!(anna.session_id), &json!(true)));
    let page = anna.get("/v1/me/sessions?limit=1").await.expect(200).json;
    let cursor = page["next_cursor"].as_str().unwrap();
    let next = anna.get(&format!("/v1/me/sessions?limit=1&cursor={cursor}")).await.expect(200).json;
    assert_eq!((&next["items"][0], &next["next_cursor"]), (&listed[1], &Value::Null));

    // What is not one's own does not exist.
    let path = format!("/v1/me/sessions/{}", listed[0]["id"].as_str().unwrap());
    ben.delete(&path).await.expect(404).problem("session_not_found");
    anna.delete(&format!("/v1/me/sessions/{}", new_id())).await.expect(404).problem("session_not_found");
    let me = async || app.get("/v1/me").header("Authorization", &format!("Bearer {phone}")).await;
    me().await.expect(200);
    anna.delete(&path).await.expect(204);
    me().await.expect(401).problem("unauthorized");
    anna.delete(&path).await.expect(404).problem("session_not_found");
    assert_eq!(sessions(&anna).await.len(), 1);
    anna.delete(&format!("/v1/me/sessions/{}", anna.session_id)).await.expect(204);
    anna.get("/v1/me/sessions").await.expect(401);
    assert_eq!(sessions(&ben).await.len(), 1);
    app.run_jobs().await;
    assert_eq!(app.count("SELECT count(*) FROM activity_log WHERE action = 'session.revoked'").await, 2);
}

#[tokio::test]
async fn all_other_sessions_end_with_one_call() {
    let app = TestApp::new().await;
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    sqlx::query("INSERT INTO sessions (user_id, expires_at) SELECT $1, now() + n * interval '1 day' FROM generate_series(-1, 3) n")
        .bind(anna.id)
        .execute(app.app.pool())
        .await
        .unwrap();
    assert_eq!(sessions(&anna).await.len(), 4, "two have expired");
    assert_eq!(anna.delete("/v1/me/sessions").await.expect(200).json, json!({"revoked_count": 3}));
    assert_eq!(anna.delete("/v1/me/sessions").await.expect(200).json, json!({"revoked_count": 0}));
    assert_eq!(sessions(&anna).await.len(), 1);
    assert_eq!(sessions(&ben).await.len(), 1);
    app.run_jobs().await;
    assert_eq!(app.count("SELECT count(*) FROM activity_log WHERE action = 'session.revoked'").await, 1);
}
