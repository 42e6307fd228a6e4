//! What holds for every operation: the document is complete and true, and bad requests get precise answers.

use std::collections::BTreeSet;

use cairn_api::Code;
use cairn_core::clock::new_id;
use cairn_core::config::Secret;
use cairn_core::users::tokens::{TokenSubject, Tokens};
use chrono::TimeDelta;
use poem::http::Method;
use serde_json::{Value, json};

use crate::support::contract::{DOCUMENT, Operation, check, operations};
use crate::support::{Call, JWT_SECRET, ORIGIN, TestApp};

#[test]
fn the_committed_document_is_the_one_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi.json");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == cairn_api::openapi_json(),
        "openapi.json differs from the code: run `cargo xtask regen` and look at what changed"
    );
}

#[test]
fn every_operation_is_described() {
    let mut ids = BTreeSet::new();
    for operation in operations() {
        let description = operation.description();
        let name = format!("{} {}", operation.method, operation.path);
        let mut letters = operation.id.chars();
        assert!(
            letters.next().is_some_and(|c| c.is_ascii_lowercase()) && letters.all(|c| c.is_ascii_alphanumeric()),
            "{name}: operation id {:?} is not camelCase",
            operation.id
        );
        assert!(ids.insert(operation.id.clone()), "{name}: operation id {} is not unique", operation.id);
        assert_eq!(description["tags"].as_array().map(Vec::len), Some(1), "{name}: one tag");
        assert!(!description["summary"].as_str().unwrap_or_default().trim().is_empty(), "{name} has no summary");
        assert!(operation.path.starts_with("/v1/"), "{name}: the base path is /v1");
        assert!(
            !description["description"].as_str().unwrap_or_default().trim().is_empty(),
            "{name} has no description: what must a client know that the summary does not say?"
        );
        for parameter in description["parameters"].as_array().into_iter().flatten() {
            check_parameter(&name, parameter);
        }
        let responses = description["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{name} has no success");
        for (status, response) in responses {
            let described =
                response["$ref"].is_string() || !response["description"].as_str().unwrap_or_default().is_empty();
            assert!(described && response["description"] != "Done.", "{name} {status} has no description");
        }
    }
}

/// What an operation can do, in the word that begins its summary. One word for one thing: a new one is worth a thought.
const VERBS: &[&str] = &[
    "Activate",
    "Answer",
    "Approve",
    "Archive",
    "Ask",
    "Cancel",
    "Check",
    "Clear",
    "Complete",
    "Create",
    "Delete",
    "Discard",
    "Export",
    "Favorite",
    "Get",
    "Import",
    "Like",
    "List",
    "Pause",
    "Preview",
    "Publish",
    "Rate",
    "Record",
    "Refresh",
    "Register",
    "Reject",
    "Reopen",
    "Reorder",
    "Request",
    "Reset",
    "Restore",
    "Resume",
    "Retry",
    "Revoke",
    "Roll",
    "Search",
    "Sign",
    "Start",
    "Stream",
    "Submit",
    "Suspend",
    "Transfer",
    "Uncheck",
    "Unfavorite",
    "Unlike",
    "Unpublish",
    "Update",
    "Verify",
    "Withdraw",
];

#[test]
fn every_summary_begins_with_a_verb_from_the_list() {
    let others: Vec<(String, &str)> = operations()
        .into_iter()
        .map(|operation| (operation.description()["summary"].as_str().unwrap_or_default(), operation.id))
        .filter(|(summary, _)| !summary.split(' ').next().is_some_and(|verb| VERBS.contains(&verb)))
        .map(|(summary, id)| (id, summary))
        .collect();
    assert!(
        others.is_empty(),
        "a summary begins with one of VERBS in api/tests/it/contract.rs, then says what it is done to: {others:#?}"
    );
}

fn check_parameter(operation: &str, parameter: &Value) {
    let name = format!("{operation}: parameter {}", parameter["name"]);
    assert!(!parameter["description"].as_str().unwrap_or_default().is_empty(), "{name} has no description");
    let schema = resolved(&parameter["schema"]);
    let bounded = match schema["type"].as_str().unwrap() {
        // The parser refuses what does not fit 64 bits: a bound, though no useful one to write down.
        "integer" => !schema["minimum"].is_null() && (!schema["maximum"].is_null() || schema["format"] == "int64"),
        "number" => !schema["minimum"].is_null() && !schema["maximum"].is_null(),
        "string" => {
            !schema["maxLength"].is_null()
                || schema["enum"].is_array()
                || ["uuid", "date-time", "date"].contains(&schema["format"].as_str().unwrap_or_default())
        }
        "array" => !schema["maxItems"].is_null(),
        _ => true,
    };
    assert!(bounded, "{name} has no bounds: {schema}");
}

