//! Admins and invites.

use crate::support::Place;

const CREATE: [&str; 6] = ["admin", "create", "--email", "root@example.test", "--first-name", "Root"];

#[tokio::test]
async fn an_admin_is_created_with_a_password_from_standard_input() {
    let place = Place::with_database().await;
    let run = place.run_with_input(&CREATE, "correct horse\n");
    assert!(run.ok().starts_with("created the admin root@example.test ("), "{run:?}");
    assert!(!run.out.contains("horse") && !run.err.contains("horse"));
    let (role, hash): (String, String) =
        sqlx::query_as("SELECT role::text, password_hash FROM users").fetch_one(&place.pool().await).await.unwrap();
    assert_eq!(role, "admin");
    assert!(hash.starts_with("$argon2id$"), "{hash}");
    place.run_with_input(&CREATE, "correct horse\n").fails(1, &["root@example.test has an account already"]);
}

#[tokio::test]
async fn a_bad_admin_is_refused_before_anything_is_stored() {
    let place = Place::with_database().await;
    place.run_with_input(&CREATE, "short\n").fails(2, &["10 to 128"]);
    place.run_with_input(&CREATE, "").fails(2, &["10 to 128"]);
    let args = ["admin", "create", "--email", "root", "--first-name", "Root"];
    place.run_with_input(&args, "correct horse\n").fails(2, &["--email"]);
    let args = ["admin", "create", "--email", "root@example.test", "--first-name", " "];
    place.run_with_input(&args, "correct horse\n").fails(2, &["a name has"]);
    let users: i64 = sqlx::query_scalar("SELECT count(*) FROM users").fetch_one(&place.pool().await).await.unwrap();
    assert_eq!(users, 0);
}

#[tokio::test]
async fn an_invite_prints_its_code_and_nothing_else_on_standard_output() {
    let place = Place::with_database().await;
    let run =
        place.run(&["invite", "create", "--role", "mentor", "--uses", "7", "--expires-in-days", "2", "--note", "n"]);
    let code = run.ok().trim_end();
    assert!(!code.is_empty() && !code.contains(char::is_whitespace), "{run:?}");
    assert!(run.err.contains("7 uses until"), "{run:?}");
    let found: (String, i32, bool) = sqlx::query_as(
        "SELECT role::text, max_uses, expires_at BETWEEN now() + interval '47 hours' AND now() + interval '49 hours'
         FROM invite_links WHERE code = $1",
    )
    .bind(code)
    .fetch_one(&place.pool().await)
    .await
    .unwrap();
    assert_eq!(found, ("mentor".to_owned(), 7, true));
    place.run(&["invite", "create", "--note", &"x".repeat(201)]).fails(2, &["--note"]);
}
