//! Checks every request and response of a test against the OpenAPI document.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use chrono::DateTime;
use jsonschema::Validator;
use poem::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::Reply;
use super::follow::check_events;
use super::strict;

/// The operations that are answered with 202 although nothing can be read later: a mail follows, or nothing.
const SENDING_MAILS: [&str; 2] = ["requestEmailVerification", "requestPasswordReset"];

/// The OpenAPI document, with the parameters of each operation in it instead of references to them.
pub(crate) static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let mut document: Value = serde_json::from_str(&cairn_api::openapi_json()).unwrap();
    let shared = document["components"]["parameters"].take();
    for item in document["paths"].as_object_mut().unwrap().values_mut() {
        for (_, operation) in item.as_object_mut().unwrap() {
            for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(name) = parameter["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
                    *parameter = shared[name].clone();
                }
            }
        }
    }
    document
});

/// The document with its schemas in the form of JSON Schema.
static CONVERTED: LazyLock<Value> = LazyLock::new(cairn_api::openapi_as_json_schema);

/// An operation of the document.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    /// The operation id.
    pub(crate) id: String,
    /// The path, with parameters in braces.
    pub(crate) path: String,
    /// The method.
    pub(crate) method: Method,
}

impl Operation {
    /// The operation in the document.
    pub(crate) fn description(&self) -> &'static Value {
        &DOCUMENT["paths"][&self.path][self.method.as_str().to_lowercase()]
    }

    /// The pointer to the schema of the data of events, for an operation that returns a stream.
    pub(super) fn event_schema(&self) -> String {
        self.pointer("/responses/200/content/text~1event-stream/schema")
    }

    fn pointer(&self, rest: &str) -> String {
        let path = self.path.replace('~', "~0").replace('/', "~1");
        format!("/paths/{path}/{}{rest}", self.method.as_str().to_lowercase())
    }
}

/// All operations.
pub(crate) fn operations() -> Vec<Operation> {
    let mut all = Vec::new();
    for (path, item) in DOCUMENT["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            all.push(Operation {
                id: operation["operationId"].as_str().unwrap_or_default().to_owned(),
                path: path.clone(),
                method: method.to_uppercase().parse().unwrap(),
            });
        }
    }
    all
}

/// The operation that a request belongs to.
pub(crate) fn find(method: &Method, path: &str) -> Option<Operation> {
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let segments: Vec<&str> = path.split('?').next().unwrap_or_default().split('/').collect();
    let fits = |template: &str| {
        let template: Vec<&str> = template.split('/').collect();
        template.len() == segments.len()
            && template.iter().zip(&segments).all(|(t, s)| t == s || (t.starts_with('{') && !s.is_empty()))
    };
    // A literal segment takes precedence over a parameter, as in the router.
    let mut fitting: Vec<Operation> =
        operations().into_iter().filter(|operation| operation.method == *method && fits(&operation.path)).collect();
    fitting.sort_by_key(|operation| operation.path.matches('{').count());
    fitting.into_iter().next()
}

/// Fails unless the request matches the document.
pub(super) fn check_request(
    operation: Option<&Operation>,
    method: &Method,
    path: &str,
    headers: &[(String, String)],
    body: Option<&[u8]>,
) {
    let Some(operation) = operation else {
        assert!(!path.starts_with("/v1"), "{method} {path} is not in the document; mean it with .invalid()");
        return;
    };
    let name = format!("request {method} {path}");
    check_parameters(operation, &name, path, headers);
    let content = &operation.description()["requestBody"]["content"];
    match (content.as_object(), body) {
        (None, None) => {}
        (None, Some(_)) => panic!("{name} has a body, but the document says there is none"),
        (Some(_), None) => {
            let required = operation.description()["requestBody"]["required"] == true;
            assert!(!required, "{name} has no body; mean it with .invalid()");
        }
        (Some(content), Some(body)) => {
            let sent = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
            let sent = sent.and_then(|(_, value)| value.split(';').next()).unwrap_or_default();
            let documented = content.keys().find(|media_type| *media_type == sent);
            let media_type = documented.unwrap_or_else(|| panic!("{name} has a body of the type {sent:?}"));
            let body = serde_json::from_slice(body).unwrap_or_else(|error| panic!("{name}: {error}"));
            let media_type = media_type.replace('/', "~1");
            check(&operation.pointer(&format!("/requestBody/content/{media_type}/schema")), &body, &name);
        }
    }
}