#[test]
fn every_object_has_an_example_that_fits() {
    for (name, schema) in DOCUMENT["components"]["schemas"].as_object().unwrap() {
        if schema["type"] == "object" {
            let example = &schema["example"];
            assert!(example.is_object(), "the schema {name} has no example");
            check(&format!("/components/schemas/{name}"), example, &format!("the example of {name}"));
        }
    }
}

#[test]
fn every_member_is_described() {
    for (name, schema) in DOCUMENT["components"]["schemas"].as_object().unwrap() {
        assert!(schema["description"].is_string(), "the schema {name} has no description");
        for (member, schema) in schema["properties"].as_object().into_iter().flatten() {
            let described = [schema, resolved(schema)].iter().any(|schema| schema["description"].is_string());
            // The type of one of several events needs no words: its name is the event.
            let tells_apart = member == "type" && schema["enum"].as_array().is_some_and(|choices| choices.len() == 1);
            assert!(described || tells_apart, "{name}.{member} has no description");
        }
    }
}

/// A time of long ago is a default that nobody chose.
#[test]
fn no_example_is_of_another_time() {
    fn check_times(value: &Value, place: &str) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| check_times(item, place)),
            Value::Object(members) => {
                members.iter().for_each(|(name, member)| check_times(member, &format!("{place}.{name}")));
            }
            Value::String(text) => {
                let year = text.get(..4).filter(|_| chrono::DateTime::parse_from_rfc3339(text).is_ok());
                assert!(year.is_none_or(|year| year == "2026"), "the example of {place} is {text}");
            }
            _ => {}
        }
    }
    for (name, schema) in DOCUMENT["components"]["schemas"].as_object().unwrap() {
        check_times(&schema["example"], name);
    }
}

/// Clients download it, and generators and browsers read all of it.
#[test]
fn the_document_is_small() {
    let served: Value = serde_json::from_str(&cairn_api::openapi_json()).unwrap();
    let bytes = served.to_string().len() / operations().len();
    println!("{bytes} bytes an operation");
    assert!(bytes < 3300, "{bytes} bytes an operation: what is said more than once?");
}

#[test]
fn every_text_that_is_sent_is_bounded() {
    for operation in operations() {
        for (name, schema) in body_members(&operation) {
            let schema = resolved(schema);
            let bounded = schema["type"] != "string"
                || !schema["maxLength"].is_null()
                || schema["enum"].is_array()
                || ["uuid", "date-time"].contains(&schema["format"].as_str().unwrap_or_default());
            let items = schema["type"] != "array" || !schema["maxItems"].is_null();
            assert!(bounded && items, "{}: {name} of the body has no bounds", operation.id);
        }
    }
}

#[tokio::test]
async fn the_document_is_served() {
    let app = TestApp::new().await;
    let document = app.get("/openapi.json").await.expect(200);
    assert_eq!(document.text, cairn_api::openapi_json());
    let tag = document.header("etag");
    app.get("/openapi.json").header("If-None-Match", tag).await.expect(304);
    let derived = app.get("/openapi-3.1.json").await.expect(200);
    assert_eq!(derived.json["openapi"], "3.1.0");
    let get_me = &derived.json["paths"]["/v1/me"]["get"];
    assert_eq!(get_me["operationId"], "getMe");
    let sample = "curl \"$API/v1/me\" \\\n  -H \"Authorization: Bearer $TOKEN\"";
    assert_eq!(get_me["x-codeSamples"][0]["source"], sample);
    for page in ["/", "/docs", "/reference"] {
        let page = app.get(page).await.expect(200);
        assert!(page.header("content-type").starts_with("text/html"));
        assert!(page.header("content-security-policy").contains("default-src 'self'"));
        assert_eq!(page.header("cache-control"), "public, no-cache");
        for source in page.text.split("src=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(source.starts_with('/'), "{source} comes from elsewhere");
            app.get(source).await.expect(200);
        }
    }
}

