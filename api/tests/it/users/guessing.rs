//! Guessing passwords, in any number and from anywhere.

use std::sync::Arc;

use cairn_core::actor::Role;
use cairn_core::users::accounts::{self, NewAccount};
use cairn_core::users::password_rules::Password;
use cairn_core::users::passwords::Passwords;
use cairn_core::users::rules::{Email, PersonName};
use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::Barrier;
use uuid::Uuid;

use crate::support::{Call, Reply, TestApp};

const PASSWORD: &str = "correct horse battery";
const WRONG: &str = "wrong horse battery";

/// Creates an account, and returns its id.
async fn account(app: &TestApp, email: &str) -> Uuid {
    let new = NewAccount {
        email: Email::parse(email).unwrap(),
        first_name: PersonName::parse("Anna").unwrap(),
        last_name: None,
        password_hash: Passwords::default().hash(&Password::parse(PASSWORD).unwrap()).await.unwrap(),
    };
    let mut tx = app.app.db.begin().await.unwrap();
    let user = accounts::create(&mut tx, &new, Role::Student).await.unwrap();
    tx.commit().await.unwrap();
    user.id
}

fn login(app: &TestApp, email: &str, password: &str) -> Call {
    app.post("/v1/auth/login", json!({"email": email, "password": password}))
}

fn login_on(app: &TestApp, device: &Value, email: &str, password: &str) -> Call {
    app.post("/v1/auth/login", json!({"email": email, "password": password, "device_token": device}))
}

/// Makes the counters of accounts, devices and users who failed once or more as full as if they had failed ten times, so that
/// the next failure is followed by a wait of a minute, however slow the test is.
async fn fail_ten_times(app: &TestApp) {
    sqlx::query("UPDATE sign_in_attempts SET failures = 10 WHERE forgotten_at - counted_at >= interval '1 hour'")
        .execute(app.app.pool())
        .await
        .unwrap();
}

/// Guesses until the next attempt has to wait for a minute.
async fn lock(app: &TestApp, email: &str) {
    login(app, email, WRONG).await.expect(401).problem("invalid_credentials");
    fail_ten_times(app).await;
    login(app, email, WRONG).await.expect(401).problem("invalid_credentials");
}

fn retry_after(reply: &Reply) -> i64 {
    reply.header("retry-after").parse().unwrap()
}

