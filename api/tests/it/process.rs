//! The API as a process: how it starts, reports its health, and stops.

use std::net::SocketAddr;
use std::process::{Command, Output};

use cairn_api::{App, ServeError};
use cairn_core::config::{Config, Secret};
use cairn_core::db::Db;
use cairn_postgres::testing::test_database;
use cairn_testing::database::until_waiting;
use poem::http::StatusCode;
use poem::{Endpoint, Request};
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::support::{JWT_SECRET, TestApp};

pub(crate) fn config() -> Config {
    let values = [("CAIRN_JWT_SECRET".to_owned(), JWT_SECRET.to_owned())];
    Config::from_values(&values.into()).unwrap()
}

/// A connection that has sent a request and not read the answer.
async fn send(addr: SocketAddr, path: &str, token: &str) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn answer(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_runs_is_finished_and_no_new_one_is_taken() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let listener = cairn_api::listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let (addr, shutdown) = (listener.local_addr().unwrap(), CancellationToken::new());
    let ops = cairn_api::listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let ops_addr = ops.local_addr().unwrap();
    let (db, stop) = (app.app.db.clone(), shutdown.clone());
    let serving = tokio::spawn(async move { cairn_api::serve(&config(), db, listener, ops, stop).await });
    assert!(answer(send(addr, "/v1/me", &anna.token).await).await.starts_with("HTTP/1.1 200"));

    // A request that cannot go on while the table is locked.
    let mut blocker = PgConnection::connect(app.url()).await.unwrap();
    let mut lock = blocker.begin().await.unwrap();
    sqlx::query("LOCK TABLE sessions").execute(&mut *lock).await.unwrap();
    let waiting = send(addr, "/v1/me", &anna.token).await;
    until_waiting(app.app.pool(), 1).await;

    shutdown.cancel();
    while TcpStream::connect(addr).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!serving.is_finished());
    let health = answer(send(ops_addr, "/health/ready", "").await).await;
    assert!(health.starts_with("HTTP/1.1 503") && health.contains("the process is stopping"), "{health}");
    lock.rollback().await.unwrap();
    let text = answer(waiting).await;
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("anna@example.test"), "{text}");
    serving.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_of_a_client_is_what_trusted_proxies_say() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    for (trusted, expected) in [("", "127.0.0.1"), ("127.0.0.0/8", "203.0.113.5")] {
        let values = [("CAIRN_JWT_SECRET", JWT_SECRET), ("CAIRN_TRUSTED_PROXIES", trusted)];
        let config =
            Config::from_values(&values.map(|(key, value)| (key.to_owned(), value.to_owned())).into()).unwrap();
        let listener = cairn_api::listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let ops = cairn_api::listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let (addr, shutdown) = (listener.local_addr().unwrap(), CancellationToken::new());
        let (db, stop) = (app.app.db.clone(), shutdown.clone());
        let serving = tokio::spawn(async move { cairn_api::serve(&config, db, listener, ops, stop).await });
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let request = format!(
            "POST /v1/auth/logout HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nX-Forwarded-For: 198.51.100.1, \
             203.0.113.5\r\nForwarded: for=198.51.100.2\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            anna.another_session().await.token
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let text = answer(stream).await;
        assert!(text.starts_with("HTTP/1.1 204"), "{text}");
        shutdown.cancel();
        serving.await.unwrap().unwrap();
        app.run_jobs().await;
        let ip: String = sqlx::query_scalar("SELECT host(ip) FROM activity_log ORDER BY occurred_at DESC LIMIT 1")
            .fetch_one(app.app.pool())
            .await
            .unwrap();
        assert_eq!(ip, expected, "trusted: {trusted:?}");
    }
}

#[tokio::test]
async fn a_taken_port_is_said_so() {
    let taken = cairn_api::listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let error = cairn_api::listen(taken.local_addr().unwrap()).await.unwrap_err();
    assert!(matches!(error, ServeError::Listen(..)));
    assert!(error.to_string().starts_with("could not listen on 127.0.0.1:"), "{error}");
}

async fn probe(app: &App, path: &str) -> (StatusCode, Value) {
    let request = Request::builder().uri_str(path).finish();
    let response = cairn_api::ops::endpoint(app, CancellationToken::new()).get_response(request).await;
    let (status, text) = (response.status(), response.into_body().into_string().await.unwrap());
    (status, serde_json::from_str(&text).unwrap_or_default())
}

