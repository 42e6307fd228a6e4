//! Passwords: changing one's own, and setting one with a link.

use std::sync::Arc;

use cairn_core::settings::Settings;
use cairn_core::users::password_rules::Password;
use cairn_core::users::passwords::Passwords;
use cairn_core::users::rules::Email;
use cairn_core::users::{accounts, sessions};
use futures_util::future::join_all;
use poem::http::Method;
use serde_json::{Value, json};
use tokio::sync::Barrier;

use crate::support::{Actor, Call, TestApp};

const OLD: &str = "correct horse battery";
const NEW: &str = "staple battery horse";

pub(super) fn login(app: &TestApp, email: &str, password: &str) -> Call {
    app.post("/v1/auth/login", json!({"email": email, "password": password}))
}

pub(super) fn reset(app: &TestApp, token: &Value, password: &str) -> Call {
    app.post("/v1/auth/password-reset", json!({"token": token, "new_password": password}))
}

pub(super) async fn set_password(app: &TestApp, person: &Actor, password: &str) {
    let hash = app.app.passwords.hash(&Password::parse(password).unwrap()).await.unwrap();
    sqlx::query("UPDATE users SET password_hash = $2 WHERE id = $1")
        .bind(person.id)
        .bind(hash)
        .execute(app.app.pool())
        .await
        .unwrap();
}

fn change(person: &Actor, current: &str, new: &str) -> Call {
    person.put("/v1/me/password").json(json!({"current_password": current, "new_password": new}))
}

async fn create_link(app: &TestApp, admin: &Actor, person: &Actor) -> Value {
    let path = format!("/v1/admin/users/{}/password-reset", person.id);
    let token = admin.call(Method::POST, &path).await.expect(200).json["token"].clone();
    app.run_jobs().await;
    token
}

#[tokio::test]
async fn a_new_password_needs_the_current_one_and_ends_other_sessions() {
    let app = TestApp::new().await;
    let (admin, anna) = (app.admin("root").await, app.student("anna").await);
    set_password(&app, &anna, OLD).await;
    let elsewhere = login(&app, "anna@example.test", OLD).await.expect(200).json["tokens"]["access_token"].clone();
    let token = create_link(&app, &admin, &anna).await;
    change(&anna, "wrong horse battery", NEW).await.expect(403).problem("wrong_password");
    change(&anna, OLD, "short").invalid().await.expect(422).blames(&[("/new_password", "too_short")]);
    for (new, rule) in
        [(OLD, "same_password"), ("password123", "common_password"), ("anna@example.test", "personal_password")]
    {
        change(&anna, OLD, new).invalid().await.expect(422).problem("invalid_body").blames(&[("/new_password", rule)]);
    }
    change(&anna, OLD, NEW).await.expect(204);
    anna.get("/v1/me").await.expect(200);
    let me = app.get("/v1/me").header("Authorization", &format!("Bearer {}", elsewhere.as_str().unwrap()));
    me.await.expect(401).problem("unauthorized");
    login(&app, "anna@example.test", OLD).await.expect(401);
    login(&app, "anna@example.test", NEW).await.expect(200);
    // A link that was created before would set yet another one.
    reset(&app, &token, OLD).await.expect(410).problem("invalid_reset_token");
    app.run_jobs().await;
    let recorded: Vec<(String, String)> =
        sqlx::query_as("SELECT action, metadata::text FROM activity_log WHERE action LIKE 'password.%'")
            .fetch_all(app.app.pool())
            .await
            .unwrap();
    assert_eq!(recorded, [("password.updated".to_owned(), "{\"sessions_ended\": 1}".to_owned())]);
}

/// A stolen session must not be a way to guess the password.
#[tokio::test]
async fn guessing_the_current_password_is_slowed_down_like_a_sign_in() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    set_password(&app, &anna, OLD).await;
    for _ in 0..2 {
        change(&anna, "wrong horse battery", NEW).await.expect(403);
        login(&app, "anna@example.test", "wrong horse battery").await.expect(401);
        // As after ten failures, so that the wait is longer than this test.
        sqlx::query("UPDATE sign_in_attempts SET failures = 10 WHERE forgotten_at - counted_at >= interval '1 hour'")
            .execute(app.app.pool())
            .await
            .unwrap();
    }
    let refused = change(&anna, OLD, NEW).await.expect(429).problem("too_many_requests");
    assert!(!refused.header("retry-after").is_empty());
    login(&app, "anna@example.test", OLD).await.expect(429);
    app.run_jobs().await;
}

