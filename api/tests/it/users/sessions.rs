//! Sessions: how they are extended, how long they last, and how their owner lists and ends them.

use std::sync::Arc;

use cairn_core::clock::new_id;
use cairn_core::settings::Settings;
use cairn_core::users::sessions::{self as core_sessions, Refresh};
use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::Barrier;

use super::password::{login, set_password};
use crate::support::{Actor, Call, Reply, TestApp};

const PASSWORD: &str = "correct horse battery";

/// The tokens of a new session of Anna, whose account the first call creates.
async fn sign_in(app: &TestApp) -> Value {
    let exists = app.count("SELECT count(*) FROM users WHERE email = 'anna@example.test'").await == 1;
    if !exists {
        let anna = app.student("anna").await;
        set_password(app, &anna, PASSWORD).await;
        sqlx::query("DELETE FROM sessions").execute(app.app.pool()).await.unwrap();
    }
    login(app, "anna@example.test", PASSWORD).await.expect(200).json["tokens"].clone()
}

fn refresh(app: &TestApp, token: &Value) -> Call {
    app.post("/v1/auth/refresh", json!({"refresh_token": token}))
}

async fn refreshed(app: &TestApp, token: &Value) -> Value {
    refresh(app, token).await.expect(200).json["refresh_token"].clone()
}

async fn refused(app: &TestApp, token: &Value) {
    refresh(app, token).await.expect(401).problem("invalid_refresh_token");
}

fn me(app: &TestApp, tokens: &Value) -> Call {
    app.get("/v1/me").header("Authorization", &format!("Bearer {}", tokens["access_token"].as_str().unwrap()))
}

async fn refresh_at_once(app: &TestApp, token: &Value, times: usize) -> Vec<Reply> {
    let barrier = Arc::new(Barrier::new(times));
    let calls = (0..times).map(|_| {
        let (app, token, barrier) = (app.clone(), token.clone(), Arc::clone(&barrier));
        tokio::spawn(async move {
            barrier.wait().await;
            refresh(&app, &token).await
        })
    });
    join_all(calls).await.into_iter().map(Result::unwrap).collect()
}

async fn set(app: &TestApp, key: &str, value: i64) {
    sqlx::query(
        "INSERT INTO platform_settings (key, value) VALUES ($1, to_jsonb($2))
         ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    )
    .bind(key)
    .bind(value)
    .execute(app.app.pool())
    .await
    .unwrap();
    app.app.settings.invalidate();
}

