//! The last active admin stays one, whoever changes the row and how.

use cairn_testing::database::{TestDb, run};

const ADMINS: &str = "INSERT INTO users (id, email, first_name, role) VALUES
    ('00000000-0000-0000-0000-0000000000aa', 'a@example.test', 'A', 'admin'),
    ('00000000-0000-0000-0000-0000000000bb', 'b@example.test', 'B', 'admin'),
    ('00000000-0000-0000-0000-0000000000cc', 'c@example.test', 'C', 'student')";

async fn refused(test: &TestDb, statement: &'static str) -> bool {
    match sqlx::query(statement).execute(test.pool()).await {
        Ok(_) => false,
        Err(error) => {
            let constraint = error.as_database_error().and_then(|error| error.constraint());
            assert_eq!(constraint, Some("users_keep_an_admin"), "{error}");
            true
        }
    }
}

#[tokio::test]
async fn one_admin_at_least_stays_active() {
    let test = TestDb::new().await;
    run(test.pool(), ADMINS).await;
    for all in [
        "UPDATE users SET role = 'mentor'",
        "UPDATE users SET status = 'suspended'",
        "UPDATE users SET deleted_at = now()",
    ] {
        assert!(refused(&test, all).await, "{all}");
    }
    assert!(!refused(&test, "UPDATE users SET role = 'student' WHERE first_name = 'A'").await);
    for last in [
        "UPDATE users SET role = 'student' WHERE first_name = 'B'",
        "UPDATE users SET status = 'suspended' WHERE first_name = 'B'",
        "UPDATE users SET deleted_at = now() WHERE first_name = 'B'",
    ] {
        assert!(refused(&test, last).await, "{last}");
    }
    for other in [
        "UPDATE users SET last_active_at = now()",
        "UPDATE users SET first_name = 'BB' WHERE first_name = 'B'",
        "UPDATE users SET status = 'suspended' WHERE role = 'student'",
        "UPDATE users SET role = CASE WHEN first_name = 'BB' THEN 'student' ELSE 'admin' END::user_role, status = 'active'",
    ] {
        assert!(!refused(&test, other).await, "{other}");
    }
}

/// Each of the two transactions has changed its row when the other looks.
#[tokio::test]
async fn two_transactions_cannot_remove_one_admin_each() {
    let test = TestDb::new().await;
    run(test.pool(), ADMINS).await;
    let (mut one, mut two) = (test.pool().begin().await.unwrap(), test.pool().begin().await.unwrap());
    sqlx::query("UPDATE users SET role = 'student' WHERE first_name = 'A'").execute(&mut *one).await.unwrap();
    let second = tokio::spawn(async move {
        let result =
            sqlx::query("UPDATE users SET status = 'suspended' WHERE first_name = 'B'").execute(&mut *two).await;
        (result, two)
    });
    cairn_testing::database::until_waiting(test.pool(), 1).await;
    one.commit().await.unwrap();
    let (result, two) = second.await.unwrap();
    drop(two);
    let error = result.unwrap_err();
    assert_eq!(error.as_database_error().and_then(|error| error.constraint()), Some("users_keep_an_admin"), "{error}");
}

#[tokio::test]
async fn a_reason_belongs_to_a_suspension_and_an_erased_account_is_deleted() {
    let test = TestDb::new().await;
    run(test.pool(), ADMINS).await;
    for (statement, expected) in [
        ("UPDATE users SET suspension_reason = 'x' WHERE first_name = 'C'", "users_suspension_reason"),
        (
            "UPDATE users SET suspension_reason = '', status = 'suspended' WHERE first_name = 'C'",
            "users_suspension_reason",
        ),
        ("UPDATE users SET erased_at = now() WHERE first_name = 'C'", "users_erased_is_deleted"),
    ] {
        let error = sqlx::query(statement).execute(test.pool()).await.unwrap_err();
        assert_eq!(error.as_database_error().and_then(|error| error.constraint()), Some(expected), "{error}");
    }
}
