//! The edge: what happens to every request before and after its handler, and the one place where errors become answers.

mod clients;
mod cors;
mod costs;
mod forwarded;
mod headers;
mod ids;
mod repeat;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_core::db::{Purpose, within_place};
use cairn_core::queue::TRACEPARENT;
use cairn_core::repeat::Commits;
use cairn_core::telemetry::trace;
use cairn_server::host::{HostFault, Hosts};
use futures_util::FutureExt;
use poem::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use poem::{Body, Endpoint, EndpointExt, IntoEndpoint, IntoResponse, PathPattern, Request, Response, Route};
use poem_openapi::{OpenApiService, OperationId};
use tracing::field::Empty;
use tracing::{Instrument, Span};

use self::cors::Cors;
use self::headers::SecurityHeaders;
use crate::answers::{MAX_IF_NONE_MATCH, not_modified};
use crate::budget::Admission;
use crate::compression::{accepts_gzip, compress};
use crate::contract::Contract;
use crate::openapi::CONTRACT;
use crate::operation::has_body;
use crate::problem::OUTCOME_UNKNOWN;
use crate::{App, Code, Problem, pages, routes};

/// A handler that takes longer is stopped.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Headers that mean one thing. If there were two, a proxy might have checked the other one.
const SINGLE_HEADERS: [&str; 6] =
    ["Authorization", "Content-Type", "Idempotency-Key", "If-Match", "Last-Event-ID", "Origin"];

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The whole API as one endpoint: what the server runs and the tests call. Browsers of `cors_origins` may call it, under one
/// of the `hosts`.
pub fn endpoint(app: &App, cors_origins: &[String], hosts: Hosts) -> impl Endpoint<Output = Response> + use<> {
    let service = OpenApiService::new(routes::resources(app), "Cairn", env!("CARGO_PKG_VERSION"));
    let routes = pages::add(Route::new().nest("/v1", service.into_endpoint()))
        .data::<&'static Contract>(&CONTRACT)
        .data(app.clone());
    let headers = SecurityHeaders::new(app.hsts_seconds);
    Edge { inner: routes, cors: Cors::new(cors_origins), hosts, headers, timeout: REQUEST_TIMEOUT, app: app.clone() }
}

struct Edge<E> {
    inner: E,
    cors: Cors,
    hosts: Hosts,
    timeout: Duration,
    headers: SecurityHeaders,
    app: App,
}

impl<E: Endpoint> Endpoint for Edge<E> {
    type Output = Response;

    /// Never fails: every error is an answer.
    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let start = Instant::now();
        let _in_flight = self.app.http.begin();
        let id = ids::request_id(request.headers());
        let method = request.method().clone();
        let origin = self.cors.allowed(request.headers());
        if let Some(mut preflight) = self.cors.preflight(&request) {
            self.finish(preflight.headers_mut(), request.uri().path(), &id);
            return Ok(preflight);
        }
        let span =
            tracing::info_span!("request", request.id = %id, trace_id = Empty, otel.kind = trace::kind("server"));
        let if_none_match: Vec<HeaderValue> = match method {
            Method::GET | Method::HEAD => request.headers().get_all(header::IF_NONE_MATCH).iter().cloned().collect(),
            _ => Vec::new(),
        };
        let (uri, headers) = (request.uri().clone(), request.headers().clone());
        let accepts_gzip = accepts_gzip(request.headers());
        let traceparent = trace::join(&span, ids::traceparent(request.headers()));
        let answer = async {
            let (admitted, quota) = clients::admit(&self.app, &mut request);
            let result = match admitted {
                Ok(admission) => TRACEPARENT.scope(Some(traceparent), self.handle(request, admission)).await,
                Err(problem) => Err(problem.into()),
            };
            let mut response = result.unwrap_or_else(|error| answer(error, &id, &uri, &headers));
            quota.write(response.headers_mut());
            not_modified(&if_none_match, &mut response);
            compress(accepts_gzip, &mut response).await;
            self.finish(response.headers_mut(), uri.path(), &id);
            self.tell(&method, &response, start.elapsed());
            response
        };
        let mut response = answer.instrument(span).await;
        self.cors.decorate(response.headers_mut(), origin);
        Ok(response)
    }
}

