//! Adds the problems to the document: those that follow from an operation's form, and those its file declares.

use std::collections::{BTreeMap, HashMap};

use cairn_core::schema::FaultCode;
use serde_json::{Value, json};

use crate::operation::has_body;
use crate::problem::{CONTENT_TYPE, Code};

/// Adds the problem responses of one operation, and says in words which role it needs.
pub(super) fn add(method: &str, operation: &mut Value, declared: &HashMap<&str, &[Code]>) {
    let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
    let mut codes = derived(method, operation);
    codes.extend(declared.get(id.as_str()).into_iter().copied().flatten());
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in codes {
        let same_status = by_status.entry(code.status().as_u16()).or_default();
        if !same_status.contains(&code) {
            same_status.push(code);
        }
    }
    for (status, codes) in by_status {
        operation["responses"][status.to_string()] = match codes[..] {
            [code] => json!({"$ref": format!("#/components/responses/{}", code.name())}),
            _ => response(&codes),
        };
    }
    name_role(operation);
}

/// What an operation can answer because of what it takes.
fn derived(method: &str, operation: &Value) -> Vec<Code> {
    let mut codes = Vec::new();
    if operation["parameters"].as_array().is_some_and(|parameters| !parameters.is_empty()) {
        codes.push(Code::MalformedParameter);
    }
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        codes.extend(follow_from_parameter(parameter));
    }
    if operation["requestBody"].is_object() {
        codes.extend([Code::MalformedBody, Code::InvalidBody, Code::UnsupportedMediaType]);
    }
    if has_body(method) {
        codes.push(Code::BodyTooLarge);
    }
    match scheme(operation) {
        None => {}
        Some("signed_in") => codes.push(Code::Unauthorized),
        Some("member") => codes.extend([Code::Unauthorized, Code::EmailNotVerified]),
        Some("mentor") => codes.extend([Code::Unauthorized, Code::Forbidden, Code::EmailNotVerified]),
        // Admins need not verify their address.
        Some(_) => codes.extend([Code::Unauthorized, Code::Forbidden]),
    }
    codes.extend([Code::TooManyRequests, Code::Internal, Code::Unavailable]);
    codes
}

/// What a parameter can be answered with: an id can be unknown, a key used before, a version stale.
fn follow_from_parameter(parameter: &Value) -> Vec<Code> {
    let name = parameter["name"].as_str().unwrap_or_default();
    match name {
        "Idempotency-Key" => vec![Code::IdempotencyKeyReused],
        "If-Match" => vec![Code::PreconditionRequired, Code::VersionMismatch, Code::ResourceDeleted],
        // What a query names may be missing: then the list is empty.
        _ if parameter["in"] != "path" => Vec::new(),
        _ => {
            let not_found = name.strip_suffix("_id").map(|noun| format!("{noun}_not_found"));
            Code::ALL.iter().copied().filter(|code| Some(code.name()) == not_found.as_deref()).collect()
        }
    }
}

fn scheme(operation: &Value) -> Option<&str> {
    operation["security"][0].as_object()?.keys().next().map(String::as_str)
}

/// One scheme for all roles: what differs is the role the token's user must have.
fn name_role(operation: &mut Value) {
    let (name, role) = match scheme(operation) {
        None => {
            operation["security"] = json!([]);
            return;
        }
        Some("mentor") => ("mentor", Some("Requires the role mentor or admin.")),
        Some("admin") => ("admin", Some("Requires the role admin.")),
        Some(_) => ("student", None),
    };
    operation["x-required-role"] = name.into();
    if let Some(role) = role {
        let description =
            operation["description"].as_str().map_or_else(|| role.to_owned(), |d| format!("{d}\n\n{role}"));
        operation["description"] = description.into();
    }
    operation["security"] = json!([{"bearer": []}]);
}

fn response(codes: &[Code]) -> Value {
    let names: Vec<&str> = codes.iter().map(|code| code.name()).collect();
    let lines: Vec<String> = codes.iter().map(|code| format!("`{}`: {}", code.name(), code.title())).collect();
    let first = codes[0];
    let mut response = json!({
        "description": lines.join("; "),
        "x-codes": names,
        "content": {CONTENT_TYPE: {
            "schema": {"$ref": "#/components/schemas/Problem"},
            "example": {
                "type": format!("/problems/{}", first.name()),
                "title": first.title(),
                "status": first.status().as_u16(),
                "detail": first.detail(),
                "code": first.name(),
                "request_id": "0198c2f0-7a53-7cc1-9d2e-3f6b8a1c5d70",
            },
        }},
    });
    match first.status().as_u16() {
        401 => {
            response["headers"]["WWW-Authenticate"] = json!({
                "description": "`Bearer`, with an `error` if there was a token (RFC 6750).",
                "required": true,
                "schema": {"type": "string"},
            });
        }
        429 | 503 => {
            response["headers"]["Retry-After"] = json!({
                "description": "The time until a retry makes sense, in seconds.",
                "required": true,
                "schema": {"type": "integer", "format": "int32", "minimum": 1},
            });
        }
        _ => {}
    }
    response
}

