//! The real binaries send one trace of an HTTP request and its jobs to a collector.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cairn_core::db::{Purpose, lazy_pool};
use cairn_postgres::testing::throw_away_server;
use cairn_postgres::{Durability, Server};
use cairn_testing::database::set_up_on;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Attribute;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use poem::listener::TcpAcceptor;
use poem::web::Data;
use poem::{Body, EndpointExt, Route, handler, post};
use prost::Message;
use reqwest::Client;
use serde_json::{Value, json};
use sqlx::PgPool;
use tempfile::TempDir;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

#[tokio::test(flavor = "multi_thread")]
async fn a_request_and_its_job_are_one_trace() {
    let collector = Collector::start().await;
    let deployment = Deployment::start(&collector.url).await;
    let (api, worker) = (deployment.spawn("cairn-api", "json"), deployment.spawn("cairn-worker", "text"));
    deployment.register("anna@example.test").await;
    // A job that dies and logs it.
    let dead = format!(r#"{{"kind":"nope","v":1,"traceparent":"00-{TRACE}-{CALLER}-01","data":{{}}}}"#);
    sqlx::query("INSERT INTO apalis.jobs (id, job_type, job) VALUES ('dead', 'activity', $1)")
        .bind(dead.into_bytes())
        .execute(&deployment.pool)
        .await
        .unwrap();
    deployment.until("SELECT count(*) > 0 FROM activity_log").await;
    deployment.until("SELECT status = 'Killed' FROM apalis.jobs WHERE id = 'dead'").await;
    // Pending spans are sent at the end.
    let (api_log, worker_log) = (api.end(), worker.end());

    let request = collector.span("cairn-api", "POST /v1/auth/register");
    assert_eq!((hex(&request.trace_id), hex(&request.parent_span_id)), (TRACE.to_owned(), CALLER.to_owned()));
    assert_eq!(request.kind(), SpanKind::Server);
    assert_eq!(attribute(&request, "http.response.status_code"), Some(Attribute::IntValue(201)));
    let job = collector.span("cairn-worker", "record_activity");
    assert_eq!((&job.trace_id, &job.parent_span_id), (&request.trace_id, &request.span_id));
    assert_eq!(job.kind(), SpanKind::Consumer);
    assert_eq!(attribute(&job, "job.attempt"), Some(Attribute::IntValue(1)));
    assert_eq!(attribute(&job, "job.queue"), Some(Attribute::StringValue("activity".to_owned())));
    assert!(attribute(&job, "job.id").is_some());
    let failed = collector.span("cairn-worker", "unknown");
    assert_eq!(failed.status.as_ref().map(Status::code), Some(StatusCode::Error), "{failed:?}");

    let answered = api_log.lines().find(|line| line.contains("request answered")).unwrap();
    let answered: Value = serde_json::from_str(answered).unwrap();
    assert_eq!(answered["span"]["trace_id"], TRACE, "{answered}");
    let died = worker_log.lines().find(|line| line.contains("a job is dead")).unwrap();
    assert!(died.contains(&format!("trace_id={TRACE}")) && died.contains("job.id=dead"), "{died}");
    deployment.postgres.stop().await.unwrap();
}

/// The names are OpenTelemetry's, and nothing that a learner or a model wrote is among them.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_a_provider_is_described_without_its_content() {
    let collector = Collector::start().await;
    let deployment = Deployment::start(&collector.url).await;
    let (api, worker) = (deployment.spawn("cairn-api", "json"), deployment.spawn("cairn-worker", "text"));
    let token = deployment.register("anna@example.test").await;
    let url = format!("http://127.0.0.1:{}/v1/tools/assistant/messages", deployment.api_port);
    let question = json!({"message": "A secret question"});
    let asked = deployment.http.post(&url).bearer_auth(token).json(&question).send().await.unwrap();
    assert_eq!(asked.status(), 202);
    deployment.until("SELECT count(*) > 0 FROM ai_replies WHERE state = 'completed'").await;
    api.end();
    worker.end();
    let call = collector.span("cairn-worker", "chat");
    assert_eq!(call.kind(), SpanKind::Client);
    let job = collector.span("cairn-worker", "generate_reply");
    assert_eq!((&call.trace_id, &call.parent_span_id), (&job.trace_id, &job.span_id));
    for (name, value) in [("gen_ai.operation.name", "chat"), ("gen_ai.provider.name", "cairn.library")] {
        assert_eq!(attribute(&call, name), Some(Attribute::StringValue(value.to_owned())));
    }
    assert_eq!(attribute(&call, "gen_ai.request.max_tokens"), Some(Attribute::IntValue(1500)));
    assert!(attribute(&call, "gen_ai.response.finish_reasons").is_some(), "{call:?}");
    assert!(!format!("{call:?}").contains("secret"), "{call:?}");
    deployment.postgres.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_collector_causes_one_log_line() {
    let unused = format!("http://127.0.0.1:{}", free_port());
    let deployment = Deployment::start(&unused).await;
    let api = deployment.spawn("cairn-api", "text");
    for n in 0..40 {
        deployment.register(&format!("learner{n}@example.test")).await;
    }
    let log = api.end();
    assert_eq!(log.matches("cannot send spans to the collector").count(), 1, "{log}");
    deployment.postgres.stop().await.unwrap();
}

/// Keeps the spans it receives.
struct Collector {
    url: String,
    spans: Spans,
}

/// Spans with the name of the service that sent them.
type Spans = Arc<Mutex<Vec<(String, Span)>>>;

impl Collector {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let spans = Spans::default();
        let route = Route::new().at("/v1/traces", post(collect)).data(spans.clone());
        tokio::spawn(poem::Server::new_with_acceptor(TcpAcceptor::from_tokio(listener).unwrap()).run(route));
        Self { url, spans }
    }

    /// The only span with that name of a service.
    fn span(&self, service: &str, name: &str) -> Span {
        let spans = self.spans.lock().unwrap();
        let found: Vec<&Span> =
            spans.iter().filter(|(from, span)| from == service && span.name == name).map(|(_, span)| span).collect();
        let seen: Vec<String> = spans.iter().map(|(from, span)| format!("{from}: {}", span.name)).collect();
        assert_eq!(found.len(), 1, "{name} of {service} in {seen:?}");
        found[0].clone()
    }
}