#[tokio::test]
async fn the_type_of_every_problem_is_a_page() {
    let app = TestApp::new().await;
    let problem = app.get("/v1/me").await.expect(401).problem("unauthorized");
    let page = app.get(problem.json["type"].as_str().unwrap()).await.expect(200);
    assert!(page.text.contains("The access token is not valid") && page.text.contains("GET /v1/me<"), "{}", page.text);
    let list = app.get("/problems").await.expect(200);
    for code in Code::ALL {
        let path = format!("/problems/{}", code.name());
        assert!(list.text.contains(&format!("href=\"{path}\"")), "{path}");
        let page = app.get(&path).await.expect(200);
        assert!(page.text.contains("<li>") || page.text.contains("Any request"), "{path} names no operation");
    }
    app.get("/problems/nothing").await.expect(404).problem("not_found");
}

#[tokio::test]
async fn paths_and_methods_that_do_not_exist() {
    let app = TestApp::new().await;
    for path in ["/v1", "/v2/me", "/v1/nothing", "/v1/me/", "/v1/me%2F"] {
        app.get(path).invalid().await.expect(404).problem("not_found");
    }
    app.get("/v1/%FF").invalid().await.expect(400).problem("malformed_parameter");
    let reply = app.call(Method::PUT, "/v1/me").invalid().await.expect(405).problem("method_not_allowed");
    assert!(reply.header("allow").contains("GET, HEAD"), "{reply:?}");
    let reply = app.get("/v1/auth/login").invalid().await.expect(405).problem("method_not_allowed");
    assert_eq!(reply.header("allow"), "POST");
    app.call(Method::POST, "/openapi.json").await.expect(405).problem("method_not_allowed");
    for operation in operations().iter().filter(|operation| operation.path.contains('{')) {
        let reply = app.call(Method::TRACE, &path_of(operation)).invalid().await.expect(405);
        assert!(reply.header("allow").contains(operation.method.as_str()), "{}: {reply:?}", operation.id);
    }
}

#[tokio::test]
async fn whoever_has_no_valid_token_gets_nowhere() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let (now, me) = (app.app.now(), TokenSubject { user_id: anna.id, session_id: anna.session_id });
    let issue = |secret: &str, subject, at| Tokens::new(&Secret::new(secret)).issue(subject, at).unwrap();
    let body = anna.token.split('.').nth(1).unwrap();
    let tokens = [
        String::new(),
        "garbage".to_owned(),
        "a.b.c".to_owned(),
        format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{body}."),
        format!("eyJhbGciOiJub25lIn0.{body}.{}", anna.token.split('.').nth(2).unwrap()),
        issue(JWT_SECRET, me, now - TimeDelta::minutes(15)),
        issue("another key, which is not ours at all", me, now),
        issue(JWT_SECRET, TokenSubject { user_id: new_id(), ..me }, now),
        issue(JWT_SECRET, TokenSubject { session_id: new_id(), ..me }, now),
    ];
    for token in tokens {
        let reply = app.get("/v1/me").header("Authorization", &format!("Bearer {token}")).await;
        let reply = reply.expect(401).problem("unauthorized");
        assert!(reply.header("www-authenticate").starts_with("Bearer"), "{token}");
    }
    for header in ["", "Bearer", "Basic YTpi", &anna.token] {
        app.get("/v1/me").header("Authorization", header).await.expect(401).problem("unauthorized");
    }
    app.get("/v1/me").header("Authorization", &format!("bearer {}", anna.token)).await.expect(200);
    app.app.db.clock().advance(TimeDelta::minutes(15));
    anna.get("/v1/me").await.expect(401).problem("unauthorized");
}

#[tokio::test]
async fn every_operation_asks_for_its_token() {
    let app = TestApp::new().await;
    let mut open = Vec::new();
    for operation in operations() {
        if operation.description()["security"] == json!([]) {
            open.push(operation.id);
            continue;
        }
        let path = format!("{}{}", path_of(&operation), required_query(&operation));
        let call = with_body(app.call(operation.method.clone(), &path), &operation);
        let reply = call.await.expect(401).problem("unauthorized");
        assert_eq!(reply.header("www-authenticate"), "Bearer", "without a token there is no error in it");
    }
    open.sort();
    let expected = ["login", "refreshSession", "register", "requestPasswordReset", "resetPassword", "verifyEmail"];
    assert_eq!(open, expected, "operations that need no token");
}