#[tokio::test]
async fn health_tells_whether_requests_can_be_answered() {
    let app = TestApp::new().await;
    assert_eq!(probe(&app.app, "/health/live").await.0, StatusCode::OK);
    assert_eq!(probe(&app.app, "/health/ready").await.0, StatusCode::OK);
    let mut owner = app.superuser().await;
    // A newer database is that of the next release, which has just been migrated.
    sqlx::query("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'x', true, '', 0)")
        .execute(&mut owner)
        .await
        .unwrap();
    assert_eq!(probe(&app.app, "/health/ready").await.0, StatusCode::OK);
    sqlx::query("DELETE FROM _sqlx_migrations WHERE version >= 108").execute(&mut owner).await.unwrap();
    let (status, body) = probe(&app.app, "/health/ready").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body["reason"].as_str().unwrap().contains("cairn migrate"), "{body}");
    sqlx::query("UPDATE _sqlx_migrations SET version = version - 100").execute(&mut owner).await.unwrap();
    let (status, body) = probe(&app.app, "/health/ready").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body["reason"].as_str().unwrap().contains("before the first release"), "{body}");

    let nowhere = "postgres://cairn@127.0.0.1:1/nothing";
    let db = Db::connect(nowhere, nowhere, 1).unwrap();
    let app = App::new(db, &Secret::new(JWT_SECRET)).unwrap();
    assert_eq!(probe(&app, "/health/live").await.0, StatusCode::OK);
    assert_eq!(probe(&app, "/health/ready").await.0, StatusCode::SERVICE_UNAVAILABLE);
}

/// Runs the program with nothing in its environment but this.
async fn start(environment: &[(&str, &str)]) -> Output {
    start_with(&[], environment).await
}

async fn start_with(arguments: &'static [&'static str], environment: &[(&str, &str)]) -> Output {
    let environment: Vec<(String, String)> =
        environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let run = move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cairn-api"));
        // A directory without .env files.
        command
            .args(arguments)
            .env_clear()
            .envs(environment)
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests"))
            .output()
    };
    tokio::task::spawn_blocking(run).await.unwrap().unwrap()
}

#[tokio::test]
async fn asking_for_help_or_its_version_starts_nothing() {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    for (arguments, says) in [
        (&["--version"][..], concat!("cairn-api ", env!("CARGO_PKG_VERSION"), "\n")),
        (&["-V"], concat!("cairn-api ", env!("CARGO_PKG_VERSION"), "\n")),
        (&["--help"], "Usage: cairn-api\n"),
        (&["-h"], "Exit codes:"),
    ] {
        // Nothing is configured, and it is not asked for.
        let output = start_with(arguments, &[]).await;
        assert_eq!((output.status.code(), text(output.stderr)), (Some(0), String::new()));
        assert!(text(output.stdout).contains(says), "{arguments:?}");
    }
    for arguments in [&["--verbose"][..], &["serve"], &[""]] {
        let output = start_with(arguments, &[]).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(output.stderr).contains("see --help"), "{arguments:?}");
    }
}

#[tokio::test]
async fn errors_at_the_start_have_the_format_of_the_log_and_tell_whether_to_try_again() {
    let json = ("CAIRN_LOG_FORMAT", "json");
    let nowhere = ("DATABASE_URL", "postgres://cairn:hunter2@127.0.0.1:1/nothing");
    for (environment, code, says) in [
        (vec![json, ("CAIRN_API_ADDR", "nowhere")], 2, "CAIRN_API_ADDR"),
        (vec![json], 2, "CAIRN_JWT_SECRET is not set"),
        (vec![json, nowhere, ("CAIRN_JWT_SECRET", JWT_SECRET)], 1, "the database cannot be used"),
    ] {
        let output = start(&environment).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        let lines: Vec<serde_json::Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&lines[0]["level"], &lines[0]["program"]), (&"ERROR".into(), &"cairn-api".into()), "{said}");
        assert!(lines.len() == 1 && lines[0]["message"].as_str().unwrap().contains(says), "{said}");
        assert!(lines[0]["timestamp"].as_str().unwrap().ends_with('Z') && !said.contains("hunter2"), "{said}");
    }
}

#[tokio::test]
async fn it_refuses_to_start_half_configured() {
    let database = test_database("nothing", async |_: &str| Ok::<(), std::io::Error>(())).await.unwrap();
    let old = TestApp::new().await;
    sqlx::query("UPDATE _sqlx_migrations SET version = version - 100")
        .execute(&mut old.superuser().await)
        .await
        .unwrap();
    let secret = ("CAIRN_JWT_SECRET", JWT_SECRET);
    for (environment, complaint) in [
        (vec![secret], "DATABASE_URL is not set"),
        (vec![("DATABASE_URL", database.url())], "CAIRN_JWT_SECRET is not set"),
        (vec![("DATABASE_URL", database.url()), ("CAIRN_JWT_SECRET", "short")], "shorter than 32 bytes"),
        (vec![("DATABASE_URL", database.url()), secret], "run `cairn migrate`"),
        (vec![("DATABASE_URL", old.url()), secret], "before the first release"),
    ] {
        let output = start(&environment).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(complaint) && said.lines().count() == 1, "{said}");
        assert!(!said.contains(JWT_SECRET), "{said}");
    }
}
