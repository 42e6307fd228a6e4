//! Every example of a body in the document does what it says.

use cairn_api::Code;
use serde_json::Value;
use uuid::Uuid;

use super::AREAS;
use super::school::{School, operation};
use super::table::Row;
use crate::support::contract::DOCUMENT;

/// Examples that name a secret, which nobody has, and the problem that they get.
const SECRETS: [(&str, Code); 5] = [
    ("login", Code::InvalidCredentials),
    ("refreshSession", Code::InvalidRefreshToken),
    ("register", Code::InviteNotFound),
    ("resetPassword", Code::InvalidResetToken),
    ("verifyEmail", Code::InvalidVerificationToken),
];

/// The setting that examples are about.
const SETTING: &[(&str, &str)] = &[("key", "ai.daily_questions")];

#[tokio::test]
async fn every_example_of_a_body_does_what_it_says() {
    let mut school = School::new(2).await;
    let mut faults = Vec::new();
    let rows = AREAS.iter().flat_map(|rows| rows.iter()).filter(|row| row.refusal(row.access.first()).is_none());
    let mut seen: Vec<&str> = Vec::new();
    for row in rows {
        let schema = &operation(row.operation).description()["requestBody"]["content"]["application/json"]["schema"];
        if schema.is_null() || seen.contains(&row.operation) {
            continue;
        }
        seen.push(row.operation);
        let who = row.access.first();
        let own = school.body(row, who).await.unwrap_or_default();
        let body = with_ids(&example(schema), &own);
        let given = if row.operation == "updateSetting" { SETTING } else { row.given };
        let call = school.call(&Row { body: None, given, ..*row }, who).await;
        let reply = call.json(body.clone()).await;
        let expected = SECRETS.iter().find(|(operation, _)| *operation == row.operation).map(|(_, code)| code.name());
        let is_right = match expected {
            Some(code) => reply.json["code"] == code,
            None => reply.status.is_success(),
        };
        if !is_right {
            faults.push(format!("{} with {body} gets {} {}", row.operation, reply.status, reply.text));
        }
        school.restore().await;
    }
    assert!(seen.len() > 40, "{}", seen.len());
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

fn example(schema: &Value) -> Value {
    let reference = schema["$ref"].as_str().expect("a body has a schema with a name");
    DOCUMENT.pointer(&reference[1..]).unwrap()["example"].clone()
}

/// The example with the ids of the school, where another body of the operation has them, or without: those in the document
/// exist nowhere.
pub(super) fn with_ids(example: &Value, own: &Value) -> Value {
    match example {
        Value::Object(members) => {
            let known =
                members.iter().filter(|(name, member)| !member.is_string() || !has_id(member) || !own[*name].is_null());
            known.map(|(name, member)| (name.clone(), with_ids(member, &own[name]))).collect()
        }
        Value::Array(items) if !own.is_null() && items.iter().any(has_id) => own.clone(),
        Value::Array(items) => items.iter().map(|item| with_ids(item, &Value::Null)).collect(),
        example if has_id(example) && !own.is_null() => own.clone(),
        example => example.clone(),
    }
}

fn has_id(value: &Value) -> bool {
    match value {
        Value::String(text) => Uuid::try_parse(text).is_ok(),
        Value::Array(items) => items.iter().any(has_id),
        Value::Object(members) => members.values().any(has_id),
        _ => false,
    }
}
