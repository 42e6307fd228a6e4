//! Modules.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::{all, complete};
use crate::support::TestApp;
use crate::support::crud::{Case, crud_contract};
use cairn_testing::course::Course;

#[tokio::test]
async fn modules_are_listed() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let courses = [Course::new(app.app.pool()).await];
    let (one, draft) = (courses[0].lesson("One").await, courses[0].lesson("Draft").await);
    courses[0].lesson("Two").await;
    courses[0].edit("UPDATE lessons SET publication = 'draft' WHERE id = $1", draft).await;
    complete(&anna, one).await.expect(200);
    let page = anna.get("/v1/modules").await.expect(200).json;
    assert_eq!(
        page,
        json!({"items": [{"id": courses[0].module, "slug": courses[0].module, "title": "Module", "summary": "",
                          "lessons_total": 2, "lessons_completed": 1}], "next_cursor": null})
    );
    courses[0].edit("UPDATE course_modules SET publication = 'archived' WHERE id = $1", courses[0].module).await;
    assert_eq!(anna.get("/v1/modules").await.expect(200).json["items"], json!([]));
    app.run_jobs().await;
}

fn module(n: usize) -> Value {
    json!({"slug": format!("module-{n}"), "title": format!("Module {n}")})
}

#[tokio::test]
async fn modules_are_edited_like_every_resource() {
    let app = TestApp::new().await;
    let case = Case {
        noun: "module",
        path: "/v1/admin/modules",
        learners: None,
        body: module,
        unique: "slug",
        changed: ("title", json!("Foundations")),
        cleared: None,
        refused: vec![
            (json!({"slug": "Not a slug"}), vec![("/slug", "malformed")]),
            (json!({"title": ""}), vec![("/title", "too_short")]),
            (json!({"title": "x".repeat(201)}), vec![("/title", "too_long")]),
            (json!({"summary": "x".repeat(1001)}), vec![("/summary", "too_long")]),
            (json!({"position": 1}), vec![("/position", "unknown")]),
        ],
        ordered: true,
    };
    crud_contract(&app, case).await;
}

/// Both orders are valid; the one that is stored last stands, whole.
#[tokio::test]
async fn of_two_orders_at_once_one_wins_and_nothing_is_lost() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    let mut ids = Vec::new();
    for n in 0..6 {
        ids.push(admin.post("/v1/admin/modules", module(n)).await.expect(201).json["id"].clone());
    }
    for _ in 0..8 {
        let orders: [Vec<Value>; 2] = [ids.clone(), ids.iter().rev().cloned().collect()];
        let barrier = Arc::new(Barrier::new(2));
        let mut calls = JoinSet::new();
        for order in orders.clone() {
            let (admin, barrier) = (admin.clone(), barrier.clone());
            calls.spawn(async move {
                barrier.wait().await;
                admin.put("/v1/admin/modules/order").json(json!({"ids": order})).await.expect(204);
            });
        }
        calls.join_all().await;
        let listed = admin.get("/v1/admin/modules").await.expect(200).json;
        let listed: Vec<Value> = all(&listed["items"], "id").into_iter().cloned().collect();
        assert!(orders.contains(&listed), "{listed:?}");
    }
    app.run_jobs().await;
}

#[tokio::test]
async fn a_full_list_takes_no_more() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    sqlx::query(
        "INSERT INTO course_modules (slug, title) SELECT 'module-' || n, 'Module' FROM generate_series(1, 1000) n",
    )
    .execute(app.app.pool())
    .await
    .unwrap();
    admin.post("/v1/admin/modules", module(1001)).await.expect(409).problem("collection_full");
    sqlx::query("UPDATE course_modules SET deleted_at = now() WHERE slug = 'module-7'")
        .execute(app.app.pool())
        .await
        .unwrap();
    admin.post("/v1/admin/modules", module(1001)).await.expect(201);
    app.run_jobs().await;
}
