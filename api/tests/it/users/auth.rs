//! Registration and sessions.

use std::sync::Arc;

use cairn_core::actor::Role;
use cairn_core::db::Db;
use cairn_core::refusal::Rejected;
use cairn_core::settings::Settings;
use cairn_core::users::accounts::{self, NewAccount};
use cairn_core::users::invites::{self, NewInvite};
use cairn_core::users::rules::{Email, PersonName};
use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::Barrier;

use crate::support::{Reply, TestApp};

const PASSWORD: &str = "correct horse battery";

async fn invite(app: &TestApp, role: Role, max_uses: i32) -> String {
    let expires_at = Some(app.app.now() + TimeDelta::days(7));
    let new = NewInvite { role, max_uses, expires_at, note: None };
    let mut tx = app.app.db.begin().await.unwrap();
    let invite = invites::create(&mut tx, new).await.unwrap();
    tx.commit().await.unwrap();
    invite.code
}

fn registration(email: &str, invite_code: Option<&str>) -> Value {
    json!({"email": email, "password": PASSWORD, "first_name": "Demo", "last_name": "Learner", "invite_code": invite_code})
}

async fn register(app: &TestApp, email: &str) -> Reply {
    let code = invite(app, Role::Student, 1).await;
    app.post("/v1/auth/register", registration(email, Some(&code))).await.expect(201)
}

fn login(app: &TestApp, email: &str, password: &str) -> crate::support::Call {
    app.post("/v1/auth/login", json!({"email": email, "password": password}))
}

fn refresh(app: &TestApp, token: &Value) -> crate::support::Call {
    app.post("/v1/auth/refresh", json!({"refresh_token": token}))
}

fn me(app: &TestApp, token: &Value) -> crate::support::Call {
    app.get("/v1/me").header("Authorization", &format!("Bearer {}", token.as_str().unwrap()))
}

async fn set_registration(app: &TestApp, mode: &str) {
    sqlx::query("UPDATE platform_settings SET value = to_jsonb($1::text) WHERE key = 'registration.mode'")
        .bind(mode)
        .execute(app.app.pool())
        .await
        .unwrap();
}

#[tokio::test]
async fn from_registration_to_sign_out() {
    let app = TestApp::new().await;
    let registered = register(&app, "  Demo.Learner@Example.Test ").await.json;
    assert_eq!(registered["user"]["email"], "Demo.Learner@Example.Test");
    assert_eq!(registered["user"]["role"], "student");
    assert_eq!(registered["user"]["progress_percent"], Value::Null);
    assert_eq!(registered["tokens"]["expires_in"], 900);
    assert_eq!(me(&app, &registered["tokens"]["access_token"]).await.expect(200).json, registered["user"]);

    let signed_in = login(&app, "demo.learner@example.test", PASSWORD).await.expect(200).json;
    assert_eq!(signed_in["user"], registered["user"]);
    let renewed = refresh(&app, &signed_in["tokens"]["refresh_token"]).await.expect(200).json;
    me(&app, &renewed["access_token"]).await.expect(200);

    let logout = app.call(poem::http::Method::POST, "/v1/auth/logout");
    let token = format!("Bearer {}", renewed["access_token"].as_str().unwrap());
    logout.header("Authorization", &token).await.expect(204);
    // The whole session has ended, including its valid tokens. The session of the registration continues.
    me(&app, &renewed["access_token"]).await.expect(401).problem("unauthorized");
    me(&app, &signed_in["tokens"]["access_token"]).await.expect(401).problem("unauthorized");
    refresh(&app, &renewed["refresh_token"]).await.expect(401).problem("invalid_refresh_token");
    me(&app, &registered["tokens"]["access_token"]).await.expect(200);

    app.run_jobs().await;
    let actions: Vec<(String, i64)> =
        sqlx::query_as("SELECT action, count(*) FROM activity_log WHERE actor_id IS NOT NULL GROUP BY 1 ORDER BY 1")
            .fetch_all(app.app.pool())
            .await
            .unwrap();
    let expected = [("user.registered", 1), ("user.signed_in", 1), ("user.signed_out", 1)];
    assert_eq!(actions, expected.map(|(action, count)| (action.to_owned(), count)));
}

#[tokio::test]
async fn passwords_and_tokens_are_not_stored() {
    let app = TestApp::new().await;
    let registered = register(&app, "a@example.test").await.json;
    let hash: String = sqlx::query_scalar("SELECT password_hash FROM users WHERE email = 'a@example.test'")
        .fetch_one(app.app.pool())
        .await
        .unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    let secret = registered["tokens"]["refresh_token"].as_str().unwrap();
    let stored: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT token_hash FROM refresh_tokens").fetch_all(app.app.pool()).await.unwrap();
    assert!(stored.iter().all(|hash| hash.len() == 32 && hash != secret.as_bytes()));
    let payloads: Vec<String> = sqlx::query_scalar("SELECT convert_from(job, 'UTF8') FROM apalis.jobs")
        .fetch_all(app.app.pool())
        .await
        .unwrap();
    assert!(!payloads.is_empty() && payloads.iter().all(|job| !job.contains(secret) && !job.contains(PASSWORD)));
    app.run_jobs().await;
}