/// A sign-in that has verified the old password opens no session after the change.
#[tokio::test]
async fn a_sign_in_with_a_password_that_has_just_been_changed_fails() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    set_password(&app, &anna, OLD).await;
    let email = Email::parse("anna@example.test").unwrap();
    let mut connection = app.app.pool().acquire().await.unwrap();
    let verified = accounts::find_credentials(&mut connection, &email).await.unwrap().unwrap();
    let sign_in = async || {
        let mut tx = app.app.db.begin().await.unwrap();
        let session = sessions::sign_in(&mut tx, &verified, None, &Settings::default()).await.unwrap();
        tx.commit().await.unwrap();
        session.is_some()
    };
    assert!(sign_in().await);
    assert_eq!(app.count("SELECT count(*) FROM sessions WHERE revoked_at IS NULL").await, 2);
    sqlx::query("UPDATE users SET status = 'suspended'").execute(app.app.pool()).await.unwrap();
    assert!(!sign_in().await, "suspended");
    sqlx::query("UPDATE users SET status = 'active'").execute(app.app.pool()).await.unwrap();
    let anna = anna.another_session().await;
    change(&anna, OLD, NEW).await.expect(204);
    assert!(!sign_in().await, "another password");
    assert_eq!(app.count("SELECT count(*) FROM sessions WHERE revoked_at IS NULL").await, 1);
    app.run_jobs().await;
}

/// Of two changes that have both checked the same password, one counts.
#[tokio::test(flavor = "multi_thread")]
async fn two_changes_at_once_do_not_overwrite_each_other() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    set_password(&app, &anna, OLD).await;
    let barrier = Arc::new(Barrier::new(2));
    let changes = ["staple battery one", "staple battery two"].map(|new| {
        let (anna, barrier) = (anna.clone(), Arc::clone(&barrier));
        tokio::spawn(async move {
            barrier.wait().await;
            change(&anna, OLD, new).await.status.as_u16()
        })
    });
    let mut statuses: Vec<u16> = join_all(changes).await.into_iter().map(Result::unwrap).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 403]);
    app.run_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_used_once_by_whoever_is_first() {
    let app = TestApp::new().await;
    let (admin, anna) = (app.admin("root").await, app.student("anna").await);
    let token = create_link(&app, &admin, &anna).await;
    let barrier = Arc::new(Barrier::new(8));
    let attempts = (0..8).map(|n| {
        let (app, token, barrier) = (app.clone(), token.clone(), Arc::clone(&barrier));
        tokio::spawn(async move {
            barrier.wait().await;
            (n, reset(&app, &token, &format!("staple battery {n}")).await)
        })
    });
    let (won, lost): (Vec<_>, Vec<_>) =
        join_all(attempts).await.into_iter().map(Result::unwrap).partition(|(_, reply)| reply.status == 204);
    assert_eq!(won.len(), 1);
    for (_, reply) in lost {
        reply.expect(410).problem("invalid_reset_token");
    }
    login(&app, "anna@example.test", &format!("staple battery {}", won[0].0)).await.expect(200);
    anna.get("/v1/me").await.expect(401).problem("unauthorized");
    app.run_jobs().await;
    let recorded = "SELECT count(*) FROM activity_log WHERE action = 'password.reset' AND actor_id = target_id";
    assert_eq!(app.count(recorded).await, 1);
}

#[tokio::test]
async fn tokens_that_are_no_links_are_refused_before_anything_is_hashed() {
    let app = TestApp::new().await;
    let (admin, anna) = (app.admin("root").await, app.student("anna").await);
    let token = create_link(&app, &admin, &anna).await;
    let version = admin.get(&format!("/v1/admin/users/{}", anna.id)).await.header("etag").to_owned();
    admin.delete(&format!("/v1/admin/users/{}", anna.id)).header("If-Match", &version).await.expect(204);
    reset(&app, &token, NEW).await.expect(410).problem("invalid_reset_token");
    for _ in 0..9 {
        reset(&app, &json!("made up"), NEW).await.expect(410).problem("invalid_reset_token");
    }
    app.run_jobs().await;
}

/// The account of another system, with the hash that it had there.
async fn adopt(app: &TestApp, person: &Actor, hash: &str) {
    sqlx::query("UPDATE users SET password_hash = $2 WHERE id = $1")
        .bind(person.id)
        .bind(hash)
        .execute(app.app.pool())
        .await
        .unwrap();
}

async fn stored_hash(app: &TestApp, person: &Actor) -> String {
    sqlx::query_scalar("SELECT password_hash FROM users WHERE id = $1")
        .bind(person.id)
        .fetch_one(app.app.pool())
        .await
        .unwrap()
}

