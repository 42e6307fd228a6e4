//! Failures of the moment: a transaction that the database ended is done again, once, and what does not pass is a 503 that says
//! so, never a 500.

use cairn_core::users::password_rules::Password;
use cairn_testing::database::end_sessions;
use poem::http::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::support::{Actor, Call, Reply, TestApp};

/// Has every change of a style card fail with this code, as often as `times` says.
async fn fail_with(app: &TestApp, code: &str, times: i64) {
    let statements = format!(
        "DROP TRIGGER IF EXISTS fail ON style_cards;
         DROP SEQUENCE IF EXISTS failures;
         CREATE SEQUENCE failures;
         CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
         BEGIN
             -- A sequence counts on, although the transaction is rolled back.
             IF nextval('failures') <= {times} THEN
                 RAISE EXCEPTION 'a failure of the test' USING ERRCODE = '{code}';
             END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER fail BEFORE INSERT OR UPDATE ON style_cards FOR EACH ROW EXECUTE FUNCTION fail()"
    );
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut app.superuser().await).await.unwrap();
}

async fn a_style(admin: &Actor) -> String {
    let body = json!({"slug": "soft", "title": "Soft", "category": "brutalist", "tags": []});
    admin.post("/v1/admin/styles", body).await.expect(201).json["id"].as_str().unwrap().to_owned()
}

fn retitle(admin: &Actor, id: &str, version: i64, title: &str) -> Call {
    let patch = admin.patch(&format!("/v1/admin/styles/{id}"), json!({ "title": title }));
    patch.header("If-Match", &format!("\"{version}\""))
}

fn assert_unavailable(reply: &Reply, what: &str) {
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{what}: {}", reply.text);
    assert_eq!(reply.json["code"], "unavailable", "{what}");
    assert!(reply.headers.contains_key("retry-after"), "{what}");
    assert!(reply.json["detail"].as_str().unwrap().contains("Nothing was changed"), "{what}");
}

async fn style(admin: &Actor, id: &str) -> Value {
    admin.get(&format!("/v1/admin/styles/{id}")).await.expect(200).json
}

/// How often the activity log tells of a change of the style card.
async fn recorded(app: &TestApp) -> i64 {
    app.run_jobs().await;
    app.count("SELECT count(*) FROM activity_log WHERE action = 'style.updated'").await
}

#[tokio::test]
async fn a_transaction_that_can_be_repeated_is_done_again_once() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    let id = a_style(&admin).await;
    let mut version = 1;
    for code in ["40001", "40P01", "25006", "25P03", "57P01", "08006"] {
        let (title, before) = (format!("After {code}"), recorded(&app).await);
        fail_with(&app, code, 1).await;
        let reply = retitle(&admin, &id, version, &title).await.expect(200);
        assert_eq!(reply.json["title"], title.as_str());
        version += 1;
        assert_eq!(reply.json["version"], version, "{code}: it was done once");
        assert_eq!(recorded(&app).await, before + 1, "{code}");

        fail_with(&app, code, 2).await;
        assert_unavailable(&retitle(&admin, &id, version, "Never").await, code);
        assert_eq!(style(&admin, &id).await["title"], title.as_str());
        assert_eq!(recorded(&app).await, before + 1, "{code}: nothing of it is left");
    }
    let text = app.app.metrics.render().await.unwrap();
    for line in ["reason=\"conflict\"} 4", "reason=\"read_only\"} 2", "reason=\"disconnected\"} 6"] {
        assert!(text.contains(&format!("cairn_http_requests_repeated_total{{{line}")), "{text}");
    }
}

#[tokio::test]
async fn what_has_waited_long_enough_is_told_to_come_back() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    let id = a_style(&admin).await;
    for code in ["55P03", "57014", "53000", "53100", "53200", "53300", "53400", "57P03"] {
        fail_with(&app, code, 1).await;
        assert_unavailable(&retitle(&admin, &id, 1, "Never").await, code);
        assert_eq!(style(&admin, &id).await["version"], 1, "{code}");
    }
    fail_with(&app, "XX000", 1).await;
    retitle(&admin, &id, 1, "Never").await.problem("internal");
    retitle(&admin, &id, 1, "At last").await.expect(200);
    app.run_jobs().await;
}

/// The sessions that a refused request was given are as new as can be, and all of them refuse writes.
#[tokio::test]
async fn the_first_request_after_a_time_without_writes_succeeds() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    let id = a_style(&admin).await;
    let mut superuser = app.superuser().await;
    let name: String = sqlx::query_scalar("SELECT current_database()").fetch_one(&mut superuser).await.unwrap();
    let refuse = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
    sqlx::raw_sql(AssertSqlSafe(refuse)).execute(&mut superuser).await.unwrap();
    assert!(end_sessions(&mut superuser).await > 0);
    for _ in 0..3 {
        assert_unavailable(&retitle(&admin, &id, 1, "Never").await, "while writes are refused");
    }
    let accept = format!("ALTER DATABASE {name} RESET default_transaction_read_only");
    sqlx::raw_sql(AssertSqlSafe(accept)).execute(&mut superuser).await.unwrap();
    retitle(&admin, &id, 1, "At last").await.expect(200);
    // Others that were opened meanwhile refuse writes as well. A worker tries again.
    end_sessions(&mut superuser).await;
    app.run_jobs().await;
}

