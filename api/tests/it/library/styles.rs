//! Style cards.

use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::crud::{Case, crud_contract};

fn style(n: usize) -> Value {
    json!({
        "slug": format!("style-{n}"),
        "title": format!("Style {n}"),
        "category": "brutalist",
        "tags": ["bold"],
    })
}

#[tokio::test]
async fn style_cards_are_edited_like_every_resource() {
    let app = TestApp::new().await;
    let too_many: Vec<String> = (0..21).map(|n| format!("tag-{n}")).collect();
    let case = Case {
        noun: "style",
        path: "/v1/admin/styles",
        learners: Some("/v1/styles"),
        body: style,
        unique: "slug",
        changed: ("title", json!("Soft brutalism")),
        cleared: Some(("preview_url", json!("https://pictures.example/soft.png"))),
        refused: vec![
            (json!({"slug": "Not a slug"}), vec![("/slug", "malformed")]),
            (json!({"title": ""}), vec![("/title", "too_short")]),
            (json!({"title": "x".repeat(201)}), vec![("/title", "too_long")]),
            (json!({"category": "ugly"}), vec![("/category", "not_allowed")]),
            (json!({"tags": too_many}), vec![("/tags", "too_many")]),
            (json!({"tags": [""]}), vec![("/tags/0", "too_short")]),
            (json!({"preview_url": "ftp://x"}), vec![("/preview_url", "malformed")]),
            (json!({"description": "a\u{0}b"}), vec![("/description", "nul_character")]),
            (json!({"position": 2_147_483_648_i64}), vec![("/position", "too_large")]),
        ],
        ordered: true,
    };
    crud_contract(&app, case).await;
}

#[tokio::test]
async fn learners_filter_style_cards_and_see_summaries_in_lists() {
    let app = TestApp::new().await;
    let (admin, anna) = (app.admin("root").await, app.student("anna").await);
    for (n, category, tags) in
        [(1, "retro", json!(["warm", "grain"])), (2, "retro", json!(["warm"])), (3, "minimal", json!([]))]
    {
        let mut body = style(n);
        body["category"] = category.into();
        body["tags"] = tags;
        let id = admin.post("/v1/admin/styles", body).await.expect(201).json["id"].as_str().unwrap().to_owned();
        let publish = admin.call(poem::http::Method::POST, &format!("/v1/admin/styles/{id}/publish"));
        publish.header("If-Match", "\"1\"").await.expect(200);
    }
    let slugs = async |query: &str| -> Vec<String> {
        let page = anna.get(&format!("/v1/styles{query}")).await.expect(200).json;
        page["items"].as_array().unwrap().iter().map(|item| item["slug"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(slugs("").await, ["style-1", "style-2", "style-3"]);
    assert_eq!(slugs("?category=retro").await, ["style-1", "style-2"]);
    assert_eq!(slugs("?tag=warm").await, ["style-1", "style-2"]);
    assert_eq!(slugs("?tag=warm&tag=grain").await, ["style-1"]);
    assert_eq!(slugs("?tag=warm&category=minimal").await, [""; 0]);
    let list = anna.get("/v1/styles").await.expect(200).json;
    assert!(list["items"][0].get("prompt").is_none() && list["items"][0].get("description").is_none());
    app.run_jobs().await;
}

#[tokio::test]
async fn uses_are_counted_once_each_and_do_not_change_the_version() {
    let app = TestApp::new().await;
    let (admin, anna) = (app.admin("root").await, app.student("anna").await);
    let id = admin.post("/v1/admin/styles", style(1)).await.expect(201).json["id"].as_str().unwrap().to_owned();
    let uses = format!("/v1/styles/{id}/uses");
    anna.call(poem::http::Method::POST, &uses).await.expect(404).problem("style_not_found");
    let publish = admin.call(poem::http::Method::POST, &format!("/v1/admin/styles/{id}/publish"));
    publish.header("If-Match", "\"1\"").await.expect(200);
    for _ in 0..5 {
        anna.call(poem::http::Method::POST, &uses).await.expect(204);
    }
    assert_eq!(app.count("SELECT usage_count::bigint FROM style_cards").await, 0, "no request writes the shared row");
    app.run_jobs().await;
    assert_eq!(anna.get(&format!("/v1/styles/{id}")).await.expect(200).json["usage_count"], 5);
    anna.call(poem::http::Method::POST, &uses).await.expect(204);
    app.run_jobs().await;
    let style = admin.get(&format!("/v1/admin/styles/{id}")).await.expect(200);
    assert_eq!((&style.json["usage_count"], style.header("etag")), (&json!(6), "\"2\""));
    assert_eq!(app.count("SELECT count(*) FROM activity_log WHERE action = 'style.used'").await, 6);
}