#[tokio::test]
async fn malformed_ids_are_the_clients_mistake() {
    let app = TestApp::new().await;
    let admin = app.admin("admin").await;
    let before = rows(&app).await;
    for operation in operations() {
        for parameter in operation.description()["parameters"].as_array().into_iter().flatten() {
            if parameter["in"] == "path" && parameter["schema"]["format"] == "uuid" {
                let name = parameter["name"].as_str().unwrap();
                let place = format!("{{{name}}}");
                for bad in ["1", "not-a-uuid", "00000000-0000-0000-0000-00000000000g", "%00", "1%20OR%201=1"] {
                    let path = fill(&operation.path.replace(&place, bad));
                    let reply = with_body(admin.call(operation.method.clone(), &path), &operation).invalid().await;
                    reply.expect(400).problem("malformed_parameter");
                }
            }
        }
    }
    assert_eq!(rows(&app).await, before);
}

/// Postgres cannot store U+0000, so wherever it is, the request is refused before anything is looked for.
#[tokio::test]
async fn nul_is_refused_wherever_it_is() {
    let app = TestApp::new().await;
    let admin = app.admin("admin").await;
    let before = rows(&app).await;
    for operation in operations() {
        let (method, path) = (operation.method.clone(), fill(&operation.path));
        let in_path = operation.path.split_once('{').map(|(start, _)| format!("{start}%00"));
        let in_query = ["?x=%00", "?%00=x", "?limit=1%00"].map(|query| format!("{path}{query}"));
        // An operation that has no parameters documents no fault of one, though it is refused all the same.
        let documented = &operation.description()["responses"]["400"];
        let reference = documented["$ref"].as_str();
        let documented = reference.map_or(documented, |reference| DOCUMENT.pointer(&reference[1..]).unwrap());
        let has_parameters =
            documented["x-codes"].as_array().is_some_and(|codes| codes.contains(&json!("malformed_parameter")));
        for path in in_path.into_iter().chain(in_query).filter(|_| has_parameters) {
            let reply = with_body(admin.call(method.clone(), &path), &operation).invalid().await;
            assert!(reply.status.is_client_error(), "{method} {path}: {reply:#?}");
        }
        for body in ["{\"\\u0000\": 1}", "\"\\u0000\"", "[\"a\\u0000b\"]", "{\"a\0\": 1}", "\0"] {
            let call = admin.call(method.clone(), &path).header("Content-Type", "application/json").raw(body);
            if operation.description()["requestBody"].is_object() {
                call.invalid().await;
            }
        }
    }
    assert_eq!(rows(&app).await, before);
}

#[tokio::test]
async fn bad_parameters_are_named() {
    let app = TestApp::new().await;
    let admin = app.admin("admin").await;
    for operation in operations() {
        for parameter in operation.description()["parameters"].as_array().into_iter().flatten() {
            let (name, schema) = (parameter["name"].as_str().unwrap(), resolved(&parameter["schema"]));
            let bad = bad_values(schema);
            if parameter["in"] == "query" {
                let path = format!("{}{}", path_of(&operation), query_with(&operation, name, "a%00b"));
                let call = with_body(admin.call(operation.method.clone(), &path), &operation);
                call.invalid().await.expect(400).problem("malformed_parameter");
            }
            for bad in bad {
                let path = path_of(&operation);
                let call = match parameter["in"].as_str().unwrap() {
                    "query" => {
                        admin.call(operation.method.clone(), &format!("{path}{}", query_with(&operation, name, &bad)))
                    }
                    "header" => admin.call(operation.method.clone(), &path).header(name, &bad),
                    _ => continue,
                };
                let reply = with_body(call, &operation).invalid().await.expect(400).problem("malformed_parameter");
                let errors = reply.json["errors"].as_array().unwrap();
                assert!(errors.iter().any(|error| error["parameter"] == name), "{}: {reply:?}", operation.id);
            }
        }
    }
}

/// Texts that a parameter with that schema may not have.
fn bad_values(schema: &Value) -> Vec<String> {
    match schema["type"].as_str() {
        Some("integer") => vec!["x".to_owned(), "-1".to_owned(), "99999999999999999999".to_owned(), String::new()],
        Some("string") if schema["format"] == "uuid" => vec!["x".to_owned()],
        Some("string") if schema["maxLength"].is_u64() => {
            vec!["x".repeat(usize::try_from(schema["maxLength"].as_u64().unwrap()).unwrap() + 1)]
        }
        Some("string") if schema["enum"].is_array() => vec!["surely-no-choice".to_owned()],
        _ => vec![],
    }
}

