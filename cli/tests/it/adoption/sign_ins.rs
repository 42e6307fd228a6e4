//! People who were imported sign in as they did.

use serde_json::Value;
use sqlx::AssertSqlSafe;

use super::{HASH, Legacy, PASSWORD, plain_platform, scalar};
use crate::dev::Dev;
use crate::support::Sandbox;

/// Hashes as other libraries write them, of the same password.
#[tokio::test(flavor = "multi_thread")]
async fn people_sign_in_over_http_with_the_passwords_that_they_had() {
    let _ = rustls::crypto::ring::default_provider().install_default(); // another test may have done it
    let hashes = ["$2a$", "$2b$", "$2y$"].map(|version| HASH.replacen("$2b$", version, 1));
    let legacy = Legacy::with(&plain_platform(4, 3, &hashes.each_ref().map(String::as_str))).await;
    let more = format!(
        "INSERT INTO users (email, password_hash, first_name, role, status, created_at) VALUES
             ('out@example.test', '{HASH}', 'Вне', 'student', 'inactive', now()), ('ada@example.test', '{HASH}', 'Ада', 'admin', 'active', now())"
    );
    sqlx::raw_sql(AssertSqlSafe(more)).execute(&legacy.pool().await).await.unwrap();
    let sandbox = Sandbox::with_database().await;
    legacy.run(&sandbox, &["import-legacy"]).ok();
    let dev = Dev::start(&sandbox);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let sign_in = async |email: &str, password: &str| {
        let body = serde_json::json!({ "email": email, "password": password });
        let answer = client.post(format!("{}/v1/auth/login", dev.url)).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    for n in 0..4 {
        let email = format!("LEARNER.{n}@example.test");
        assert_eq!(sign_in(&email, "another password").await.0, 401);
        let (status, session) = sign_in(&email, PASSWORD).await;
        assert_eq!((status, &session["user"]["first_name"]), (200, &Value::from(format!("Ученик {n}"))), "{session}");
        let roadmaps = client
            .get(format!("{}/v1/roadmaps", dev.url))
            .bearer_auth(session["tokens"]["access_token"].as_str().unwrap())
            .send()
            .await
            .unwrap();
        let roadmaps: Value = roadmaps.json().await.unwrap();
        let course = roadmaps["items"].as_array().unwrap().iter().find(|roadmap| roadmap["title"] == "Курс").unwrap();
        assert_eq!(
            (&course["percent"], &course["lessons_completed"]),
            (&Value::from(100), &Value::from(3)),
            "{course}"
        );
    }
    let (status, problem) = sign_in("out@example.test", PASSWORD).await;
    assert_eq!((status, &problem["code"]), (403, &Value::from("account_suspended")), "{problem}");
    let (status, admin) = sign_in("ada@example.test", PASSWORD).await;
    assert_eq!((status, &admin["user"]["role"]), (200, &Value::from("admin")), "{admin}");
    // Whoever has signed in has a hash of ours, and the same password.
    let ours = "SELECT count(*) FROM users WHERE password_hash LIKE '$argon2id$%'";
    assert_eq!(scalar::<i64>(&sandbox.pool().await, ours).await, 5);
    assert_eq!(sign_in("learner.0@example.test", PASSWORD).await.0, 200);
    assert_eq!(dev.stop(), 0);
}
