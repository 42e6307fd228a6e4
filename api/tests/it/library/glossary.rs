//! The glossary.

use serde_json::{Value, json};

use super::{create, listed, one_of_many_is_created, publish};
use crate::support::crud::{Case, crud_contract};
use crate::support::{Actor, TestApp};

const PATH: &str = "/v1/admin/glossary";

fn term(n: usize) -> Value {
    json!({ "slug": format!("term-{n}"), "term": format!("Term {n}"), "definition": "What it means.", "tags": ["css"] })
}

#[tokio::test]
async fn terms_are_edited_like_every_resource() {
    let app = TestApp::new().await;
    let case = Case {
        noun: "term",
        path: PATH,
        learners: Some("/v1/glossary"),
        body: term,
        unique: "slug",
        changed: ("term", json!("Cascade")),
        cleared: Some(("category", json!("layout"))),
        refused: vec![
            (json!({"slug": "Not a slug"}), vec![("/slug", "malformed")]),
            (json!({"term": ""}), vec![("/term", "too_short")]),
            (json!({"term": "x".repeat(201)}), vec![("/term", "too_long")]),
            (json!({"category": "Вёрстка"}), vec![("/category", "malformed")]),
            (json!({"definition": ""}), vec![("/definition", "too_short")]),
            (json!({"definition": "x".repeat(5001)}), vec![("/definition", "too_long")]),
            (json!({"definition": null}), vec![("/definition", "wrong_type")]),
            (json!({"tags": ["x".repeat(51)]}), vec![("/tags/0", "too_long")]),
            (json!({"position": 1}), vec![("/position", "unknown")]),
        ],
        ordered: false,
    };
    crud_contract(&app, case).await;
}

/// Adds published terms, each with its category and tags.
async fn add(admin: &Actor, terms: &[(&str, Option<&str>, &[&str])]) {
    for (n, (text, category, tags)) in terms.iter().enumerate() {
        let body = json!({
            "slug": format!("added-{n}"), "term": text, "category": category, "tags": tags,
            "definition": "d".repeat(5000),
        });
        let created = create(admin, PATH, body).await;
        publish(admin, PATH, &created).await;
    }
}

#[tokio::test]
async fn learners_find_terms_by_letter_category_and_tag() {
    let app = TestApp::new().await;
    let (admin, anna) = (app.admin("root").await, app.student("anna").await);
    add(
        &admin,
        &[
            ("Якорь", Some("html"), &["ссылки"]),
            ("API", Some("web"), &["http", "rest"]),
            ("ёлочки", None, &[]),
            ("accessibility", None, &["http"]),
            ("яблоко", None, &[]),
            ("Енот", Some("web"), &[]),
            ("%", None, &[]),
            ("Éclair", None, &[]),
        ],
    )
    .await;
    let terms = async |query: &str| listed(&anna, &format!("/v1/glossary{query}"), "term").await;
    // The letter ё counts as е, and л comes before н.
    assert_eq!(terms("").await, ["%", "accessibility", "API", "Éclair", "ёлочки", "Енот", "яблоко", "Якорь"]);
    for (letter, expected) in [
        ("a", &["accessibility", "API"][..]),
        ("A", &["accessibility", "API"]),
        ("%D1%8F", &["яблоко", "Якорь"]),
        ("%D0%AF", &["яблоко", "Якорь"]),
        ("%D0%B5", &["ёлочки", "Енот"]),
        ("%D1%91", &["ёлочки", "Енот"]),
        ("%D0%81", &["ёлочки", "Енот"]),
        ("%C3%A9", &["Éclair"]),
        ("%25", &["%"]),
        ("_", &[]),
        ("z", &[]),
    ] {
        assert_eq!(terms(&format!("?initial={letter}")).await, expected, "{letter}");
    }
    assert_eq!(terms("?category=web").await, ["API", "Енот"]);
    assert_eq!(terms("?category=web&initial=a").await, ["API"]);
    assert_eq!(terms("?tag=http").await, ["accessibility", "API"]);
    assert_eq!(terms("?tag=http&tag=rest").await, ["API"]);
    assert_eq!(terms("?tag=http&category=html").await, [""; 0]);
    for (query, parameter, code) in [
        ("initial=ab", "initial", "too_long"),
        ("initial=", "initial", "too_short"),
        ("category=x", "category", "too_short"),
    ] {
        let call = anna.get(&format!("/v1/glossary?{query}")).invalid();
        call.await.expect(400).problem("malformed_parameter").blames(&[(parameter, code)]);
    }
    let item = anna.get("/v1/glossary").await.expect(200).json["items"][0].clone();
    assert_eq!(item["summary"].as_str().unwrap().len(), 300);
    assert!(item.get("definition").is_none(), "{item}");
    app.run_jobs().await;
}

#[tokio::test]
async fn pages_go_through_long_terms_of_any_script() {
    let app = TestApp::new().await;
    let (admin, anna) = (app.admin("root").await, app.student("anna").await);
    let texts: Vec<String> = (0..7).map(|n| format!("{}{n}", "Щ".repeat(199))).collect();
    let others = ["𝒳".repeat(200), "\"\\".repeat(100)];
    let terms: Vec<_> = texts.iter().chain(&others).map(|text| (text.as_str(), None, &[][..])).collect();
    add(&admin, &terms).await;
    for query in ["limit=2", "limit=2&initial=%D1%89"] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = anna.get(&format!("/v1/glossary?{query}{cursor}")).await.expect(200).json;
            seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["term"].as_str().unwrap().to_owned()));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        seen.sort();
        let mut expected: Vec<&str> = terms.iter().map(|(text, ..)| *text).collect();
        expected.retain(|text| !query.contains("initial") || text.starts_with('Щ'));
        expected.sort_unstable();
        assert_eq!(seen, expected, "{query}");
    }
    app.run_jobs().await;
}

#[tokio::test]
async fn of_several_terms_with_one_slug_one_is_created() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    one_of_many_is_created(&admin, PATH, &term(1)).await;
    assert_eq!(app.count("SELECT count(*) FROM glossary_terms").await, 1);
    app.run_jobs().await;
}