fn check_parameters(operation: &Operation, name: &str, path: &str, headers: &[(String, String)]) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let parameters = operation.description()["parameters"].as_array().cloned().unwrap_or_default();
    let mut query: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| decoded(pair.split_once('=').unwrap_or((pair, ""))))
        .collect();
    for (index, parameter) in parameters.iter().enumerate() {
        let parameter_name = parameter["name"].as_str().unwrap();
        let values: Vec<String> = match parameter["in"].as_str().unwrap() {
            "path" => {
                let place = operation.path.split('/').position(|segment| segment == format!("{{{parameter_name}}}"));
                path.split('/').nth(place.unwrap()).map(str::to_owned).into_iter().collect()
            }
            "query" => query.extract_if(.., |(name, _)| name == parameter_name).map(|(_, value)| value).collect(),
            _ => {
                let named = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(parameter_name));
                named.map(|(_, value)| value.clone()).into_iter().collect()
            }
        };
        let pointer = operation.pointer(&format!("/parameters/{index}/schema"));
        let schema = CONVERTED.pointer(&pointer).unwrap();
        let value = match &values[..] {
            [] => {
                assert!(parameter["required"] != true, "{name} lacks the parameter {parameter_name}");
                continue;
            }
            _ if schema["type"] == "array" => values.iter().map(|value| typed(value, &schema["items"])).collect(),
            [value] => typed(value, schema),
            _ => panic!("{name} has the parameter {parameter_name} more than once"),
        };
        check(&pointer, &value, &format!("{name}: parameter {parameter_name}"));
    }
    assert!(query.is_empty(), "{name} has unknown query parameters: {query:?}");
}

fn decoded((name, value): (&str, &str)) -> (String, String) {
    let decode = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'+' => b' ',
                b'%' => {
                    let hex: Vec<u8> = rest.by_ref().take(2).collect();
                    u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap()
                }
                byte => byte,
            });
        }
        String::from_utf8(bytes).unwrap()
    };
    (decode(name), decode(value))
}

/// Converts the text of a parameter to the JSON value that its schema describes.
fn typed(text: &str, schema: &Value) -> Value {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => CONVERTED.pointer(&reference[1..]).unwrap(),
        None => schema,
    };
    let kind = &schema["type"];
    let is = |name: &str| kind == name || kind.as_array().is_some_and(|kinds| kinds.contains(&name.into()));
    if is("integer") || is("number") || is("boolean") {
        return serde_json::from_str(text).unwrap_or_else(|_| text.into());
    }
    text.into()
}

/// Fails unless the response matches the document.
pub(super) async fn check_reply(operation: Option<&Operation>, method: &Method, path: &str, reply: &Reply) {
    let name = format!("answer to {method} {path}");
    assert!(!reply.header("x-request-id").is_empty(), "{name} has no request id");
    if reply.status.is_client_error() || reply.status.is_server_error() {
        assert_eq!(reply.header("content-type"), "application/problem+json", "{name}: {reply:#?}");
        assert_eq!(reply.json["status"], reply.status.as_u16(), "{name}");
        assert_eq!(reply.json["request_id"], reply.header("x-request-id"), "{name}");
        check("/components/schemas/Problem", &reply.json, &name);
        check_times(&reply.json, &name);
        for member in reply.json.as_object().unwrap().keys() {
            let documented = &DOCUMENT["components"]["schemas"]["Problem"]["properties"][member];
            assert!(documented.is_object(), "{name}: the member {member} of a problem is not documented");
        }
    }
    let Some(operation) = operation else { return };
    let status = reply.status.as_u16().to_string();
    let mut place = operation.pointer(&format!("/responses/{status}"));
    if let Some(reference) = operation.description()["responses"][&status]["$ref"].as_str() {
        reference[1..].clone_into(&mut place);
    }
    let documented = DOCUMENT.pointer(&place).unwrap_or(&Value::Null);
    assert!(documented.is_object(), "{name}: status {status} is not documented: {reply:#?}");
    if let Some(code) = reply.json["code"].as_str().filter(|_| !reply.status.is_success()) {
        let codes = documented["x-codes"].as_array().unwrap_or_else(|| panic!("{name}: {status} lists no codes"));
        assert!(codes.contains(&code.into()), "{name}: the code {code} is not documented: {reply:#?}");
    }
    check_headers(documented, &place, reply, &name);
    let is_located = [StatusCode::CREATED, StatusCode::ACCEPTED].contains(&reply.status);
    if is_located && !SENDING_MAILS.contains(&operation.id.as_str()) {
        let location = reply.header("location");
        assert!(find(&Method::GET, location).is_some(), "{name}: nothing can be read at the location {location:?}");
    }
    match documented["content"].as_object() {
        None => assert_eq!(reply.text, "", "{name} has a body, but the document says there is none"),
        Some(_) if method == Method::HEAD => {}
        Some(content) => {
            let media_type = reply.header("content-type").split(';').next().unwrap_or_default();
            let documented = content.keys().find(|key| key.split(';').next() == Some(media_type));
            let documented = documented.unwrap_or_else(|| panic!("{name}: {media_type} is not documented"));
            let schema = format!("{place}/content/{}/schema", documented.replace('/', "~1"));
            let content = match media_type {
                "text/event-stream" => {
                    check_events(reply.text.clone(), operation.event_schema()).await;
                    return;
                }
                "text/markdown" | "text/csv" => reply.text.clone().into(),
                "application/x-ndjson" => {
                    for line in reply.text.lines() {
                        let line = serde_json::from_str(line).unwrap();
                        check_times(&line, &name);
                        // The objects of an export of many types have no schema in common.
                        if !is_text(&schema) {
                            check(&schema, &line, &name);
                        }
                    }
                    return;
                }
                _ => reply.json.clone(),
            };
            check(&schema, &content, &name);
            check_times(&content, &name);
        }
    }
}