#[tokio::test]
async fn all_bad_parameters_are_named_at_once() {
    let app = TestApp::new().await;
    let admin = app.admin("admin").await;
    let mut most = 0;
    for operation in operations() {
        let (mut names, mut path, mut query) = (Vec::new(), operation.path.clone(), Vec::new());
        for parameter in operation.description()["parameters"].as_array().into_iter().flatten() {
            let (name, schema) = (parameter["name"].as_str().unwrap(), resolved(&parameter["schema"]));
            let Some(bad) = bad_values(schema).into_iter().next() else { continue };
            match parameter["in"].as_str().unwrap() {
                "path" => path = path.replace(&format!("{{{name}}}"), &bad),
                "query" => query.push(format!("{name}={bad}")),
                _ => continue,
            }
            names.push(name);
        }
        if names.is_empty() || path.contains('{') {
            continue;
        }
        let call = admin.call(operation.method.clone(), &format!("{path}?{}", query.join("&")));
        let reply = with_body(call, &operation).invalid().await.expect(400).problem("malformed_parameter");
        let errors = reply.json["errors"].as_array().unwrap();
        let listed: Vec<&str> = errors.iter().map(|error| error["parameter"].as_str().unwrap()).collect();
        for name in &names {
            assert!(listed.contains(name), "{}: {name} is not among {listed:?}", operation.id);
        }
        most = most.max(names.len());
    }
    assert!(most >= 4, "no operation has several");
}

#[tokio::test]
async fn a_wrong_body_is_answered_with_what_is_wrong() {
    let app = TestApp::new().await;
    let admin = app.admin("admin").await;
    let before = rows(&app).await;
    for operation in operations().iter().filter(|operation| operation.description()["requestBody"].is_object()) {
        let send = |body: String| {
            let call = with_version(admin.call(operation.method.clone(), &path_of(operation)), operation);
            call.header("Content-Type", "application/json").raw(body).invalid()
        };
        for malformed in ["", "{", "{\"a\":}", "nonsense", "{} {}", "\u{0}"] {
            send(malformed.to_owned()).await.expect(400).problem("malformed_body");
        }
        send("[]".to_owned()).await.expect(422).problem("invalid_body").blames(&[("", "wrong_type")]);
        send("null".to_owned()).await.expect(422).problem("invalid_body").blames(&[("", "wrong_type")]);
        let odd = example(operation, "surprise", json!("\u{0}"));
        send(odd.to_string()).await.expect(422).problem("invalid_body").blames(&[("/surprise", "unknown")]);
        for (name, schema) in body_members(operation) {
            let pointer = format!("/{name}");
            let wrong = if schema["type"] == "object" { json!("text") } else { json!({"an": "object"}) };
            let reply = send(example(operation, &name, wrong).to_string()).await.expect(422).problem("invalid_body");
            reply.blames(&[(&pointer, "wrong_type")]);
            if schema["type"] == "string" {
                let reply = send(example(operation, &name, json!(5)).to_string()).await.expect(422);
                reply.problem("invalid_body").blames(&[(&pointer, "wrong_type")]);
            }
            if let Some(max) = schema["maxLength"].as_u64().filter(|max| *max < 100_000) {
                let long = "x".repeat(usize::try_from(max).unwrap() + 1);
                let reply = send(example(operation, &name, json!(long)).to_string()).await.expect(422);
                let mut expected = vec![(pointer.as_str(), "too_long")];
                let pattern = json!({"pattern": schema["pattern"].as_str().unwrap_or_default()});
                expected
                    .extend((!jsonschema::is_valid(&pattern, &json!(long))).then_some((pointer.as_str(), "malformed")));
                reply.problem("invalid_body").blames(&expected);
            }
            if is_required(operation, &name) {
                let mut body = example(operation, &name, Value::Null);
                body.as_object_mut().unwrap().remove(&name);
                let reply = send(body.to_string()).await.expect(422).problem("invalid_body");
                reply.blames(&[(&pointer, "required")]);
            }
        }
    }
    assert_eq!(rows(&app).await, before, "something was written");
}

