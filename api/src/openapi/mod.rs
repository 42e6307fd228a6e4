//! The OpenAPI document: what poem knows of the operations, plus the problems they can answer with.

mod bodies;
mod components;
mod examples;
mod json;
mod json_schema;
mod parameters;
mod problems;
mod samples;
mod shape;
mod v31;

use std::collections::{BTreeSet, HashMap};
use std::marker::PhantomData;
use std::sync::LazyLock;

use poem::endpoint::BoxEndpoint;
use poem::http::Method;
use poem_openapi::registry::{MetaApi, Registry};
use poem_openapi::{OpenApi, OpenApiService};
use serde_json::{Map, Value, json};

use self::json::{object, object_mut};
use crate::answers::MAX_IF_NONE_MATCH;
use crate::contract::{Contract, Pattern};
use crate::routes::{self, Resources};

const DESCRIPTION: &str = "\
Cairn is an online-course platform: learners follow roadmaps of stages of lessons, publish projects and ask AI tools.

**Signing in.** `POST /v1/auth/login` gives an access token for 15 minutes (send it as `Authorization: Bearer …`) and a \
refresh token, which `POST /v1/auth/refresh` exchanges for the next pair.

**Errors** are problem documents (RFC 9457, `application/problem+json`). Branch on `code`; each operation lists the \
codes it can answer with. Every answer has an `X-Request-Id`.

**Bodies** have the documented members and no others, each once. Texts contain no control characters except tab, newline \
and carriage return.

**Lists** are paged: send `next_cursor` back as `cursor` until it is null.

**Retries.** `GET`, `PUT` and `DELETE` can be repeated. So can a `POST` with the same `Idempotency-Key`, which creates \
nothing twice. After 429 and 503 wait as long as `Retry-After` says.

**Versions.** Operations, optional parameters, members of answers and codes are added at any time, so ignore what you do not \
know. Any other change raises the minor version before 1.0, and the major version afterwards. An operation is marked \
`deprecated` in a release before the one that removes it. [Changes](/guides/changes) lists them all.

**Times** are RFC 3339. Those in answers are in UTC with `Z` and six digits after the second, such as \
`2026-11-27T14:00:00.000000Z`, so they can be compared as texts. Those in requests are in the years 1 to 9999, in UTC.";

/// The document is the same for every app of this program.
pub(crate) static CONTRACT: LazyLock<Contract> = LazyLock::new(|| {
    let document = document();
    let (mut paths, mut patterns) = (HashMap::new(), HashMap::new());
    for (path, item) in object(&document["paths"]) {
        let mut allowed = BTreeSet::new();
        for (method, operation) in object(item) {
            allowed.insert(method.to_uppercase());
            if method == "get" {
                allowed.insert("HEAD".to_owned());
            }
            paths.insert(operation["operationId"].as_str().unwrap_or_default().to_owned(), path.clone());
        }
        let methods = allowed.into_iter().collect::<Vec<_>>().join(", ");
        let parameters = path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
        let pattern = Pattern { methods, parameters: parameters.map(str::to_owned).collect() };
        patterns.insert(router_pattern(path), pattern);
    }
    let bodies = bodies::compile(&document);
    let parameters = parameters::all(&document);
    Contract { parameters, json: format!("{:#}\n", published(&document)), document, paths, patterns, bodies }
});

/// The document as others read it. We look up parameters where they are.
fn published(document: &Value) -> Value {
    let mut published = document.clone();
    components::share_parameters(&mut published);
    published
}

/// The document as committed (`openapi.json`) and served (`/openapi.json`). Needs no database.
pub fn openapi_json() -> String {
    CONTRACT.json.clone()
}

/// The document as OpenAPI 3.1, as served (`/openapi-3.1.json`). Needs no database.
pub fn openapi_31_json() -> String {
    format!("{:#}\n", v31::derive(&published(&CONTRACT.document)))
}

/// The document with its schemas in the form of JSON Schema, for checking requests and responses.
pub fn openapi_as_json_schema() -> Value {
    let mut document = CONTRACT.document.clone();
    json_schema::convert(&mut document);
    document
}

/// The operations without an app to run them on.
struct Described<T>(PhantomData<T>);