#[handler]
async fn collect(spans: Data<&Spans>, body: Body) {
    let request = ExportTraceServiceRequest::decode(body.into_bytes().await.unwrap()).unwrap();
    for group in request.resource_spans {
        let service = text(&group.resource.unwrap().attributes, "service.name").unwrap();
        let sent = group.scope_spans.into_iter().flat_map(|scope| scope.spans);
        spans.lock().unwrap().extend(sent.map(|span| (service.clone(), span)));
    }
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    match attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value.as_ref()? {
        Attribute::StringValue(text) => Some(text.clone()),
        _ => None,
    }
}

fn attribute(span: &Span, key: &str) -> Option<Attribute> {
    let found = span.attributes.iter().find(|attribute| attribute.key == key)?;
    found.value.clone().and_then(|AnyValue { value }| value)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// A database with open registration, and the configuration of the programs that use it.
struct Deployment {
    postgres: Server,
    pool: PgPool,
    url: String,
    collector: String,
    api_port: u16,
    http: Client,
    logs: TempDir,
}

impl Deployment {
    async fn start(collector: &str) -> Self {
        let postgres = throw_away_server(Durability::Relaxed, &[]).await.unwrap();
        let url = set_up_on(&postgres, "cairn").await.unwrap();
        let pool = lazy_pool(&url, 2, Purpose::Requests).unwrap();
        sqlx::query("UPDATE platform_settings SET value = '\"open\"' WHERE key = 'registration.mode'")
            .execute(&pool)
            .await
            .unwrap();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder().no_proxy().build().unwrap();
        let (collector, logs) = (collector.to_owned(), TempDir::new().unwrap());
        Self { postgres, pool, url, collector, api_port: free_port(), http, logs }
    }

    fn spawn(&self, name: &str, log_format: &str) -> Running {
        // The build of the workspace puts it beside the command under test.
        let program = PathBuf::from(env!("CARGO_BIN_EXE_cairn")).with_file_name(name);
        assert!(program.exists(), "{name} is not built: run `cargo build --workspace` first");
        let log = self.logs.path().join(name);
        let child = Command::new(program)
            .env_clear()
            .env("DATABASE_URL", &self.url)
            .env("CAIRN_JWT_SECRET", "only-for-this-test-and-long-enough-for-it")
            .env("CAIRN_API_ADDR", format!("127.0.0.1:{}", self.api_port))
            .env("CAIRN_OPS_ADDR", "127.0.0.1:0")
            .env("CAIRN_LOG_FORMAT", log_format)
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", &self.collector)
            .env("OTEL_BSP_SCHEDULE_DELAY", "20")
            .current_dir(self.logs.path())
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Running { child, log }
    }

    /// Registers a user as soon as the API is available. Returns the access token.
    async fn register(&self, email: &str) -> String {
        let started = Instant::now();
        let url = format!("http://127.0.0.1:{}/v1/auth/register", self.api_port);
        let body = json!({ "email": email, "password": "a long enough password", "first_name": "Anna" });
        let answer = loop {
            let request = self.http.post(&url).header("traceparent", format!("00-{TRACE}-{CALLER}-01")).json(&body);
            match request.send().await {
                Ok(answer) => break answer,
                Err(error) => assert!(started.elapsed() < Duration::from_mins(1), "the API is not available: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert_eq!(answer.status(), 201);
        let session: Value = answer.json().await.unwrap();
        session["tokens"]["access_token"].as_str().unwrap().to_owned()
    }

    async fn until(&self, condition: &'static str) {
        let started = Instant::now();
        while sqlx::query_scalar(condition).fetch_optional(&self.pool).await.unwrap() != Some(true) {
            assert!(started.elapsed() < Duration::from_mins(1), "timed out waiting for: {condition}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A running program and its log file. Dropping it kills the program.
struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Stops the program with SIGTERM. Returns its log.
    fn end(mut self) -> String {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let code = self.child.wait().unwrap().code();
        let log = std::fs::read_to_string(&self.log).unwrap();
        assert_eq!(code, Some(0), "{log}");
        log
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}
