//! Admins and invites.

use crate::support::Sandbox;

const CREATE: [&str; 6] = ["admin", "create", "--email", "root@example.test", "--first-name", "Root"];

#[tokio::test]
async fn an_admin_is_created_with_a_password_from_standard_input() {
    let sandbox = Sandbox::with_database().await;
    let run = sandbox.run_with_input(&CREATE, "correct horse\n");
    assert!(run.ok().starts_with("created the admin root@example.test ("), "{run:?}");
    assert!(!run.out.contains("horse") && !run.err.contains("horse"));
    let (role, hash): (String, String) =
        sqlx::query_as("SELECT role::text, password_hash FROM users").fetch_one(&sandbox.pool().await).await.unwrap();
    assert_eq!(role, "admin");
    assert!(hash.starts_with("$argon2id$"), "{hash}");
    sandbox.run_with_input(&CREATE, "correct horse\n").fails(1, &["root@example.test already has an account"]);
}

#[tokio::test]
async fn invalid_admin_details_are_refused_before_anything_is_stored() {
    let sandbox = Sandbox::with_database().await;
    sandbox.run_with_input(&CREATE, "short\n").fails(2, &["at least 10 characters"]);
    sandbox.run_with_input(&CREATE, "").fails(2, &["at least 10 characters"]);
    let args = ["admin", "create", "--email", "root", "--first-name", "Root"];
    sandbox.run_with_input(&args, "correct horse\n").fails(2, &["--email"]);
    let args = ["admin", "create", "--email", "root@example.test", "--first-name", " "];
    sandbox.run_with_input(&args, "correct horse\n").fails(2, &["a name must have"]);
    let users: i64 = sqlx::query_scalar("SELECT count(*) FROM users").fetch_one(&sandbox.pool().await).await.unwrap();
    assert_eq!(users, 0);
}

#[tokio::test]
async fn creating_an_invite_prints_only_its_code_on_standard_output() {
    let sandbox = Sandbox::with_database().await;
    let run =
        sandbox.run(&["invite", "create", "--role", "mentor", "--uses", "7", "--expires-in-days", "2", "--note", "n"]);
    let code = run.ok().trim_end();
    assert!(!code.is_empty() && !code.contains(char::is_whitespace), "{run:?}");
    assert!(run.err.contains("7 uses until"), "{run:?}");
    let found: (String, i32, bool) = sqlx::query_as(
        "SELECT role::text, max_uses, expires_at BETWEEN now() + interval '47 hours' AND now() + interval '49 hours'
         FROM invite_links WHERE code = $1",
    )
    .bind(code)
    .fetch_one(&sandbox.pool().await)
    .await
    .unwrap();
    assert_eq!(found, ("mentor".to_owned(), 7, true));
    sandbox.run(&["invite", "create", "--note", &"x".repeat(201)]).fails(2, &["--note"]);
}