#[tokio::test]
async fn a_registration_names_everything_that_is_wrong() {
    let app = TestApp::new().await;
    let code = invite(&app, Role::Student, 1).await;
    app.run_jobs().await;
    let send = |body: Value| app.post("/v1/auth/register", body).invalid();
    send(json!({"password": "short", "first_name": 5, "last_name": "", "invite_code": code}))
        .await
        .expect(422)
        .problem("invalid_body")
        .blames(&[
            ("/email", "required"),
            ("/password", "too_short"),
            ("/first_name", "wrong_type"),
            ("/last_name", "too_short"),
        ]);
    send(json!({"email": "nobody", "password": PASSWORD, "first_name": " ", "last_name": "   ", "invite_code": code}))
        .await
        .expect(422)
        .problem("invalid_body")
        .blames(&[("/email", "malformed"), ("/first_name", "malformed"), ("/last_name", "malformed")]);
    send(json!({"email": "a@b.co", "password": PASSWORD, "first_name": "a\tb", "last_name": "c\u{202e}d", "invite_code": code}))
        .await
        .expect(422)
        .problem("invalid_body")
        .blames(&[("/first_name", "hidden_character"), ("/last_name", "hidden_character")]);
    send(json!({"email": "a@b.co", "password": PASSWORD, "first_name": "\u{0}x", "invite_code": code}))
        .await
        .expect(422)
        .problem("invalid_body")
        .blames(&[("/first_name", "nul_character")]);
    for (password, rule) in [
        ("1234567890", "common_password"),
        ("Passw0rd123", "common_password"),
        ("demolearner2026", "personal_password"),
        ("somebody-else!1", "personal_password"),
        ("e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}", "too_short"),
    ] {
        let body = json!({"email": "somebody.else@example.test", "password": password, "first_name": "Demo",
            "last_name": "Learner", "invite_code": code});
        let refused = send(body).await.expect(422).problem("invalid_body");
        refused.blames(&[("/password", rule)]);
    }
    assert_eq!(app.count("SELECT count(*) FROM users").await, 0);
    assert_eq!(app.count("SELECT uses::bigint FROM invite_links").await, 0);
}

#[tokio::test]
async fn an_invite_that_lets_nobody_in_says_why() {
    let app = TestApp::new().await;
    let attempt = |code: &str| app.post("/v1/auth/register", registration("a@example.test", Some(code)));
    attempt("no-such-code").await.expect(404).problem("invite_not_found");
    app.post("/v1/auth/register", registration("a@example.test", None)).await.expect(403).problem("invite_required");

    let revoked = invite(&app, Role::Student, 1).await;
    sqlx::query("UPDATE invite_links SET revoked_at = now()").execute(app.app.pool()).await.unwrap();
    attempt(&revoked).await.expect(410).problem("invite_revoked");

    let used_up = invite(&app, Role::Student, 1).await;
    app.post("/v1/auth/register", registration("first@example.test", Some(&used_up))).await.expect(201);
    attempt(&used_up).await.expect(409).problem("invite_used_up");

    let expired = invite(&app, Role::Student, 1).await;
    app.app.db.clock().advance(TimeDelta::days(7));
    attempt(&expired).await.expect(410).problem("invite_expired");
    assert_eq!(app.count("SELECT count(*) FROM users").await, 1);
    app.run_jobs().await;
}

#[tokio::test]
async fn an_invite_gives_its_role_and_open_registration_gives_student() {
    let app = TestApp::new().await;
    let mentor = invite(&app, Role::Mentor, 2).await;
    let reply = app.post("/v1/auth/register", registration("m@example.test", Some(&mentor))).await.expect(201);
    assert_eq!(reply.json["user"]["role"], "mentor");
    set_registration(&app, "open").await;
    let reply = app.post("/v1/auth/register", registration("s@example.test", None)).await.expect(201);
    assert_eq!(reply.json["user"]["role"], "student");
    // A code still counts, and still has to be good.
    let reply = app.post("/v1/auth/register", registration("n@example.test", Some(&mentor))).await.expect(201);
    assert_eq!(reply.json["user"]["role"], "mentor");
    app.post("/v1/auth/register", registration("x@example.test", Some(&mentor)))
        .await
        .expect(409)
        .problem("invite_used_up");
    app.run_jobs().await;
}

#[tokio::test]
async fn an_address_has_one_account() {
    let app = TestApp::new().await;
    register(&app, "anna@example.test").await;
    let code = invite(&app, Role::Student, 1).await;
    app.post("/v1/auth/register", registration("ANNA@example.TEST", Some(&code)))
        .await
        .expect(409)
        .problem("email_taken");
    // The refusal has used nothing up, and a deleted account frees its address.
    sqlx::query("UPDATE users SET deleted_at = now()").execute(app.app.pool()).await.unwrap();
    app.post("/v1/auth/register", registration("ANNA@example.TEST", Some(&code))).await.expect(201);
    app.run_jobs().await;
}