/// Adds what the operations refer to: one response for each code, and the schemas of problems.
pub(super) fn declare(components: &mut Value) {
    let responses = Code::ALL.iter().map(|code| (code.name().to_owned(), response(&[*code])));
    components["responses"] = Value::Object(responses.collect());
    let schemas = &mut components["schemas"];
    schemas["FieldError"] = json!({
        "type": "object",
        "description": "What is wrong with one part of the request.",
        "required": ["code", "message"],
        "properties": {
            "pointer": {"type": "string", "description": "JSON pointer (RFC 6901) to the member of the body."},
            "parameter": {"type": "string", "description": "Name of the path, query or header parameter."},
            "code": {"type": "string", "description": format!(
                "The code of the error. If a body does not match its schema: {}. Operations may add others.",
                FaultCode::all().map(FaultCode::name).collect::<Vec<_>>().join(", "),
            )},
            "message": {"type": "string", "description": "What is wrong, in a sentence."},
        },
        "example": {"pointer": "/email", "code": "required", "message": "This member is required."},
    });
    schemas["MissingTask"] = json!({
        "type": "object",
        "description": "A required task that is not checked.",
        "required": ["task_id", "title"],
        "properties": {
            "task_id": {"type": "string", "format": "uuid", "description": "Identifies the task."},
            "title": {"type": "string", "description": "The title of the task."},
        },
        "example": {"task_id": "0198c2f0-7a53-7cc1-9d2e-3f6b8a1c5d70", "title": "Draw the layout on paper"},
    });
    schemas["Problem"] = json!({
        "type": "object",
        "description": "A problem document (RFC 9457).",
        "required": ["type", "title", "status", "detail", "code", "request_id"],
        "properties": {
            "type": {"type": "string", "format": "uri-reference", "description": "Identifies the kind of problem."},
            "title": {"type": "string", "description": "What the code means, the same in every answer."},
            "status": {"type": "integer", "format": "int32", "description": "The HTTP status."},
            "detail": {"type": "string", "description": "What is wrong with this request, in a sentence or two."},
            "code": {"type": "string", "description": "The code of the problem, which never changes its meaning."},
            "request_id": {"type": "string", "description": "Identifies the request in the logs; also in X-Request-Id."},
            "errors": {
                "type": "array",
                "description": "The parts of the request that are wrong, if they are known.",
                "items": {"$ref": "#/components/schemas/FieldError"},
            },
        },
        "example": {
            "type": "/problems/lesson_not_found",
            "title": "Lesson not found",
            "status": 404,
            "detail": "There is no published lesson with this id.",
            "code": "lesson_not_found",
            "request_id": "0198c2f0-7a53-7cc1-9d2e-3f6b8a1c5d70",
        },
    });
    for (name, mut schema, description, codes) in members() {
        let codes: Vec<String> = codes.iter().map(|code| format!("`{}`", code.name())).collect();
        schema["description"] = format!("{description} Only with {}.", codes.join(", ")).into();
        schemas["Problem"]["properties"][name] = schema;
    }
}

/// What a client acts on, with the codes that it comes with.
fn members() -> [(&'static str, Value, &'static str, &'static [Code]); 17] {
    let (integer, text) = (json!({"type": "integer", "format": "int64", "minimum": 0}), json!({"type": "string"}));
    let list = |of: &str| json!({"type": "array", "items": {"$ref": format!("#/components/schemas/{of}")}});
    [
        ("locked_by", list("MissingStage"), "The stages that must be completed first.", &[Code::StageLocked]),
        ("missing_tasks", list("MissingTask"), "The required tasks that are not checked.", &[Code::TasksIncomplete]),
        (
            "limit",
            integer.clone(),
            "How many there may be.",
            &[
                Code::BudgetExceeded,
                Code::CollectionFull,
                Code::LimitReached,
                Code::QuotaExceeded,
                Code::TooManyOpenReplies,
                Code::TooManyTryouts,
            ],
        ),
        (
            "resets_at",
            json!({"type": "string", "format": "date-time", "nullable": true}),
            "When the next question can be asked; null if no question may be asked at all.",
            &[Code::BudgetExceeded, Code::QuotaExceeded],
        ),
        (
            "budget_scope",
            json!({"type": "string", "enum": ["learner", "assistant", "tz_helper", "ideas", "platform"]}),
            "Whose budget it is: yours (`learner`), that of a tool, or that of the platform.",
            &[Code::BudgetExceeded],
        ),
        (
            "budget_period",
            json!({"type": "string", "enum": ["day", "month"]}),
            "How long the budget lasts, by the days and months of UTC.",
            &[Code::BudgetExceeded],
        ),
        (
            "budget_unit",
            json!({"type": "string", "enum": ["tokens", "cost_micros"]}),
            "What the budget is counted in: tokens, or millionths of the platform's currency.",
            &[Code::BudgetExceeded],
        ),
        (
            "evaluation_id",
            json!({"type": "string", "format": "uuid"}),
            "Identifies the evaluation.",
            &[Code::EvaluationFallen, Code::EvaluationRequired],
        ),
        ("passed_count", integer.clone(), "How many questions the version answers well.", &[Code::EvaluationFallen]),
        (
            "baseline_passed_count",
            integer.clone(),
            "How many questions the active version answers well.",
            &[Code::EvaluationFallen],
        ),
        ("current_version", integer.clone(), "The version that the resource has now.", &[Code::VersionMismatch]),
        (
            "project_status",
            json!({"type": "string", "enum": ["draft", "submitted", "published", "rejected"]}),
            "The present status of the project.",
            &[Code::ProjectState],
        ),
        ("dependents_type", text.clone(), "The kind of what belongs to the resource.", &[Code::ResourceInUse]),
        ("dependents_count", integer.clone(), "How many belong to the resource.", &[Code::ResourceInUse]),
        ("parent_type", text, "The kind of what the resource belongs to.", &[Code::ParentDeleted]),
        ("missing_count", integer.clone(), "How many are missing from the order.", &[Code::OrderMismatch]),
        ("unexpected_count", integer, "How many are not in the list, or are repeated.", &[Code::OrderMismatch]),
    ]
}