impl<E: Endpoint> Edge<E> {
    /// Checks what no handler should have to, then runs the handler within its time, panics caught.
    async fn handle(&self, mut request: Request, admission: Admission) -> poem::Result<Response> {
        let commits = Commits::default();
        // What has begun to commit may have been committed.
        let as_known = |problem: Problem| if commits.is_empty() { problem } else { problem.detail(OUTCOME_UNKNOWN) };
        let work = async {
            refuse_malformed(&request)?;
            self.check_host(&request)?;
            if !has_body(&request.method().as_str().to_ascii_lowercase()) {
                request.set_body(Body::empty());
            }
            let place = Arc::new(admission.place().await?);
            let work = async {
                let answer = AssertUnwindSafe(self.call_repeatedly(request, &commits)).catch_unwind().await;
                answer.map_err(|panic| Problem::from(cairn_core::Error::message(panic_message(panic.as_ref()))))
            };
            let answer = within_place(Purpose::Requests.limits().hold, place, work).await;
            answer.map_err(as_known)?
        };
        if let Ok(result) = tokio::time::timeout(self.timeout, work).await {
            return result.map(IntoResponse::into_response);
        }
        tracing::error!(timeout = ?self.timeout, "a request was not answered in time");
        Err(as_known(Problem::unavailable().retry_after(5)).into())
    }

    fn check_host(&self, request: &Request) -> Result<(), Problem> {
        self.hosts.check(request).map_err(|fault| match fault {
            HostFault::Malformed => Problem::invalid_parameter("Host", "malformed", "Exactly one host is expected."),
            HostFault::Foreign => Problem::invalid_parameter("Host", "not_allowed", "This service has another name."),
        })
    }

    /// Adds the headers that every answer has.
    fn finish(&self, headers: &mut HeaderMap, path: &str, id: &str) {
        if let Ok(value) = HeaderValue::from_str(id) {
            headers.insert(X_REQUEST_ID, value);
        }
        self.headers.add(headers, path);
    }

    /// Writes one line to the log, counts the request and names its span. The route is the template, so neither ids nor
    /// queries are recorded.
    fn tell(&self, method: &Method, response: &Response, elapsed: Duration) {
        let operation = response.data::<OperationId>().map(|operation| operation.0);
        let route = operation.and_then(|operation| CONTRACT.paths.get(operation)).map_or("other", String::as_str);
        let status = response.status();
        let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(
            http.method = %method,
            http.route = route,
            http.status = status.as_u16(),
            http.ms = ms,
            "request answered"
        );
        self.app.http.answered(method, route, status, elapsed);
        let span = Span::current();
        trace::rename(&span, format!("{method} {route}"));
        trace::attribute(&span, "http.request.method", method.to_string());
        trace::attribute(&span, "http.route", route);
        trace::attribute(&span, "http.response.status_code", i64::from(status.as_u16()));
    }
}

/// Refuses paths, queries and headers that no handler should see. Bodies are checked when they are parsed.
fn refuse_malformed(request: &Request) -> Result<(), Problem> {
    // Postgres cannot store U+0000, so nothing that we look for has it.
    if request.uri().path_and_query().is_some_and(|path| path.as_str().contains("%00")) {
        return Err(Problem::malformed_parameter().detail("The character U+0000 is not allowed in paths and queries."));
    }
    for name in SINGLE_HEADERS {
        if request.headers().get_all(name).iter().nth(1).is_some() {
            return Err(Problem::invalid_parameter(name, "duplicate", "The header may be sent once."));
        }
    }
    // poem passes over header values that are not text, which would drop what the client relies on.
    for name in ["Idempotency-Key", "Last-Event-ID"] {
        if request.headers().get_all(name).iter().any(|value| value.to_str().is_err()) {
            return Err(Problem::invalid_parameter(name, "malformed", "Visible ASCII characters are expected."));
        }
    }
    if request.headers().get_all(header::IF_NONE_MATCH).iter().any(|value| value.len() > MAX_IF_NONE_MATCH) {
        let detail = format!("At most {MAX_IF_NONE_MATCH} bytes are expected.");
        return Err(Problem::invalid_parameter("If-None-Match", "too_long", &detail));
    }
    Ok(())
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("a handler panicked: {}", text.unwrap_or("no message"))
}

