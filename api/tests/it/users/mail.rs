//! Links that are sent by mail: verifying an address, and a new password.

use cairn_core::config::{RateLimit, RateLimits};
use chrono::{DateTime, TimeDelta, Utc};
use poem::http::Method;
use serde_json::{Value, json};

use super::password::{login, reset, set_password};
use crate::support::{Actor, Call, Mailbox, TestApp};

const PASSWORD: &str = "correct horse battery";
const NEW: &str = "staple battery horse";

fn ask_reset(app: &TestApp, email: &str) -> Call {
    app.post("/v1/auth/password-reset-request", json!({"email": email}))
}

fn ask_verification(person: &Actor) -> Call {
    person.call(Method::POST, "/v1/me/email-verification")
}

fn verify(app: &TestApp, token: &Value) -> Call {
    app.post("/v1/auth/email-verification", json!({"token": token}))
}

async fn require_verification(app: &TestApp) {
    sqlx::query("INSERT INTO platform_settings (key, value) VALUES ('users.email_verification', '\"required\"')")
        .execute(app.app.pool())
        .await
        .unwrap();
    app.app.settings.invalidate();
}

#[tokio::test]
async fn a_forgotten_password_is_replaced_with_a_mailed_link() {
    let (app, mailbox) = (TestApp::new().await, Mailbox::open().await);
    let anna = app.student("anna").await;
    set_password(&app, &anna, PASSWORD).await;
    ask_reset(&app, "ANNA@example.test").await.expect(202);
    app.run_jobs_with_mail(&mailbox).await;
    let mail = mailbox.take().pop().unwrap();
    assert_eq!(mail.as_object().unwrap().len(), 5, "{mail}");
    assert_eq!((&mail["kind"], &mail["to"]), (&json!("password_reset"), &json!("anna@example.test")));
    let expires_at: DateTime<Utc> = mail["expires_at"].as_str().unwrap().parse().unwrap();
    assert!(expires_at > app.app.now() + TimeDelta::hours(23));
    // Asking changes nothing yet.
    anna.get("/v1/me").await.expect(200);
    login(&app, "anna@example.test", PASSWORD).await.expect(200);
    reset(&app, &mail["token"], NEW).await.expect(204);
    reset(&app, &mail["token"], PASSWORD).await.expect(410).problem("invalid_reset_token");
    anna.get("/v1/me").await.expect(401);
    login(&app, "anna@example.test", NEW).await.expect(200);
    app.run_jobs().await;
}

/// Neither the answer nor what is done in the request says whether there is an account.
#[tokio::test]
async fn asking_for_an_unknown_address_looks_the_same_and_sends_nothing() {
    let (app, mailbox) = (TestApp::new().await, Mailbox::open().await);
    let ben = app.student("ben").await;
    let known = ask_reset(&app, "ben@example.test").await.expect(202);
    let unknown = ask_reset(&app, "nobody@example.test").await.expect(202);
    assert_eq!(known.text, unknown.text);
    assert_eq!(
        app.count("SELECT count(*) FROM apalis.jobs WHERE convert_from(job, 'UTF8') LIKE '%send_mail%'").await,
        2
    );
    let with_address = "SELECT count(*) FROM apalis.jobs WHERE convert_from(job, 'UTF8') LIKE '%example.test%'";
    assert_eq!(app.count(with_address).await, 0);
    // Whoever is suspended by the time that the mail would be sent gets none.
    sqlx::query("UPDATE users SET status = 'suspended' WHERE id = $1")
        .bind(ben.id)
        .execute(app.app.pool())
        .await
        .unwrap();
    app.run_jobs_with_mail(&mailbox).await;
    assert!(mailbox.take().is_empty());
    ask_reset(&app, "nobody").await.expect(422).blames(&[("/email", "malformed")]);
    let few = RateLimit { per_second: 1, burst: 250, concurrent: 8 };
    let limited = app.budgeted(&RateLimits { user: few, address: few });
    for status in [202, 202, 429] {
        ask_reset(&limited, "nobody@example.test").await.expect(status);
    }
    app.run_jobs().await;
}

/// A mail that the hook did not take is sent again, with another link. One that it took is not followed by a second at once.
#[tokio::test]
async fn a_mail_is_repeated_until_it_is_taken_and_then_not_for_a_minute() {
    let (app, mailbox) = (TestApp::new().await, Mailbox::open().await);
    let anna = app.student("anna").await;
    mailbox.fail_once();
    ask_verification(&anna).await.expect(202);
    app.run_jobs_with_mail(&mailbox).await;
    assert_eq!(mailbox.take().len(), 1);
    sqlx::query("UPDATE apalis.jobs SET run_at = now() WHERE status = 'Failed'").execute(app.app.pool()).await.unwrap();
    app.run_jobs_with_mail(&mailbox).await;
    let second = mailbox.take().pop().unwrap();
    ask_verification(&anna).await.expect(202);
    app.run_jobs_with_mail(&mailbox).await;
    assert!(mailbox.take().is_empty());
    app.app.db.clock().advance(TimeDelta::minutes(1));
    ask_verification(&anna).await.expect(202);
    app.run_jobs_with_mail(&mailbox).await;
    let third = mailbox.take().pop().unwrap();
    verify(&app, &second["token"]).await.expect(410).problem("invalid_verification_token");
    verify(&app, &third["token"]).await.expect(204);
    // There is nothing left to verify.
    app.app.db.clock().advance(TimeDelta::minutes(1));
    ask_verification(&anna).await.expect(202);
    app.run_jobs_with_mail(&mailbox).await;
    assert!(mailbox.take().is_empty());
}