#[tokio::test]
async fn bodies_of_another_type_or_size_are_refused() {
    let app = TestApp::new().await;
    let admin = app.admin("admin").await;
    let before = rows(&app).await;
    for operation in operations().iter().filter(|operation| operation.description()["requestBody"].is_object()) {
        let call = || with_version(admin.call(operation.method.clone(), &path_of(operation)), operation);
        let body = example_of(operation).to_string();
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "nonsense"] {
            let reply = call().header("Content-Type", kind).raw(body.clone()).invalid().await;
            reply.expect(415).problem("unsupported_media_type");
        }
        call().raw(body.clone()).invalid().await.expect(415).problem("unsupported_media_type");
        // Without Content-Length, as a chunked body comes.
        let large = call().header("Content-Type", "application/json").raw(vec![b' '; 256 * 1024 + 1]).invalid().await;
        large.expect(413).problem("body_too_large");
        let announced = call().header("Content-Type", "application/json").header("Content-Length", "262145");
        announced.raw(body).invalid().await.expect(413).problem("body_too_large");
    }
    assert_eq!(rows(&app).await, before, "something was written");
    let mut body = json!({"email": "a@example.test", "password": "x"}).to_string();
    body.push_str(&" ".repeat(256 * 1024 - body.len()));
    let call = app.call(Method::POST, "/v1/auth/login").header("Content-Type", "application/json; charset=utf-8");
    call.raw(body.clone()).invalid().await.expect(413).problem("body_too_large");
    let call = admin.call(Method::POST, "/v1/auth/login").header("Content-Type", "application/json; charset=utf-8");
    call.raw(body).await.expect(401).problem("invalid_credentials");
    app.run_jobs().await;
}

#[tokio::test]
async fn a_request_keeps_its_names() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    assert_eq!(anna.get("/v1/me").header("X-Request-Id", "my-1").await.header("x-request-id"), "my-1");
    let (one, two) = (anna.get("/v1/me").await, anna.get("/v1/me").header("X-Request-Id", "a b").await);
    assert_ne!(one.header("x-request-id"), two.header("x-request-id"));
    assert_ne!(two.header("x-request-id"), "a b");
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    anna.call(Method::POST, "/v1/auth/logout").header("traceparent", trace).await.expect(204);
    let job: String = sqlx::query_scalar("SELECT convert_from(job, 'UTF8') FROM apalis.jobs")
        .fetch_one(app.app.pool())
        .await
        .unwrap();
    let carried = serde_json::from_str::<Value>(&job).unwrap()["traceparent"].as_str().unwrap().to_owned();
    assert_eq!(carried[..36], trace[..36], "the same trace");
    assert_ne!(carried, trace, "and the request as the job's parent");
    app.run_jobs().await;
}

#[tokio::test]
async fn personal_answers_are_not_shared_and_browsers_are_let_in_by_origin() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let reply = anna.get("/v1/me").header("Origin", ORIGIN).await.expect(200);
    assert_eq!(reply.header("cache-control"), "no-store");
    assert_eq!(reply.header("access-control-allow-origin"), ORIGIN);
    let vary: Vec<_> = reply.headers.get_all("vary").iter().collect();
    assert_eq!(vary, ["Accept-Encoding", "Origin"]);
    let reply = anna.get("/v1/me").header("Origin", "https://evil.example").await.expect(200);
    assert_eq!(reply.header("access-control-allow-origin"), "");
    // Errors too, or the page could not read them.
    let reply = app.get("/v1/me").header("Origin", ORIGIN).await.expect(401);
    assert_eq!(reply.header("access-control-allow-origin"), ORIGIN);
    let ask = |origin| {
        app.call(Method::OPTIONS, "/v1/me").header("Origin", origin).header("Access-Control-Request-Method", "GET")
    };
    let reply = ask(ORIGIN).preflight().await.expect(204);
    assert!(reply.header("access-control-allow-headers").contains("Authorization"), "{reply:?}");
    ask("https://evil.example").invalid().await.expect(405);
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let reply = anna.call(Method::HEAD, "/v1/me").await.expect(200);
    assert_eq!(reply.text, "");
}

#[tokio::test]
async fn without_its_database_the_api_says_so() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    app.app.db.close().await;
    let reply = anna.get("/v1/me").await.expect(503).problem("unavailable");
    assert!(!reply.header("retry-after").is_empty());
    assert!(!reply.text.contains("pool"), "internals are not shown: {}", reply.text);
}

