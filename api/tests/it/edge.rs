//! What is refused before any handler sees it, and what clients cannot keep from others.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use poem::http::{Method, header};
use poem::{Body, Request};
use serde_json::{Value, json};

use crate::contract::path_of;
use crate::support::contract::operations;
use crate::support::{JWT_SECRET, TestApp};

/// A body that fails the test when it is read.
fn unreadable() -> Body {
    Body::from_bytes_stream(futures_util::stream::poll_fn(|_| -> std::task::Poll<Option<std::io::Result<Vec<u8>>>> {
        panic!("the body was read")
    }))
}

#[tokio::test]
async fn no_operation_reads_a_body_before_it_knows_the_caller() {
    let app = TestApp::new().await;
    let mut tried = 0;
    for operation in operations() {
        let description = operation.description();
        if description["requestBody"].is_null() || description["security"].as_array().is_none_or(Vec::is_empty) {
            continue;
        }
        tried += 1;
        for token in [None, Some("Bearer expired")] {
            let mut request = Request::builder().method(operation.method.clone()).uri_str(fill(&path_of(&operation)));
            if let Some(token) = token {
                request = request.header(header::AUTHORIZATION, token);
            }
            let request = request.header(header::CONTENT_TYPE, "application/json").header("If-Match", "\"1\"");
            let response = app.raw(request.body(unreadable())).await;
            assert_eq!(response.status(), 401, "{}", operation.id);
        }
    }
    assert!(tried > 40, "{tried}");
}

fn fill(path: &str) -> String {
    let id = cairn_core::clock::new_id().to_string();
    path.split('/').map(|part| if part.starts_with('{') { id.as_str() } else { part }).collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn a_client_without_an_account_sends_small_bodies() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let body = json!({"email": "a@example.test", "password": "x".repeat(17 * 1024)});
    app.post("/v1/auth/login", body.clone()).invalid().await.expect(413).problem("body_too_large");
    let chunked =
        Body::from_bytes_stream(futures_util::stream::iter((0..20).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1024]))));
    let request = Request::builder().method(Method::POST).uri_str("/v1/auth/login");
    let response = app.raw(request.header(header::CONTENT_TYPE, "application/json").body(chunked)).await;
    assert_eq!(response.status(), 413);
    anna.post("/v1/auth/login", body).invalid().await.expect(422).blames(&[("/password", "too_long")]);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    // Without a database, because its timeouts would be over at once.
    let url = "postgres://cairn@127.0.0.1:1/nothing";
    let app = TestApp::at(url);
    let request = Request::builder().method(Method::POST).uri_str("/v1/auth/login");
    let request = request.header(header::CONTENT_TYPE, "application/json");
    let never = futures_util::stream::pending::<std::io::Result<Vec<u8>>>();
    let response = app.raw(request.body(Body::from_bytes_stream(never))).await;
    assert_eq!(response.status(), 400);
    let problem: Value = serde_json::from_str(&response.into_body().into_string().await.unwrap()).unwrap();
    assert!(problem["detail"].as_str().unwrap().contains("15 seconds"), "{problem}");
    app.leave_jobs();
}

#[tokio::test]
async fn a_service_with_names_answers_under_no_other() {
    let app = TestApp::new().await;
    let named = app.named(&["api.example.test"]);
    named.get("/v1/settings").header("Host", "API.example.test:8443").invalid().await.problem("unauthorized");
    for host in ["evil.test", "localhost", "127.0.0.1"] {
        let reply = named.get("/v1/search?q=x").header("Host", host).invalid().await.expect(400);
        reply.problem("malformed_parameter").blames(&[("Host", "not_allowed")]);
    }
}

#[tokio::test]
async fn headers_that_mean_one_thing_are_sent_once() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let other = app.student("other").await;
    for (name, value) in [
        ("Authorization", &*format!("Bearer {}", other.token)),
        ("Content-Type", "text/plain"),
        ("Idempotency-Key", "two"),
        ("If-Match", "\"2\""),
        ("Last-Event-ID", "2.1"),
        ("Origin", "https://evil.test"),
    ] {
        let twice = anna.get("/v1/search?q=x").header(name, "one").header(name, value).invalid();
        twice.await.expect(400).problem("malformed_parameter").blames(&[(name, "duplicate")]);
    }
    let hosts = anna.get("/v1/search?q=x").header("Host", "a").header("Host", "b").invalid();
    hosts.await.expect(400).problem("malformed_parameter").blames(&[("Host", "malformed")]);
}

/// The program with that many descriptors, and the addresses of its two ports.
struct Limited {
    child: Child,
    api: SocketAddr,
    ops: SocketAddr,
}

impl Limited {
    fn start(url: &str, descriptors: usize) -> Self {
        let mut child = Command::new("sh")
            .args(["-c", &format!("ulimit -n {descriptors}; exec \"$0\""), env!("CARGO_BIN_EXE_cairn-api")])
            .env_clear()
            .envs([("DATABASE_URL", url), ("CAIRN_JWT_SECRET", JWT_SECRET), ("CAIRN_LOG_FORMAT", "json")])
            .envs([("CAIRN_API_ADDR", "127.0.0.1:0"), ("CAIRN_OPS_ADDR", "127.0.0.1:0")])
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let (mut api, mut ops) = (None, None);
        while api.is_none() || ops.is_none() {
            let line: Value = serde_json::from_str(&lines.next().expect("it started")).unwrap_or_default();
            let text = line.to_string();
            let address =
                line.pointer("/fields/addr").or(line.get("addr")).and_then(|addr| addr.as_str()?.parse().ok());
            if text.contains("\"server\":\"api\"") {
                api = api.or(address);
            } else if text.contains("\"server\":\"ops\"") {
                ops = ops.or(address);
            }
        }
        // What it writes later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, api: api.unwrap(), ops: ops.unwrap() }
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first line of the answer to a GET; empty if the connection was closed.
fn ask(address: SocketAddr, path: &str) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let _ = socket.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes());
    let mut text = String::new();
    let _ = socket.read_to_string(&mut text);
    text.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_clients_take_neither_the_private_port_nor_the_api() {
    let app = TestApp::new().await;
    let url = app.url().to_owned();
    tokio::task::spawn_blocking(move || {
        let limited = Limited::start(&url, 100);
        let silent: Vec<_> = (0..300).filter_map(|_| TcpStream::connect(limited.api).ok()).collect();
        for path in ["/health/live", "/health/ready", "/metrics"] {
            assert_eq!(ask(limited.ops, path), "HTTP/1.0 200 OK", "{path}");
        }
        drop(silent);
        while ask(limited.api, "/openapi.json") != "HTTP/1.0 200 OK" {
            std::thread::yield_now();
        }
    })
    .await
    .unwrap();
}