#[tokio::test]
async fn an_unverified_user_sees_themself_and_asks_for_the_link_again() {
    let (app, mailbox) = (TestApp::new().await, Mailbox::open().await);
    require_verification(&app).await;
    sqlx::query("UPDATE platform_settings SET value = '\"open\"' WHERE key = 'registration.mode'")
        .execute(app.app.pool())
        .await
        .unwrap();
    let admin = app.admin("root").await;
    let body = json!({"email": "anna@example.test", "password": PASSWORD, "first_name": "Anna"});
    let registered = app.post("/v1/auth/register", body).await.expect(201).json;
    app.run_jobs_with_mail(&mailbox).await;
    let mail = mailbox.take().pop().unwrap();
    assert_eq!((&mail["kind"], &mail["name"]), (&json!("email_verification"), &json!("Anna")));

    let bearer = format!("Bearer {}", registered["tokens"]["access_token"].as_str().unwrap());
    let get = async |path: &str| app.get(path).header("Authorization", &bearer).await;
    assert_eq!(get("/v1/me").await.expect(200).json["is_email_verified"], false);
    for path in ["/v1/roadmaps", "/v1/me/sessions", "/v1/me/export"] {
        get(path).await.expect(403).problem("email_not_verified");
    }
    get("/v1/admin/users").await.expect(403).problem("forbidden");
    let refreshed = app.post("/v1/auth/refresh", json!({"refresh_token": registered["tokens"]["refresh_token"]}));
    refreshed.await.expect(200);
    // Admins can always switch it off again.
    admin.get("/v1/admin/users").await.expect(200);
    let mia = app.mentor("mia").await;
    mia.get("/v1/roadmaps").await.expect(403).problem("email_not_verified");

    verify(&app, &mail["token"]).await.expect(204);
    verify(&app, &mail["token"]).await.expect(410).problem("invalid_verification_token");
    assert_eq!(get("/v1/me").await.expect(200).json["is_email_verified"], true);
    get("/v1/roadmaps").await.expect(200);
    app.run_jobs().await;
    assert_eq!(app.count("SELECT count(*) FROM activity_log WHERE action = 'email.verified'").await, 1);
}

/// A link proves the address that it was sent to, and no other.
#[tokio::test]
async fn another_address_is_verified_anew() {
    let (app, mailbox) = (TestApp::new().await, Mailbox::open().await);
    let (admin, anna) = (app.admin("root").await, app.student("anna").await);
    let mailed = async || {
        app.app.db.clock().advance(TimeDelta::minutes(1));
        ask_verification(&anna).await.expect(202);
        app.run_jobs_with_mail(&mailbox).await;
        mailbox.take().pop().unwrap()
    };
    let change = async |email: &str| {
        let path = format!("/v1/admin/users/{}", anna.id);
        let version = admin.get(&path).await.expect(200).header("etag").to_owned();
        admin.patch(&path, json!({"email": email})).header("If-Match", &version).await.expect(200);
    };
    let is_verified = async || anna.get("/v1/me").await.expect(200).json["is_email_verified"] == true;
    let old = mailed().await;
    change("other@example.test").await;
    verify(&app, &old["token"]).await.expect(410).problem("invalid_verification_token");
    let new = mailed().await;
    assert_eq!(new["to"], "other@example.test");
    verify(&app, &new["token"]).await.expect(204);
    change("Other@example.test").await;
    assert!(is_verified().await, "the case of letters does not count");
    change("third@example.test").await;
    assert!(!is_verified().await);
    let late = mailed().await;
    app.app.db.clock().advance(TimeDelta::hours(24));
    verify(&app, &late["token"]).await.expect(410).problem("invalid_verification_token");
    app.run_jobs().await;
}

/// No token is stored, wherever somebody looks: not in the job, whose payload is kept for a while, nor in the table.
#[tokio::test]
async fn tokens_are_in_the_mail_only() {
    let (app, mailbox) = (TestApp::new().await, Mailbox::open().await);
    let anna = app.student("anna").await;
    ask_reset(&app, "anna@example.test").await.expect(202);
    ask_verification(&anna).await.expect(202);
    app.run_jobs_with_mail(&mailbox).await;
    let mails = mailbox.take();
    assert_eq!(mails.len(), 2);
    for mail in mails {
        let token = mail["token"].as_str().unwrap();
        let stored: i64 = sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM apalis.jobs WHERE convert_from(job, 'UTF8') LIKE '%' || $1 || '%')
                 + (SELECT count(*) FROM email_verifications v WHERE v::text LIKE '%' || $1 || '%')
                 + (SELECT count(*) FROM password_resets r WHERE r::text LIKE '%' || $1 || '%')
                 + (SELECT count(*) FROM activity_log a WHERE a::text LIKE '%' || $1 || '%')",
        )
        .bind(token)
        .fetch_one(app.app.pool())
        .await
        .unwrap();
        assert_eq!(stored, 0);
    }
}

/// Without a hook nothing is sent, and no link that an admin has created is replaced.
#[tokio::test]
async fn without_a_hook_nothing_happens() {
    let app = TestApp::new().await;
    let (admin, anna) = (app.admin("root").await, app.student("anna").await);
    let path = format!("/v1/admin/users/{}/password-reset", anna.id);
    let token = admin.call(Method::POST, &path).await.expect(200).json["token"].clone();
    ask_reset(&app, "anna@example.test").await.expect(202);
    ask_verification(&anna).await.expect(202);
    app.run_jobs().await;
    assert_eq!(app.count("SELECT count(*) FROM email_verifications").await, 0);
    reset(&app, &token, NEW).await.expect(204);
    app.run_jobs().await;
}
