//! Request bodies: every fault is reported with its position, and every body that matches the document is accepted.

use chrono::DateTime;
use poem::http::Method;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::contract::{path_of, resolved};
use crate::support::contract::operations;
use crate::support::{Actor, Reply, TestApp};

async fn create_project(anna: &Actor, body: &str) -> Reply {
    let call = anna.call(Method::POST, "/v1/projects").header("Content-Type", "application/json");
    call.raw(body).invalid().await.expect(422).problem("invalid_body")
}

#[tokio::test]
async fn every_fault_is_told_in_the_order_of_the_body() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let body = r#"{
        "project_url": "ftp://x.example",
        "title": "",
        "summary": 5,
        "title": "",
        "cover_ulr": null,
        "description": "a\u001bb",
        "\u0000": 1
    }"#;
    create_project(&anna, body).await.blames(&[
        ("/project_url", "malformed"),
        ("/title", "duplicate"),
        ("/title", "too_short"),
        ("/summary", "wrong_type"),
        ("/cover_ulr", "unknown"),
        ("/description", "control_character"),
        ("/\0", "nul_character"),
        ("/\0", "unknown"),
    ]);
    let reply = create_project(&anna, r#"{"title": "x", "cover_ulr": null, "project_url": "x"}"#).await;
    let messages: Vec<&str> =
        reply.json["errors"].as_array().unwrap().iter().map(|error| error["message"].as_str().unwrap()).collect();
    assert_eq!(
        messages,
        [
            "There is no such member; is cover_url meant?",
            "An address that starts with http:// or https:// and has no spaces is expected.",
        ]
    );
}

#[tokio::test]
async fn what_is_too_much_to_read_is_refused_early() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let unknown: Vec<String> = (0..100).map(|number| format!("\"m{number}\": 1")).collect();
    let reply = create_project(&anna, &format!("{{{}}}", unknown.join(","))).await;
    assert_eq!(reply.json["errors"].as_array().unwrap().len(), 20);
    for (value, pointer, code) in [
        (format!("{}{}", "[".repeat(64), "]".repeat(64)), format!("/title{}", "/0".repeat(63)), "too_deep"),
        (format!("[{}0]", "0,".repeat(10_000)), String::new(), "too_many"),
        ("1e999".to_owned(), "/title".to_owned(), "too_large"),
        ("-1e999".to_owned(), "/title".to_owned(), "too_small"),
    ] {
        create_project(&anna, &format!("{{\"title\": {value}}}")).await.blames(&[(&pointer, code)]);
    }
}

/// What fits a schema but cannot be parsed is answered with 500.
#[tokio::test]
async fn bodies_that_fit_the_document_are_understood() {
    let app = TestApp::new().await;
    let admin = app.admin("admin").await;
    let mut runner = TestRunner::deterministic();
    for operation in operations() {
        let schema = &operation.description()["requestBody"]["content"]["application/json"]["schema"];
        if schema.is_null() {
            continue;
        }
        let parameters = operation.description()["parameters"].as_array();
        let names_a_version = parameters.into_iter().flatten().any(|parameter| parameter["name"] == "If-Match");
        let bodies = values(schema);
        for _ in 0..16 {
            let body = bodies.new_tree(&mut runner).unwrap().current();
            let mut call = admin.call(operation.method.clone(), &path_of(&operation)).json(body.clone());
            if names_a_version {
                call = call.header("If-Match", "\"1\"");
            }
            let reply = call.await;
            assert!(!reply.status.is_server_error(), "{}: {reply:?}\n{body:#}", operation.id);
        }
    }
    app.leave_jobs();
}