/// By bcrypt and by another Argon2. The password would not be accepted as a new one, but its owner has it.
const FOREIGN: [(&str, &str); 2] = [
    ("старый пароль", "$2b$04$mr/6q9kPg7ecDToCaacj3e6JpFrBSnfjZ4vWj7fZwz.k2OJgvZYc6"),
    ("password", "$argon2i$m=65536,t=2,p=1$c29tZXNhbHQ$9sTbSlTio3Biev89thdrlKKiCaYsjjYVJxGAL3swxpQ"),
];

#[tokio::test]
async fn a_hash_of_another_system_is_replaced_at_the_first_sign_in() {
    let app = TestApp::new().await;
    for (name, (password, hash)) in ["anna", "ben"].into_iter().zip(FOREIGN) {
        let (person, email) = (app.student(name).await, format!("{name}@example.test"));
        adopt(&app, &person, hash).await;
        login(&app, &email, "wrong horse battery").await.expect(401).problem("invalid_credentials");
        assert_eq!(stored_hash(&app, &person).await, hash);
        login(&app, &email, password).await.expect(200);
        let stored = stored_hash(&app, &person).await;
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        login(&app, &email, password).await.expect(200);
        assert_eq!(stored_hash(&app, &person).await, stored);
        person.get("/v1/me").await.expect(200);
    }
    app.run_jobs().await;
}

/// Of two sign-ins that find an old hash, and a change of the password between them, none brings the old password back.
#[tokio::test]
async fn a_hash_is_replaced_only_if_it_is_still_the_one_that_was_checked() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    adopt(&app, &anna, FOREIGN[1].1).await;
    let email = Email::parse("anna@example.test").unwrap();
    let mut connection = app.app.pool().acquire().await.unwrap();
    let verified = accounts::find_credentials(&mut connection, &email).await.unwrap().unwrap();
    change(&anna, FOREIGN[1].0, NEW).await.expect(204);
    let changed = stored_hash(&app, &anna).await;
    let mut tx = app.app.db.begin().await.unwrap();
    let session = sessions::sign_in(&mut tx, &verified, Some("rehashed"), &Settings::default()).await.unwrap();
    tx.commit().await.unwrap();
    assert!(session.is_none());
    assert_eq!(stored_hash(&app, &anna).await, changed);
    app.run_jobs().await;
}

#[tokio::test]
async fn a_hash_that_cannot_be_read_is_a_failed_sign_in() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    for hash in ["", "legacy:md5:0cc175b9c0f1b6a831c399e269772661", "$argon2id$v=19$m=19456,t=2,p=1$x$y"] {
        adopt(&app, &anna, hash).await;
        let refused = login(&app, "anna@example.test", OLD).await.expect(401).problem("invalid_credentials");
        assert_eq!(refused.json["detail"], "There is no account with this email and password.");
        change(&anna, OLD, NEW).await.expect(403).problem("wrong_password");
    }
    app.run_jobs().await;
}

/// A password is the same however its letters are composed.
#[tokio::test]
async fn a_keyboard_that_composes_letters_otherwise_signs_in() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    set_password(&app, &anna, OLD).await;
    change(&anna, OLD, "чайни\u{438}\u{306} cafe\u{301}").await.expect(204);
    login(&app, "anna@example.test", "чайни\u{439} caf\u{e9}").await.expect(200);
    app.run_jobs().await;
}

/// When the threads cannot keep up, some are told to come back, rather than all to wait. Nothing is ever hashed here.
#[tokio::test]
async fn a_flood_of_sign_ins_is_shed() {
    let app = TestApp::new().await;
    let stalled = app.hashing_with(Passwords::with_threads(0));
    let waiting = async |count: usize| {
        while stalled.app.passwords.stats().waiting != count {
            tokio::task::yield_now().await;
        }
    };
    let attempt = |n: usize| {
        let app = stalled.clone();
        tokio::spawn(async move { login(&app, &format!("nobody{n}@example.test"), OLD).await })
    };
    let flood: Vec<_> = (0..8).map(attempt).collect();
    waiting(8).await;
    let refused = login(&stalled, "anna@example.test", OLD).await.expect(503).problem("unavailable");
    assert_eq!(refused.header("retry-after"), "2");
    assert_eq!(stalled.app.passwords.stats().shed, 1);
    // Clients that hang up make room.
    for attempt in flood {
        attempt.abort();
        assert!(attempt.await.unwrap_err().is_cancelled());
    }
    let next = attempt(8);
    waiting(1).await;
    assert_eq!(stalled.app.passwords.stats().skipped, 8);
    next.abort();
}
