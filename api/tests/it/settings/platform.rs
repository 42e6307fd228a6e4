//! Platform settings: who sees which, and how admins change them.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Barrier;
use uuid::Uuid;

use crate::support::{Actor, Reply, TestApp};

const QUESTIONS: &str = "/v1/admin/settings/ai.daily_questions";

async fn set(admin: &Actor, path: &str, version: &str, value: Value) -> Reply {
    admin.put(path).json(json!({ "value": value })).header("If-Match", version).await
}

#[tokio::test]
async fn every_setting_is_listed_with_its_schema_and_default() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    let list = admin.get("/v1/admin/settings").await.expect(200).json;
    let items = list["items"].as_array().unwrap();
    assert!(items.len() >= 15, "{list:#}");
    for item in items {
        assert!(!item["description"].as_str().unwrap().is_empty());
        assert!(jsonschema::is_valid(&item["schema"], &item["default"]), "{item:#}");
        assert_eq!((&item["value"], &item["is_default"]), (&item["default"], &json!(true)), "{item:#}");
        assert_eq!(
            (&item["version"], &item["updated_at"], &item["updated_by"]),
            (&json!(1), &Value::Null, &Value::Null)
        );
        let one = admin.get(&format!("/v1/admin/settings/{}", item["key"].as_str().unwrap())).await.expect(200);
        assert_eq!((&one.json, one.header("etag")), (item, "\"1\""));
    }
}

#[tokio::test]
async fn a_setting_is_changed_reset_and_recorded() {
    let app = TestApp::new().await;
    let (admin, anna) = (app.admin("root").await, app.student("anna").await);
    let changed = set(&admin, QUESTIONS, "\"1\"", json!(7)).await.expect(200);
    assert_eq!(
        (changed.header("etag"), &changed.json["value"], &changed.json["is_default"]),
        ("\"2\"", &json!(7), &json!(false))
    );
    assert_eq!(changed.json["updated_by"], json!(admin.id));
    assert_eq!(anna.get("/v1/settings").await.expect(200).json["limits"]["daily_questions"], 7);
    assert_eq!(anna.get("/v1/tools").await.expect(200).json["quota"]["limit"], 7, "it applies at once in this process");

    set(&admin, QUESTIONS, "\"1\"", json!(8)).await.expect(412).problem("version_mismatch");
    let same = set(&admin, QUESTIONS, "\"2\"", json!(7)).await.expect(200);
    assert_eq!(same.json, changed.json, "a change to what is so already is none");
    let reset = admin.delete(QUESTIONS).header("If-Match", "\"2\"").await.expect(200);
    assert_eq!(
        (reset.header("etag"), &reset.json["value"], &reset.json["is_default"]),
        ("\"3\"", &json!(50), &json!(true))
    );
    let again = admin.delete(QUESTIONS).header("If-Match", "\"3\"").await.expect(200);
    assert_eq!(again.json, reset.json);
    assert_eq!(anna.get("/v1/settings").await.expect(200).json["limits"]["daily_questions"], 50);

    app.run_jobs().await;
    let rows: Vec<(String, Uuid, String, Value)> = sqlx::query_as(
        "SELECT action, actor_id, target_title, metadata FROM activity_log WHERE target_type = 'setting' ORDER BY occurred_at, id",
    )
    .fetch_all(app.app.pool())
    .await
    .unwrap();
    let row = |action: &str, before: Value, after: Value| {
        let details = json!({ "before": before, "after": after });
        (action.to_owned(), admin.id, "ai.daily_questions".to_owned(), details)
    };
    let (default, seven) = (json!({"value": 50, "is_default": true}), json!({"value": 7, "is_default": false}));
    let expected = [row("setting.updated", default.clone(), seven.clone()), row("setting.reset", seven, default)];
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn a_value_that_a_setting_cannot_have_is_refused_with_its_place() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    for (key, value, place, code) in [
        ("ai.daily_questions", json!(-1), "/value", "too_small"),
        ("ai.daily_questions", json!(1_000_001), "/value", "too_large"),
        ("ai.daily_questions", json!("5"), "/value", "wrong_type"),
        ("registration.mode", json!("nobody"), "/value", "not_allowed"),
        ("navigation.styles", json!("yes"), "/value", "wrong_type"),
        ("features.enabled", json!(["fine", "Not fine"]), "/value/1", "malformed"),
        ("features.enabled", json!(["a", "a"]), "/value", "duplicate"),
    ] {
        let path = format!("/v1/admin/settings/{key}");
        let refused = set(&admin, &path, "\"1\"", value).await.expect(422).problem("invalid_body");
        refused.blames(&[(place, code)]);
    }
    for key in ["ai.no_such_setting", "nothing.here"] {
        let path = format!("/v1/admin/settings/{key}");
        admin.get(&path).await.expect(404).problem("setting_not_found");
        set(&admin, &path, "\"1\"", json!(1)).await.expect(404).problem("setting_not_found");
        admin.delete(&path).header("If-Match", "\"1\"").await.expect(404).problem("setting_not_found");
    }
    admin.get("/v1/admin/settings/AI").invalid().await.expect(400).problem("malformed_parameter");
    admin.put(QUESTIONS).json(json!({"value": 5})).invalid().await.expect(428).problem("precondition_required");
    assert_eq!(app.count("SELECT count(*) FROM platform_settings WHERE version > 1").await, 0, "nothing was changed");
}

/// The first change of a setting has no row to lock.
#[tokio::test]
async fn of_two_admins_who_change_a_setting_at_once_one_is_told() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    let (path, barrier) = ("/v1/admin/settings/navigation.search", Arc::new(Barrier::new(2)));
    let change = |value: bool| {
        let (admin, barrier) = (admin.clone(), Arc::clone(&barrier));
        async move {
            barrier.wait().await;
            set(&admin, path, "\"1\"", json!(value)).await.status.as_u16()
        }
    };
    let (one, two) = tokio::join!(tokio::spawn(change(true)), tokio::spawn(change(false)));
    let mut statuses = [one.unwrap(), two.unwrap()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);
    app.run_jobs().await;
}

#[tokio::test]
async fn front_ends_see_what_they_need_and_no_more() {
    let app = TestApp::new().await;
    let (admin, anna) = (app.admin("root").await, app.student("anna").await);
    app.get("/v1/settings").await.expect(401).problem("unauthorized");
    for (key, value) in [
        ("navigation.prompts", json!(false)),
        ("features.enabled", json!(["new_editor"])),
        ("projects.moderation", json!("on")),
        ("ai.max_message_chars", json!(100)),
    ] {
        set(&admin, &format!("/v1/admin/settings/{key}"), "\"1\"", value).await.expect(200);
    }
    assert_eq!(
        anna.get("/v1/settings").await.expect(200).json,
        json!({
            "navigation": {
                "styles": true, "glossary": true, "prompts": false, "projects": true, "tools": true, "search": true,
            },
            "features": ["new_editor"],
            "limits": {"daily_questions": 50, "max_message_chars": 100, "open_replies": 2},
            "is_moderated": true,
        })
    );
    app.run_jobs().await;
}

#[tokio::test]
async fn a_value_that_was_written_by_hand_and_makes_no_sense_is_the_default() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    sqlx::query("UPDATE platform_settings SET value = '-5' WHERE key = 'ai.daily_questions'")
        .execute(app.app.pool())
        .await
        .unwrap();
    assert_eq!(anna.get("/v1/settings").await.expect(200).json["limits"]["daily_questions"], 50);
}