/// Rows of all tables.
async fn rows(app: &TestApp) -> i64 {
    app.count(
        "SELECT sum((xpath('/row/c/text()', query_to_xml(
             format('SELECT count(*) AS c FROM %I.%I', schemaname, tablename), false, true, '')))[1]::text::bigint)::bigint
         FROM pg_tables WHERE schemaname IN ('public', 'apalis')",
    )
    .await
}

/// A path of the operation with ids that nothing has.
pub(crate) fn path_of(operation: &Operation) -> String {
    let mut path = operation.path.clone();
    for parameter in operation.description()["parameters"].as_array().into_iter().flatten() {
        if parameter["in"] == "path" && parameter["schema"]["format"] != "uuid" {
            let place = format!("{{{}}}", parameter["name"].as_str().unwrap());
            let schema = resolved(&parameter["schema"]);
            // The document has no examples of parameters, because Swagger UI would send them.
            let value = match parameter["name"].as_str().unwrap() {
                "job_id" => json!("01K8Q2V7W3N5R9T1X4Y6Z8A0BC"),
                "key" => json!("ai.daily_questions"),
                "target_type" => json!("lesson"),
                "version" => json!(1),
                _ => schema["enum"][0].clone(),
            };
            assert!(!value.is_null(), "{}: no value of {place}", operation.id);
            path = path.replace(&place, value.to_string().trim_matches('"'));
        }
    }
    fill(&path)
}

/// The query of a request with what the operation requires in it.
fn required_query(operation: &Operation) -> String {
    let query = required_parameters(operation).map(|name| format!("{name}=x")).collect::<Vec<_>>();
    if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) }
}

/// The query of a request with this value of a parameter, and what the operation requires besides.
fn query_with(operation: &Operation, name: &str, value: &str) -> String {
    let others = required_parameters(operation).filter(|other| *other != name).map(|other| format!("&{other}=x"));
    format!("?{name}={value}{}", others.collect::<String>())
}

/// The parameters that the query must have.
fn required_parameters(operation: &Operation) -> impl Iterator<Item = &str> {
    let parameters = operation.description()["parameters"].as_array().into_iter().flatten();
    let required = parameters.filter(|parameter| parameter["in"] == "query" && parameter["required"] == true);
    required.map(|parameter| parameter["name"].as_str().unwrap())
}

/// The schema itself, where it is written as a reference with or without a default.
pub(crate) fn resolved(schema: &Value) -> &Value {
    let reference = schema["$ref"].as_str().or(schema["allOf"][0]["$ref"].as_str());
    reference.map_or(schema, |reference| DOCUMENT.pointer(&reference[1..]).unwrap())
}

fn fill(path: &str) -> String {
    let segments =
        path.split('/').map(|segment| if segment.starts_with('{') { new_id().to_string() } else { segment.to_owned() });
    segments.collect::<Vec<_>>().join("/")
}

fn with_body(call: Call, operation: &Operation) -> Call {
    let call = with_version(call, operation);
    if operation.description()["requestBody"].is_object() { call.json(example_of(operation)) } else { call }
}

/// Names a version where the operation needs one.
pub(crate) fn with_version(call: Call, operation: &Operation) -> Call {
    let mut parameters = operation.description()["parameters"].as_array().into_iter().flatten();
    let is_needed = parameters.any(|parameter| parameter["name"] == "If-Match") && !call.has_header("If-Match");
    if is_needed { call.header("If-Match", "\"1\"") } else { call }
}

fn body_schema(operation: &Operation) -> &'static Value {
    let schema = &operation.description()["requestBody"]["content"]["application/json"]["schema"];
    schema["$ref"].as_str().map_or(schema, |reference| DOCUMENT.pointer(&reference[1..]).unwrap())
}

fn body_members(operation: &Operation) -> Vec<(String, &'static Value)> {
    let members = body_schema(operation)["properties"].as_object();
    members.into_iter().flatten().map(|(name, schema)| (name.clone(), schema)).collect()
}

fn is_required(operation: &Operation, name: &str) -> bool {
    body_schema(operation)["required"].as_array().is_some_and(|required| required.contains(&name.into()))
}

fn example_of(operation: &Operation) -> Value {
    body_schema(operation)["example"].clone()
}

fn example(operation: &Operation, name: &str, value: Value) -> Value {
    let mut body = example_of(operation);
    body[name] = value;
    body
}