impl<T: OpenApi> OpenApi for Described<T> {
    fn meta() -> Vec<MetaApi> {
        T::meta()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn add_routes(self, _: &mut HashMap<String, HashMap<Method, BoxEndpoint<'static>>>) {}
}

fn document() -> Value {
    let service = OpenApiService::new(Described::<Resources>(PhantomData), "Cairn", env!("CARGO_PKG_VERSION"))
        .description(DESCRIPTION)
        .server("/")
        .url_prefix("/v1");
    let mut document: Value = serde_json::from_str(&service.spec()).unwrap_or_default();
    let declared: HashMap<_, _> = routes::problems().copied().collect();
    for (_, item) in object_mut(&mut document["paths"]) {
        for (method, operation) in object_mut(item) {
            describe_parameters(operation);
            if let Some(body) = operation.get_mut("requestBody") {
                tidy_media_types(body);
            }
            for (_, response) in object_mut(&mut operation["responses"]) {
                tidy_media_types(response);
                tidy_headers(response);
            }
            describe_conditional_read(operation);
            problems::add(method, operation, &declared);
        }
    }
    problems::declare(&mut document["components"]);
    document["components"]["securitySchemes"] = json!({"bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token, from register, login or refreshSession. It is issued and checked as RFC8725 \
            recommends: one algorithm, and its issuer, audience and expiry.",
    }});
    shape::single_references(&mut document);
    for (name, schema) in object_mut(&mut document["components"]["schemas"]) {
        // Problems leave out what they do not have.
        if !["Problem", "FieldError"].contains(&name.as_str()) {
            allow_null(schema);
        }
    }
    bodies::close(&mut document);
    components::share_choices(&mut document);
    shape::shape(&mut document);
    examples::add(&mut document["components"]["schemas"]);
    document
}

/// poem puts what a parameter type says of itself into the schema; tools look beside it. Examples would be sent by
/// Swagger UI as they are, and what equals the default of OpenAPI need not be said.
fn describe_parameters(operation: &mut Value) {
    let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten() {
        let schema = parameter["schema"].as_object_mut();
        let said = schema.and_then(|schema| {
            schema.shift_remove("example");
            schema.shift_remove("description")
        });
        let Some(parameter) = parameter.as_object_mut() else { continue };
        if let Some(said) = said.filter(|_| !parameter.contains_key("description")) {
            parameter.insert("description".to_owned(), said);
        }
        let in_query = parameter.get("in") == Some(&json!("query"));
        parameter.retain(|member, value| match member.as_str() {
            "deprecated" | "required" => *value != json!(false),
            "explode" => *value != json!(in_query),
            "example" => false,
            _ => true,
        });
    }
}

/// The edge reads `If-None-Match` for all operations that can answer with 304.
fn describe_conditional_read(operation: &mut Value) {
    if operation["responses"]["304"].is_null() {
        return;
    }
    let parameter = json!({
        "name": "If-None-Match",
        "in": "header",
        "description": "The `ETag` of an answer that you have: 304 says that it is still right.",
        "schema": {"type": "string", "maxLength": MAX_IF_NONE_MATCH},
    });
    match operation["parameters"].as_array_mut() {
        Some(parameters) => parameters.push(parameter),
        None => operation["parameters"] = json!([parameter]),
    }
}

/// `application/json; charset=utf-8` is `application/json` to most tools.
fn tidy_media_types(with_content: &mut Value) {
    if let Some(content) = with_content.get_mut("content").and_then(Value::as_object_mut) {
        let tidied = std::mem::take(content).into_iter();
        *content =
            tidied.map(|(kind, schema)| (kind.split(';').next().unwrap_or_default().to_owned(), schema)).collect();
    }
}

/// What equals the default of OpenAPI need not be said.
fn tidy_headers(response: &mut Value) {
    for header in response.get_mut("headers").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        if let Some(header) = header.as_object_mut() {
            header.retain(|member, value| member != "deprecated" || *value != json!(false));
        }
    }
}

/// An `Option` is written as null and may be sent as null. poem says only that it is not required.
fn allow_null(schema: &mut Value) {
    let required: Vec<Value> = schema["required"].as_array().cloned().unwrap_or_default();
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (name, property) in properties.into_iter().flatten() {
        // Generators make a member with a default required.
        let default = property.as_object_mut().and_then(|property| property.shift_remove("default"));
        // A member of changes (`params::Changes`) may be left out, but not null. If it is, nothing changes: a default of
        // its type means nothing.
        if property.as_object_mut().and_then(|property| property.shift_remove("writeOnly")).is_some() {
            continue;
        }
        if let Some(default) = default {
            let description = property["description"].as_str().unwrap_or_default();
            property["description"] = format!("{description} Default: `{default}`.").trim().into();
        }
        if !required.contains(&Value::from(name.as_str())) {
            if property["$ref"].is_string() {
                *property = json!({"allOf": [property.take()]});
            }
            property["nullable"] = true.into();
        }
    }
}

/// `/v1/lessons/{lesson_id}` is `/v1/lessons/:param0` for the router.
fn router_pattern(path: &str) -> String {
    let mut count = 0;
    let segments = path.split('/').map(|segment| {
        if !segment.starts_with('{') {
            return segment.to_owned();
        }
        count += 1;
        format!(":param{}", count - 1)
    });
    segments.collect::<Vec<_>>().join("/")
}