#[tokio::test]
async fn wrong_and_unknown_look_the_same() {
    let app = TestApp::new().await;
    register(&app, "anna@example.test").await;
    app.student("nopassword").await;
    let wrong = login(&app, "anna@example.test", "wrong horse battery").await.expect(401);
    let unknown = login(&app, "nobody@example.test", PASSWORD).await.expect(401);
    let without_password = login(&app, "nopassword@example.test", PASSWORD).await.expect(401);
    let no_address = login(&app, "nobody", PASSWORD).await.expect(401);
    for reply in [wrong, unknown, without_password, no_address] {
        assert_eq!(reply.header("www-authenticate"), "Bearer");
        let reply = reply.problem("invalid_credentials");
        assert_eq!(reply.json["detail"], "There is no account with this email and password.");
    }
    app.run_jobs().await;
}

#[tokio::test]
async fn suspension_is_told_only_to_those_who_know_the_password() {
    let app = TestApp::new().await;
    let registered = register(&app, "anna@example.test").await.json;
    sqlx::query("UPDATE users SET status = 'suspended'").execute(app.app.pool()).await.unwrap();
    login(&app, "anna@example.test", "wrong horse battery").await.expect(401).problem("invalid_credentials");
    login(&app, "anna@example.test", PASSWORD).await.expect(403).problem("account_suspended");
    // It counts at once for those who are signed in.
    me(&app, &registered["tokens"]["access_token"]).await.expect(401).problem("unauthorized");
    refresh(&app, &registered["tokens"]["refresh_token"]).await.expect(401).problem("invalid_refresh_token");
    sqlx::query("UPDATE users SET status = 'active'").execute(app.app.pool()).await.unwrap();
    let again = login(&app, "anna@example.test", PASSWORD).await.expect(200).json;
    sqlx::query("UPDATE users SET deleted_at = now()").execute(app.app.pool()).await.unwrap();
    me(&app, &again["tokens"]["access_token"]).await.expect(401).problem("unauthorized");
    login(&app, "anna@example.test", PASSWORD).await.expect(401).problem("invalid_credentials");
    app.run_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_who_redeem_an_invite_one_gets_in() {
    let app = TestApp::new().await;
    let code = invite(&app, Role::Student, 1).await;
    let barrier = Arc::new(Barrier::new(100));
    let attempts = (0..100).map(|i| {
        let (app, code, barrier) = (app.clone(), code.clone(), Arc::clone(&barrier));
        tokio::spawn(async move {
            barrier.wait().await;
            app.post("/v1/auth/register", registration(&format!("user{i}@example.test"), Some(&code))).await
        })
    });
    let replies: Vec<Reply> = join_all(attempts).await.into_iter().map(Result::unwrap).collect();
    let (won, lost): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| reply.status == 201);
    assert_eq!(won.len(), 1);
    for reply in lost {
        reply.expect(409).problem("invite_used_up");
    }
    assert_eq!(app.count("SELECT uses::bigint FROM invite_links").await, 1);
    assert_eq!(app.count("SELECT count(*) FROM users").await, 1);
    app.run_jobs().await;
}

/// The same without hashing, which lets only two requests at a time come near the row.
#[tokio::test(flavor = "multi_thread")]
async fn transactions_that_redeem_an_invite_at_once_use_it_as_often_as_it_may_be() {
    let app = TestApp::new().await;
    let code = invite(&app, Role::Student, 3).await;
    let db = Db::connect(app.url(), app.url(), 30).unwrap();
    let barrier = Arc::new(Barrier::new(30));
    let attempts = (0..30).map(|i| {
        let (db, code, barrier) = (db.clone(), code.clone(), Arc::clone(&barrier));
        tokio::spawn(async move {
            let new = NewAccount {
                email: Email::parse(&format!("user{i}@example.test")).unwrap(),
                first_name: PersonName::parse("Demo").unwrap(),
                last_name: None,
                password_hash: "$none".to_owned(),
            };
            let mut tx = db.begin().await.unwrap();
            barrier.wait().await;
            match accounts::register(&mut tx, &new, Some(&code), &Settings::default()).await {
                Ok(_) => tx.commit().await.is_ok(),
                Err(Rejected::Refused(_)) => false,
                Err(Rejected::Failed(error)) => panic!("{error}"),
            }
        })
    });
    let registered = join_all(attempts).await.into_iter().filter(|outcome| *outcome.as_ref().unwrap()).count();
    assert_eq!(registered, 3);
    assert_eq!(app.count("SELECT uses::bigint FROM invite_links").await, 3);
    assert_eq!(app.count("SELECT count(*) FROM users").await, 3);
    app.run_jobs().await;
}