/// Fails unless all times are in UTC with `Z` and six digits after the second. The payloads of jobs are shown as they are.
pub(super) fn check_times(value: &Value, name: &str) {
    match value {
        Value::String(text) => {
            let is_time = DateTime::parse_from_rfc3339(text).is_ok();
            let has_form = text.len() == "2026-11-27T14:00:00.000000Z".len() && text.ends_with('Z');
            assert!(!is_time || has_form, "{name}: the time {text}");
        }
        Value::Array(items) => items.iter().for_each(|item| check_times(item, name)),
        Value::Object(members) => {
            let members = members.iter().filter(|(member, _)| *member != "payload");
            members.for_each(|(_, value)| check_times(value, name));
        }
        _ => {}
    }
}

fn is_text(pointer: &str) -> bool {
    CONVERTED.pointer(pointer).is_some_and(|schema| schema["type"] == "string")
}

/// Headers that are about the response, and not about every response.
const HEADERS: [&str; 5] = ["content-disposition", "etag", "location", "retry-after", "www-authenticate"];

/// Fails unless the headers are documented, and sent as documented.
fn check_headers(documented: &Value, place: &str, reply: &Reply, name: &str) {
    let described: Vec<(&String, &Value)> = documented["headers"].as_object().into_iter().flatten().collect();
    for header in HEADERS.iter().filter(|header| !reply.header(header).is_empty()) {
        let is_described = described.iter().any(|(described, _)| described.eq_ignore_ascii_case(header));
        assert!(is_described, "{name}: {header} is not documented: {reply:#?}");
    }
    for (header, about) in described {
        let value = reply.header(header);
        assert!(about["required"] != true || !value.is_empty(), "{name}: there is no {header}");
        if !value.is_empty() {
            check(&format!("{place}/headers/{header}/schema"), &typed(value, &about["schema"]), name);
        }
    }
}

/// Fails unless `value` matches the schema at `pointer` in the document.
#[track_caller]
pub(crate) fn check(pointer: &str, value: &Value, name: &str) {
    static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);
    let cached = VALIDATORS.lock().unwrap().get(pointer).cloned();
    let validator = cached.unwrap_or_else(|| {
        let schema = CONVERTED.pointer(pointer).unwrap_or_else(|| panic!("no schema at {pointer}"));
        let schema = json!({"allOf": [schema], "components": CONVERTED["components"]});
        let validator = jsonschema::options()
            .with_draft(jsonschema::Draft::Draft7)
            .should_validate_formats(true)
            .build(&schema)
            .unwrap_or_else(|error| panic!("{pointer}: {error}"));
        let validator = Arc::new(validator);
        VALIDATORS.lock().unwrap().insert(pointer.to_owned(), Arc::clone(&validator));
        validator
    });
    let mut errors: Vec<String> =
        validator.iter_errors(value).map(|error| format!("{} at {}", error, error.instance_path())).collect();
    errors.extend(strict::faults(DOCUMENT.pointer(pointer).unwrap(), value));
    assert!(errors.is_empty(), "{name} does not fit the document ({pointer}): {errors:#?}\n{value:#}");
}