/// Makes an error the answer, and logs it if it is ours.
fn answer(error: poem::Error, request_id: &str, uri: &Uri, headers: &HeaderMap) -> Response {
    let operation = error.data::<OperationId>().copied();
    let pattern = error.data::<PathPattern>().map(|pattern| pattern.0.clone());
    let mut problem = Problem::from_poem(error, &CONTRACT);
    let parameters = operation.and_then(|operation| CONTRACT.parameters.get(operation.0));
    if let Some(parameters) = parameters.filter(|_| problem.code() == Code::MalformedParameter) {
        problem = problem.with_parameter_faults(parameters.faults(uri, headers));
    }
    match problem.cause() {
        Some(cause) if cause.is_unavailable() => {
            tracing::warn!(problem.code = problem.code().name(), error = %cause, "a request failed for a reason of the moment");
        }
        Some(cause) => tracing::error!(problem.code = problem.code().name(), error = %cause, "a request failed"),
        None => {}
    }
    let code = problem.code();
    let mut response = problem.into_response(request_id);
    if code == Code::MethodNotAllowed {
        let allowed = pattern
            .and_then(|pattern| CONTRACT.patterns.get(&*pattern))
            .map_or("GET, HEAD", |pattern| &pattern.methods);
        if let Ok(value) = HeaderValue::from_str(allowed) {
            response.headers_mut().insert(header::ALLOW, value);
        }
    }
    if let Some(operation) = operation {
        response.set_data(operation);
    }
    response
}

#[cfg(test)]
mod tests {
    use cairn_core::config::Secret;
    use cairn_core::db::Db;
    use poem::endpoint::make;

    use super::*;

    async fn send(inner: impl Endpoint, timeout: Duration) -> (Response, serde_json::Value) {
        let url = "postgres://nobody@127.0.0.1:1/none";
        let app = App::new(Db::connect(url, url, 4).unwrap(), &Secret::new("a key of tests")).unwrap();
        let (cors, hosts, headers) = (Cors::new(&[]), Hosts::public(&[]), SecurityHeaders::new(0));
        let edge = Edge { inner, cors, hosts, timeout, headers, app };
        let mut response =
            edge.call(Request::builder().uri_str("/v1/x").header(header::HOST, "localhost").finish()).await.unwrap();
        let body = response.take_body().into_string().await.unwrap();
        (response, serde_json::from_str(&body).unwrap())
    }

    #[tokio::test]
    async fn a_panic_is_a_problem_that_shows_nothing() {
        let panicking =
            make(|request: Request| async move { assert!(request.uri().path().is_empty(), "the secret is here") });
        let (response, body) = send(panicking, REQUEST_TIMEOUT).await;
        assert_eq!(response.status(), 500);
        assert_eq!(response.content_type(), Some("application/problem+json"));
        assert_eq!(body["code"], "internal");
        assert_eq!(body["request_id"], response.header("x-request-id").unwrap());
        assert!(!body.to_string().contains("secret"), "{body}");
    }

    #[tokio::test]
    async fn a_handler_has_its_time() {
        let (response, body) = send(make(|_| std::future::pending::<()>()), Duration::from_millis(5)).await;
        assert_eq!(response.status(), 503);
        assert_eq!(body["code"], "unavailable");
        assert!(response.header("retry-after").is_some());
    }

    #[tokio::test]
    async fn an_error_of_ours_shows_nothing() {
        let failing = make(|_| async {
            let problem = Problem::from(cairn_core::Error::message("the secret is out"));
            Err::<(), poem::Error>(problem.into())
        });
        let (response, body) = send(failing, REQUEST_TIMEOUT).await;
        assert_eq!((response.status().as_u16(), &body["code"]), (500, &"internal".into()));
        assert!(!body.to_string().contains("secret"), "{body}");
    }
}