/// An answer that was lost can be asked for again for as long as the session lasts; a copy that somebody else has kept is of no
/// use once the successor was used.
#[tokio::test]
async fn a_refresh_token_has_one_successor() {
    let app = TestApp::new().await;
    let first = sign_in(&app).await["refresh_token"].clone();
    let second = refreshed(&app, &first).await;
    assert_ne!(first, second);
    app.app.db.clock().advance(TimeDelta::hours(1));
    assert_eq!(refreshed(&app, &first).await, second, "lost for an hour");
    app.app.db.clock().advance(TimeDelta::days(20));
    assert_eq!(refreshed(&app.sibling(), &first).await, second, "by another process");
    let third = refreshed(&app, &second).await;
    assert_eq!(refreshed(&app, &second).await, third);
    assert_eq!(app.count("SELECT count(*) FROM refresh_tokens WHERE used_at IS NULL").await, 1);

    // The second was used, so whoever presents the first is not who has the third.
    refused(&app, &first).await;
    for token in [&second, &third] {
        refused(&app, token).await;
    }
    assert_eq!(app.count("SELECT count(*) FROM sessions WHERE revoke_reason = 'token_reuse'").await, 1);
    app.run_jobs().await;
    let recorded = "SELECT count(*) FROM activity_log WHERE action = 'refresh_token.reused' AND target_id = actor_id";
    assert_eq!(app.count(recorded).await, 1);
    refused(&app, &json!("made up")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tabs_that_refresh_at_once_get_the_same_successor() {
    let app = TestApp::new().await;
    let first = sign_in(&app).await["refresh_token"].clone();
    let successors = async |token: &Value| {
        let replies = refresh_at_once(&app, token, 20).await;
        let mut tokens: Vec<Value> =
            replies.into_iter().map(|reply| reply.expect(200).json["refresh_token"].clone()).collect();
        tokens.dedup();
        assert_eq!(tokens.len(), 1, "{tokens:?}");
        tokens.remove(0)
    };
    let second = successors(&first).await;
    let third = successors(&second).await;
    assert_eq!(app.count("SELECT count(*) FROM refresh_tokens").await, 3);
    assert_eq!(app.count("SELECT count(*) FROM sessions WHERE revoked_at IS NULL").await, 1);

    // Of twenty thieves who present the first one at once, one ends the session, and none gets in.
    for reply in refresh_at_once(&app, &first, 20).await {
        reply.expect(401).problem("invalid_refresh_token");
    }
    refused(&app, &third).await;
    app.run_jobs().await;
    assert_eq!(app.count("SELECT count(*) FROM activity_log WHERE action = 'refresh_token.reused'").await, 1);
}

/// The process may be killed before its commit, when nothing has happened, or after it, when the answer is lost.
#[tokio::test]
async fn a_refresh_that_was_interrupted_is_repeated() {
    let app = TestApp::new().await;
    let first = sign_in(&app).await["refresh_token"].as_str().unwrap().to_owned();
    let settings = Settings::default();
    let exchange = async |commit: bool| {
        let mut tx = app.app.db.begin().await.unwrap();
        let Refresh::Renewed(session) = core_sessions::refresh(&mut tx, &first, &settings).await.unwrap() else {
            panic!("not renewed")
        };
        if commit {
            tx.commit().await.unwrap();
        } else {
            tx.rollback().await.unwrap();
        }
        session.refresh_token
    };
    let (lost, stored) = (exchange(false).await, exchange(true).await);
    assert_ne!(lost, stored);
    refused(&app, &json!(lost)).await;
    assert_eq!(refreshed(&app, &json!(first)).await, json!(stored));
    refreshed(&app, &json!(stored)).await;
    app.run_jobs().await;
}

#[tokio::test]
async fn a_session_keeps_few_tokens_and_nothing_that_helps_to_guess_one() {
    let app = TestApp::new().await;
    let first = sign_in(&app).await["refresh_token"].clone();
    let mut token = first.clone();
    for _ in 0..25 {
        app.app.db.clock().advance(TimeDelta::minutes(15));
        token = refreshed(&app, &token).await;
    }
    assert_eq!(app.count("SELECT count(*) FROM refresh_tokens").await, 11);
    // What is no longer kept is unknown, and ends nothing.
    refused(&app, &first).await;
    let next = refreshed(&app, &token).await;
    let stored: Vec<String> = sqlx::query_scalar(
        "SELECT concat_ws(' ', encode(token_hash, 'base64'), encode(nonce, 'base64'), encode(predecessor, 'base64'))
         FROM refresh_tokens",
    )
    .fetch_all(app.app.pool())
    .await
    .unwrap();
    for secret in [&token, &next] {
        let standard = secret.as_str().unwrap().replace('-', "+").replace('_', "/");
        assert!(stored.iter().all(|row| !row.contains(&standard)));
    }
    app.run_jobs().await;
}

#[tokio::test]
async fn a_session_lasts_thirty_days_from_its_last_refresh_and_ninety_in_all() {
    let app = TestApp::new().await;
    let tokens = sign_in(&app).await;
    let mut token = tokens["refresh_token"].clone();
    let (start, almost) = (app.app.now(), TimeDelta::days(30) - TimeDelta::minutes(1));
    for days in [60, 90, 90] {
        app.app.db.clock().advance(almost);
        let reply = refresh(&app, &token).await.expect(200).json;
        let ends: chrono::DateTime<chrono::Utc> = reply["session_expires_at"].as_str().unwrap().parse().unwrap();
        assert_eq!((ends - start + TimeDelta::minutes(3)).num_days(), days);
        token = reply["refresh_token"].clone();
    }
    app.app.db.clock().advance(TimeDelta::minutes(2));
    refreshed(&app, &token).await;
    app.app.db.clock().advance(TimeDelta::minutes(1));
    refused(&app, &token).await;

    let token = sign_in(&app).await["refresh_token"].clone();
    app.app.db.clock().advance(TimeDelta::days(30));
    refused(&app, &token).await;

    // Other values count from the next refresh on.
    set(&app, "sessions.idle_days", 2).await;
    let tokens = sign_in(&app).await;
    app.app.db.clock().advance(TimeDelta::days(1));
    let token = refreshed(&app, &tokens["refresh_token"]).await;
    set(&app, "sessions.max_days", 1).await;
    refused(&app, &token).await;
    app.run_jobs().await;
}

/// Another sign-in ends the session that was not used for longest, even if it is not the oldest.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_a_limited_number_of_sessions() {
    let app = TestApp::new().await;
    set(&app, "sessions.max_open", 3).await;
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(sign_in(&app).await);
        app.app.db.clock().advance(TimeDelta::minutes(1));
    }
    refreshed(&app, &sessions[0]["refresh_token"]).await;
    app.app.db.clock().advance(TimeDelta::minutes(1));
    let fourth = sign_in(&app).await;
    for (tokens, status) in [(&sessions[0], 200), (&sessions[1], 401), (&sessions[2], 200), (&fourth, 200)] {
        me(&app, tokens).await.expect(status);
    }
    refused(&app, &sessions[1]["refresh_token"]).await;
    assert_eq!(app.count("SELECT count(*) FROM sessions WHERE revoke_reason = 'session_limit'").await, 1);

    let barrier = Arc::new(Barrier::new(8));
    let attempts = (0..8).map(|_| {
        let (app, barrier) = (app.clone(), Arc::clone(&barrier));
        tokio::spawn(async move {
            barrier.wait().await;
            sign_in(&app).await;
        })
    });
    join_all(attempts).await.into_iter().for_each(Result::unwrap);
    assert_eq!(app.count("SELECT count(*) FROM sessions WHERE revoked_at IS NULL").await, 3);
    app.run_jobs().await;
}