/// Values that fit a schema of the document.
pub(crate) fn values(schema: &Value) -> BoxedStrategy<Value> {
    let nullable = schema["nullable"] == true;
    let schema = resolved(schema);
    if let Some(alternatives) = schema["anyOf"].as_array() {
        return proptest::strategy::Union::new(alternatives.iter().map(values)).boxed();
    }
    let some = match schema["type"].as_str().unwrap() {
        "string" if schema["enum"].is_array() => {
            proptest::sample::select(schema["enum"].as_array().unwrap().clone()).boxed()
        }
        "string" => texts(schema).prop_map(Value::from).boxed(),
        "integer" => {
            let range = match schema["format"].as_str() {
                Some("int32") => i64::from(i32::MIN)..=i64::from(i32::MAX),
                Some("uint32") => 0..=i64::from(u32::MAX),
                _ => -(1 << 53)..=1 << 53,
            };
            let bound = |name: &str, other: i64| {
                schema[name].as_f64().map_or(other, |bound| bound.to_string().parse().unwrap())
            };
            let (least, most) = (bound("minimum", *range.start()), bound("maximum", *range.end()));
            let integers = prop_oneof![Just(least), Just(most), least..=most];
            (integers, any::<bool>())
                .prop_map(|(value, as_float)| {
                    let text = if as_float { format!("{value}.0") } else { value.to_string() };
                    serde_json::from_str(&text).unwrap()
                })
                .boxed()
        }
        "number" => {
            let bound = |name: &str, other: f64| schema[name].as_f64().unwrap_or(other);
            let (least, most) = (bound("minimum", -1e9), bound("maximum", 1e9));
            // Too small for `real`, and more digits than it has.
            let odd = [1e-46, f64::MIN_POSITIVE, 0.123_456_789_012_345_67].map(|number| number.clamp(least, most));
            prop_oneof![Just(least), Just(most), proptest::sample::select(odd.to_vec()), least..=most]
                .prop_map(Value::from)
                .boxed()
        }
        "boolean" => any::<bool>().prop_map(Value::from).boxed(),
        "array" => {
            vec(values(&schema["items"]), lengths(schema, "minItems", "maxItems", 3)).prop_map(Value::from).boxed()
        }
        "object" => members(schema),
        other => panic!("no values of type {other}"),
    };
    if nullable { prop_oneof![1 => Just(Value::Null), 3 => some].boxed() } else { some }
}

fn members(schema: &Value) -> BoxedStrategy<Value> {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let members: Vec<_> = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, schema)| {
            let is_required = required.contains(&json!(name));
            let name = name.clone();
            (values(schema), any::<bool>())
                .prop_map(move |(value, is_there)| (is_required || is_there).then(|| (name.clone(), value)))
        })
        .collect();
    members.prop_map(|members| members.into_iter().flatten().collect::<Map<_, _>>().into()).boxed()
}

fn texts(schema: &Value) -> BoxedStrategy<String> {
    match (schema["format"].as_str(), schema["pattern"].as_str()) {
        (Some("uuid"), _) => any::<u128>().prop_map(|number| Uuid::from_u128(number).to_string()).boxed(),
        (Some("date-time"), _) => {
            let usual =
                (0..4_000_000_000_i64).prop_map(|seconds| DateTime::from_timestamp(seconds, 0).unwrap().to_rfc3339());
            let odd = [
                "0001-01-01T00:00:00Z",
                "0001-01-01T00:00:00+23:59",
                "9999-12-31T23:59:59.999999999Z",
                "9999-12-31T23:59:59-23:59",
                "2026-06-30T23:59:60Z",
                "2026-03-01t12:00:00.1z",
            ];
            prop_oneof![usual, proptest::sample::select(odd.to_vec()).prop_map(str::to_owned)].boxed()
        }
        (Some(other), _) => panic!("no texts of format {other}"),
        (None, Some(pattern)) => {
            // Short repetitions, so that most texts have an allowed length.
            let pattern = pattern.trim_start_matches('^').trim_end_matches('$').replace(r"\S", "[a-zA-Z0-9é/?#.]");
            let pattern = pattern.replace(")*", "){0,2}").replace("]+", "]{1,8}");
            let lengths = lengths(schema, "minLength", "maxLength", 2000);
            proptest::string::string_regex(&pattern)
                .unwrap()
                .prop_filter("an allowed length", move |text| lengths.contains(&text.chars().count()))
                .boxed()
        }
        (None, None) => {
            let character = prop_oneof![4 => "[a-z ]", 1 => "[\t\n\r\u{a0}-\u{10ffff}]"];
            vec(character, lengths(schema, "minLength", "maxLength", 200)).prop_map(|parts| parts.concat()).boxed()
        }
    }
}

/// The shortest and the longest length, if that is not too long for a test, and any between.
fn lengths(schema: &Value, least: &str, most: &str, enough: usize) -> std::ops::RangeInclusive<usize> {
    let bound = |name: &str| schema[name].as_u64().map(|bound| usize::try_from(bound).unwrap());
    let least = bound(least).unwrap_or(0);
    least..=bound(most).unwrap_or(enough).min(least + enough)
}