#[tokio::test]
async fn each_wrong_password_makes_the_next_attempt_wait_longer() {
    let app = TestApp::new().await;
    account(&app, "anna@example.test").await;
    for expected in [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900] {
        login(&app, "anna@example.test", WRONG).await.expect(401).problem("invalid_credentials");
        let wait = app
            .count("SELECT coalesce(max(extract(epoch FROM nullif(free_at, '-infinity') - forgotten_at + interval '15 hours')), 0)::bigint
                    FROM sign_in_attempts WHERE forgotten_at - counted_at >= interval '1 hour'")
            .await;
        assert_eq!(wait, expected);
        if expected >= 64 {
            // The owner is refused as well, and what is refused is not counted.
            let refused = login(&app, "anna@example.test", PASSWORD).await.expect(429).problem("too_many_requests");
            assert!((1..=expected).contains(&retry_after(&refused)));
        }
        app.app.db.clock().advance(TimeDelta::seconds(expected));
    }
    // A right password ends it.
    login(&app, "anna@example.test", PASSWORD).await.expect(200);
    for _ in 0..4 {
        login(&app, "anna@example.test", WRONG).await.expect(401);
    }
    login(&app, "anna@example.test", PASSWORD).await.expect(200);
    app.run_jobs().await;
}

#[tokio::test]
async fn attempts_are_forgotten_with_time() {
    let app = TestApp::new().await;
    account(&app, "anna@example.test").await;
    lock(&app, "anna@example.test").await; // eleven failures
    app.app.db.clock().advance(TimeDelta::hours(9));
    login(&app, "anna@example.test", WRONG).await.expect(401);
    let left = "SELECT failures::bigint FROM sign_in_attempts WHERE forgotten_at - counted_at >= interval '1 hour'";
    assert_eq!(app.count(left).await, 3);
    app.app.db.clock().advance(TimeDelta::days(1));
    login(&app, "anna@example.test", WRONG).await.expect(401);
    assert_eq!(app.count(left).await, 1);
    app.run_jobs().await;
}

/// Clocks of processes differ, and of attempts at once the one that began later may be counted first.
#[tokio::test]
async fn an_attempt_that_began_earlier_does_not_wait_for_one_that_began_later() {
    let app = TestApp::new().await;
    account(&app, "anna@example.test").await;
    login(&app, "anna@example.test", WRONG).await.expect(401);
    app.app.db.clock().advance(TimeDelta::seconds(-2));
    login(&app, "anna@example.test", WRONG).await.expect(401);
    login(&app, "berta@example.test", WRONG).await.expect(401);
    app.run_jobs().await;
}

#[tokio::test]
async fn all_ways_to_write_an_address_count_together() {
    let app = TestApp::new().await;
    account(&app, "admin@example.test").await;
    for email in ["admin@example.test", "ADMIN@example.test", "ａｄｍｉｎ@example.test", " admin@EXAMPLE.test "] {
        login(&app, email, WRONG).await.expect(401);
    }
    assert_eq!(app.count("SELECT count(*) FROM sign_in_attempts").await, 2, "the account and the client's address");
    fail_ten_times(&app).await;
    login(&app, "Admin@ｅxample.test", WRONG).await.expect(401);
    login(&app, "aDmin@example.test", PASSWORD).await.expect(429);
    // An address that only looks alike is another one, and has no account.
    login(&app, "admİn@example.test", PASSWORD).await.expect(401).problem("invalid_credentials");
    login(&app, "admın@example.test", PASSWORD).await.expect(401).problem("invalid_credentials");
    app.run_jobs().await;
}

#[tokio::test]
async fn an_unknown_account_is_counted_like_a_known_one_and_not_stored() {
    let app = TestApp::new().await;
    account(&app, "anna@example.test").await;
    for email in ["anna@example.test", "nobody@example.test"] {
        lock(&app, email).await;
        let refused = login(&app, email, PASSWORD).await.expect(429).problem("too_many_requests");
        assert_eq!(
            refused.json["detail"],
            "There were too many requests or attempts. Try again later; see the Retry-After header."
        );
        assert!((2..=64).contains(&retry_after(&refused)));
    }
    let stored: Vec<String> =
        sqlx::query_scalar("SELECT to_jsonb(a)::text FROM sign_in_attempts a").fetch_all(app.app.pool()).await.unwrap();
    assert_eq!(stored.len(), 3, "two accounts and one address");
    assert!(stored.iter().all(|row| !row.contains("example") && !row.contains("nobody")), "{stored:?}");
    app.run_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_guesses_at_once_on_two_processes_few_check_a_password() {
    let app = TestApp::new().await;
    let sibling = app.sibling();
    account(&app, "anna@example.test").await;
    login(&app, "anna@example.test", WRONG).await.expect(401);
    fail_ten_times(&app).await;
    app.run_jobs().await;
    let before = app.count("SELECT count(*) FROM activity_log WHERE action = 'user.sign_in_failed'").await;
    let barrier = Arc::new(Barrier::new(50));
    let guesses = (0..50).map(|n| {
        let (app, barrier) = (if n % 2 == 0 { app.clone() } else { sibling.clone() }, Arc::clone(&barrier));
        tokio::spawn(async move {
            barrier.wait().await;
            login(&app, "anna@example.test", WRONG).await.status.as_u16()
        })
    });
    let statuses: Vec<u16> = join_all(guesses).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 49, "{statuses:?}");
    app.run_jobs().await;
    let after = app.count("SELECT count(*) FROM activity_log WHERE action = 'user.sign_in_failed'").await;
    assert_eq!(after - before, 1);
    drop(sibling);
}

#[tokio::test]
async fn a_restart_forgets_nothing() {
    let app = TestApp::new().await;
    account(&app, "anna@example.test").await;
    lock(&app, "anna@example.test").await;
    let restarted = app.sibling();
    login(&restarted, "anna@example.test", PASSWORD).await.expect(429);
    drop(restarted);
    app.run_jobs().await;
}

#[tokio::test]
async fn the_owner_gets_in_on_a_known_device() {
    let app = TestApp::new().await;
    account(&app, "anna@example.test").await;
    account(&app, "mallory@example.test").await;
    let device = login(&app, "anna@example.test", PASSWORD).await.expect(200).json["device_token"].clone();
    let foreign = login(&app, "mallory@example.test", PASSWORD).await.expect(200).json["device_token"].clone();
    lock(&app, "anna@example.test").await;
    // Neither a device of somebody else nor a made-up one helps.
    login_on(&app, &foreign, "anna@example.test", PASSWORD).await.expect(429);
    login_on(&app, &json!("made up"), "anna@example.test", PASSWORD).await.expect(429);
    let next = login_on(&app, &device, "anna@example.test", PASSWORD).await.expect(200).json["device_token"].clone();
    assert_ne!(device, next);
    login_on(&app, &device, "anna@example.test", PASSWORD).await.expect(429); // was replaced
    // Guessing on the device itself waits as everywhere, and a stolen token gives no access.
    login_on(&app, &next, "anna@example.test", WRONG).await.expect(401).problem("invalid_credentials");
    fail_ten_times(&app).await;
    login_on(&app, &next, "anna@example.test", WRONG).await.expect(401).problem("invalid_credentials");
    login_on(&app, &next, "anna@example.test", PASSWORD).await.expect(429);
    app.app.db.clock().advance(TimeDelta::seconds(64));
    login_on(&app, &next, "anna@example.test", PASSWORD).await.expect(200);
    app.run_jobs().await;
}

#[tokio::test]
async fn few_devices_are_known_and_their_tokens_are_not_stored() {
    let app = TestApp::new().await;
    account(&app, "anna@example.test").await;
    let mut devices = Vec::new();
    for _ in 0..12 {
        devices.push(login(&app, "anna@example.test", PASSWORD).await.expect(200).json["device_token"].clone());
        app.app.db.clock().advance(TimeDelta::seconds(1));
    }
    let stored: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT token_hash FROM sign_in_devices").fetch_all(app.app.pool()).await.unwrap();
    assert_eq!(stored.len(), 10);
    assert!(devices.iter().all(|token| !stored.iter().any(|hash| hash == token.as_str().unwrap().as_bytes())));
    lock(&app, "anna@example.test").await;
    login_on(&app, &devices[1], "anna@example.test", PASSWORD).await.expect(429);
    login_on(&app, &devices[2], "anna@example.test", PASSWORD).await.expect(200);
    app.app.db.clock().advance(TimeDelta::days(181));
    lock(&app, "anna@example.test").await;
    login_on(&app, &devices[11], "anna@example.test", PASSWORD).await.expect(429);
    app.run_jobs().await;
}

#[tokio::test]
async fn the_owner_gets_in_with_a_reset_link() {
    const NEW: &str = "another horse battery";
    let app = TestApp::new().await;
    let anna = account(&app, "anna@example.test").await;
    let admin = app.admin("admin").await;
    lock(&app, "anna@example.test").await;
    let reset = admin.call(poem::http::Method::POST, &format!("/v1/admin/users/{anna}/password-reset"));
    let token = reset.await.expect(200).json["token"].clone();
    app.post("/v1/auth/password-reset", json!({"token": token, "new_password": NEW})).await.expect(204);
    // The guessing goes on, at an account that has just been reset.
    lock(&app, "anna@example.test").await;
    login(&app, "anna@example.test", NEW).await.expect(429);
    login_on(&app, &token, "anna@example.test", NEW).await.expect(200);
    login_on(&app, &token, "anna@example.test", NEW).await.expect(429);
    app.run_jobs().await;
}

#[tokio::test]
async fn trying_many_accounts_from_one_address_is_slowed() {
    let app = TestApp::new().await;
    account(&app, "anna@example.test").await;
    for n in 0..30 {
        login(&app, &format!("learner{n}@example.test"), WRONG).await.expect(401);
    }
    // Thirty failures make the next attempt wait for a second, and each further one for twice as long.
    sqlx::query("UPDATE sign_in_attempts SET failures = 36 WHERE failures >= 20")
        .execute(app.app.pool())
        .await
        .unwrap();
    app.app.db.clock().advance(TimeDelta::seconds(2));
    login(&app, "learner30@example.test", WRONG).await.expect(401);
    let refused = login(&app, "anna@example.test", PASSWORD).await.expect(429).problem("too_many_requests");
    assert!((60..=128).contains(&retry_after(&refused)), "{refused:?}");
    // What was refused is not counted for the account.
    assert_eq!(app.count("SELECT count(*) FROM sign_in_attempts").await, 32, "an address and 31 accounts");
    app.app.db.clock().advance(TimeDelta::seconds(128));
    login(&app, "anna@example.test", PASSWORD).await.expect(200);
    // A success does not make up for the failures.
    let failures = app.count("SELECT max(failures)::bigint FROM sign_in_attempts").await;
    assert!((30..=37).contains(&failures), "{failures}");
    app.app.db.clock().advance(TimeDelta::minutes(30));
    login(&app, "learner32@example.test", WRONG).await.expect(401);
    login(&app, "learner33@example.test", WRONG).await.expect(401);
    app.run_jobs().await;
}

#[tokio::test]
async fn a_school_that_signs_in_at_once_is_not_slowed() {
    let app = TestApp::new().await;
    account(&app, "anna@example.test").await;
    for _ in 0..40 {
        login(&app, "anna@example.test", PASSWORD).await.expect(200);
    }
    assert_eq!(app.count("SELECT coalesce(sum(failures), 0)::bigint FROM sign_in_attempts").await, 0);
    app.run_jobs().await;
}

#[tokio::test]
async fn requests_that_check_no_password_count_for_nobody() {
    let app = TestApp::new().await;
    account(&app, "anna@example.test").await;
    for _ in 0..4 {
        login(&app, "anna@example.test", WRONG).await.expect(401);
    }
    for n in 0..100 {
        let body = json!({"email": format!("x{n}@example.test"), "password": PASSWORD, "first_name": "X", "invite_code": "no"});
        app.post("/v1/auth/register", body).await.expect(404);
        login(&app, "no address", WRONG).await.expect(401);
    }
    assert_eq!(app.count("SELECT count(*) FROM sign_in_attempts").await, 2, "anna and her address");
    app.run_jobs().await;
}

#[tokio::test]
async fn an_unreadable_hash_is_a_wrong_password() {
    let app = TestApp::new().await;
    let anna = account(&app, "anna@example.test").await;
    sqlx::query("UPDATE users SET password_hash = 'no hash' WHERE id = $1")
        .bind(anna)
        .execute(app.app.pool())
        .await
        .unwrap();
    login(&app, "anna@example.test", PASSWORD).await.expect(401);
    let failures = app.count("SELECT coalesce(sum(failures), 0)::bigint FROM sign_in_attempts").await;
    assert_eq!(failures, 2, "as with a wrong password: one of the account, one of the address");
    app.run_jobs().await;
}

#[tokio::test]
async fn failed_sign_ins_and_locks_are_recorded() {
    let app = TestApp::new().await;
    let anna = account(&app, "anna@example.test").await;
    for email in ["anna@example.test", "nobody@example.test"] {
        for _ in 0..5 {
            login(&app, email, WRONG).await.expect(401);
        }
    }
    app.run_jobs().await;
    let recorded: Vec<(String, Option<Uuid>, i64)> = sqlx::query_as(
        "SELECT action, target_id, count(*) FROM activity_log WHERE action IN ('user.sign_in_failed', 'user.locked')
           AND actor_id IS NULL GROUP BY 1, 2 ORDER BY 1, 2 NULLS LAST",
    )
    .fetch_all(app.app.pool())
    .await
    .unwrap();
    let expected = [
        ("user.locked", Some(anna), 1),
        ("user.locked", None, 1),
        ("user.sign_in_failed", Some(anna), 5),
        ("user.sign_in_failed", None, 5),
    ];
    assert_eq!(recorded, expected.map(|(action, target, count)| (action.to_owned(), target, count)));
    // Who was attacked has not been active.
    assert_eq!(app.count("SELECT count(*) FROM users WHERE last_active_at IS NOT NULL").await, 0);
    let metrics = app.app.metrics.render().await.unwrap();
    for line in [
        "cairn_security_events_total{event=\"sign_in_failed\"} 10",
        "cairn_security_events_total{event=\"account_locked\"} 2",
        "cairn_security_events_total{event=\"forbidden\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} is missing");
    }
}

#[tokio::test]
async fn a_signed_in_thief_cannot_guess_the_password_either() {
    let app = TestApp::new().await;
    account(&app, "anna@example.test").await;
    let token = login(&app, "anna@example.test", PASSWORD).await.expect(200).json["tokens"]["access_token"].clone();
    let change = |current: &str| {
        app.call(poem::http::Method::PUT, "/v1/me/password")
            .header("Authorization", &format!("Bearer {}", token.as_str().unwrap()))
            .json(json!({"current_password": current, "new_password": "another horse battery"}))
    };
    change(WRONG).await.expect(403).problem("wrong_password");
    fail_ten_times(&app).await;
    change(WRONG).await.expect(403).problem("wrong_password");
    change(PASSWORD).await.expect(429).problem("too_many_requests");
    // The sign-in is not affected.
    login(&app, "anna@example.test", PASSWORD).await.expect(200);
    app.app.db.clock().advance(TimeDelta::seconds(64));
    change(PASSWORD).await.expect(204);
    app.run_jobs().await;
}