/// All connections are lost at once. What is read is read again, on a connection that works; what is to be written is not sent
/// again without its body, because the caller is looked up before the body is read.
#[tokio::test]
async fn a_request_that_fails_before_its_body_is_read_is_not_done_again_without_it() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    let id = a_style(&admin).await;
    let mut superuser = app.superuser().await;
    for _ in 0..5 {
        // Several connections are open, and idle.
        let path = format!("/v1/admin/styles/{id}");
        futures_util::future::join_all((0..4).map(|_| admin.get(&path).into_future())).await;
        end_sessions(&mut superuser).await;
        let version = style(&admin, &id).await["version"].as_i64().unwrap();
        end_sessions(&mut superuser).await;
        let reply = retitle(&admin, &id, version, "After the end").await;
        if reply.status != StatusCode::OK {
            assert_unavailable(&reply, "a connection was ended");
        }
    }
    app.run_jobs().await;
}

/// As between an editor and an import: each waits for what the other has. The database ends the transaction of the request.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_loses_a_deadlock_is_done_again() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    let id = a_style(&admin).await;
    let mut superuser = app.superuser().await;
    sqlx::raw_sql(
        "CREATE FUNCTION meet() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
         BEGIN
             IF NOT pg_try_advisory_xact_lock(4711) THEN
                 -- A session looks for a deadlock once, some time after its wait has begun.
                 WHILE NOT EXISTS (SELECT FROM pg_locks WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))) LOOP
                     PERFORM pg_sleep(0.01);
                 END LOOP;
                 PERFORM pg_advisory_xact_lock(4711);
             END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER meet BEFORE UPDATE ON style_cards FOR EACH ROW EXECUTE FUNCTION meet();
         SET deadlock_timeout = '1h'",
    )
    .execute(&mut superuser)
    .await
    .unwrap();
    let mut other = superuser.begin().await.unwrap();
    sqlx::query("SELECT pg_advisory_xact_lock(4711)").execute(&mut *other).await.unwrap();
    let request = tokio::spawn({
        let (admin, id) = (admin.clone(), id.clone());
        async move { retitle(&admin, &id, 1, "After the deadlock").await }
    });
    let mut watcher = PgConnection::connect(app.url()).await.unwrap();
    cairn_testing::eventually("the request has locked the card", async || {
        let free = sqlx::query("SELECT FROM style_cards FOR UPDATE SKIP LOCKED").fetch_optional(&mut watcher);
        free.await.unwrap().is_none()
    })
    .await;
    sqlx::query("SELECT FROM style_cards FOR UPDATE").execute(&mut *other).await.unwrap();
    other.commit().await.unwrap();
    let reply = request.await.unwrap().expect(200);
    assert_eq!((&reply.json["title"], &reply.json["version"]), (&json!("After the deadlock"), &json!(2)));
    assert_eq!(recorded(&app).await, 1);
}

/// A connection that is lost before the commit has changed nothing, so the request is done again on another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_connection_is_ended_is_done_again() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    let id = a_style(&admin).await;
    let mut superuser = app.superuser().await;
    sqlx::raw_sql(
        "CREATE SEQUENCE ends;
         CREATE FUNCTION end_it() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
         BEGIN
             IF nextval('ends') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER end_it BEFORE UPDATE ON style_cards FOR EACH ROW EXECUTE FUNCTION end_it()",
    )
    .execute(&mut superuser)
    .await
    .unwrap();
    let reply = retitle(&admin, &id, 1, "On another connection").await.expect(200);
    assert_eq!(reply.json["version"], 2);
    assert_eq!(recorded(&app).await, 1);
}

/// What was committed cannot be taken back, so it is not done twice: here, the attempt at a password is counted first.
#[tokio::test]
async fn what_has_committed_something_is_not_done_again() {
    let app = TestApp::new().await;
    app.student("anna").await;
    let statements = "
        CREATE SEQUENCE sign_ins;
        CREATE FUNCTION fail_sign_in() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN PERFORM nextval('sign_ins'); RAISE EXCEPTION 'a failure of the test' USING ERRCODE = '40001'; END $$;
        CREATE TRIGGER fail BEFORE INSERT ON sessions FOR EACH ROW EXECUTE FUNCTION fail_sign_in()";
    let mut superuser = app.superuser().await;
    sqlx::raw_sql(statements).execute(&mut superuser).await.unwrap();
    let password = Password::parse("correct horse battery").unwrap();
    let hash = app.app.passwords.hash(&password).await.unwrap();
    sqlx::query("UPDATE users SET password_hash = $1").bind(hash).execute(&mut superuser).await.unwrap();
    let body = json!({"email": "anna@example.test", "password": "correct horse battery"});
    let reply = app.call(Method::POST, "/v1/auth/login").json(body).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{}", reply.text);
    let tries: i64 = sqlx::query_scalar("SELECT last_value FROM sign_ins").fetch_one(&mut superuser).await.unwrap();
    assert_eq!(tries, 1);
}

/// A migration beside a running API changes what its prepared statements return.
#[tokio::test]
async fn statements_from_before_a_migration_are_prepared_again() {
    let app = TestApp::new().await;
    app.leave_jobs();
    let admin = app.admin("root").await;
    let id = a_style(&admin).await;
    // It depends on the column whose type changes.
    let drop = "DROP TRIGGER touch_row ON style_cards";
    sqlx::raw_sql(drop).execute(&mut app.superuser().await).await.unwrap();
    for precision in 0..6 {
        style(&admin, &id).await;
        let change = format!("ALTER TABLE style_cards ALTER COLUMN created_at TYPE timestamptz({precision})");
        sqlx::raw_sql(AssertSqlSafe(change)).execute(&mut app.superuser().await).await.unwrap();
    }
    style(&admin, &id).await;
}