/// Whatever an admin does to an account, and however: old tokens stay refused when the account is as it was before.
#[tokio::test]
async fn sessions_end_for_good_with_what_was_done_to_the_account() {
    let app = TestApp::new().await;
    let reasons = [
        ("UPDATE users SET status = 'suspended'", "UPDATE users SET status = 'active'", "suspended"),
        ("UPDATE users SET deleted_at = now()", "UPDATE users SET deleted_at = NULL", "deleted"),
        ("UPDATE users SET role = 'mentor'", "UPDATE users SET role = 'student'", "role_changed"),
    ];
    for (change, undo, reason) in reasons {
        let tokens = sign_in(&app).await;
        me(&app, &tokens).await.expect(200);
        sqlx::query(change).execute(app.app.pool()).await.unwrap();
        me(&app, &tokens).await.expect(401).problem("unauthorized");
        sqlx::query(undo).execute(app.app.pool()).await.unwrap();
        me(&app, &tokens).await.expect(401).problem("unauthorized");
        refused(&app, &tokens["refresh_token"]).await;
        let session = "SELECT revoke_reason FROM sessions ORDER BY created_at DESC, id DESC LIMIT 1";
        let stored: String = sqlx::query_scalar(session).fetch_one(app.app.pool()).await.unwrap();
        assert_eq!(stored, reason);
    }
    // What does not concern access leaves sessions alone.
    let tokens = sign_in(&app).await;
    sqlx::query("UPDATE users SET first_name = 'Other', role = role, status = status")
        .execute(app.app.pool())
        .await
        .unwrap();
    me(&app, &tokens).await.expect(200);
    app.run_jobs().await;
}

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
    // Signing out everywhere.
    let everywhere = "/v1/me/sessions?include_current=true";
    assert_eq!(anna.delete(everywhere).await.expect(200).json, json!({"revoked_count": 1}));
    anna.get("/v1/me").await.expect(401);
    assert_eq!(sessions(&ben).await.len(), 1);
    app.run_jobs().await;
    assert_eq!(app.count("SELECT count(*) FROM activity_log WHERE action = 'session.revoked'").await, 2);
}
