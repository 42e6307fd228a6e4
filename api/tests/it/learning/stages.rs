//! Stages of roadmaps.

use cairn_core::clock::new_id;
use serde_json::{Value, json};

use super::{act, admin_path, all, complete, id_of, patch, progress, remove, tree};
use crate::support::TestApp;
use crate::support::crud::{Case, crud_contract};
use cairn_testing::course::Course;

fn stage(n: usize) -> Value {
    json!({"slug": format!("stage-{n}"), "title": format!("Stage {n}")})
}

#[tokio::test]
async fn stages_are_edited_like_every_resource() {
    let app = TestApp::new().await;
    let roadmap = Course::new(app.app.pool()).await.roadmap(false).await;
    let case = Case {
        noun: "stage",
        path: format!("/v1/admin/roadmaps/{roadmap}/stages").leak(),
        learners: None,
        body: stage,
        unique: "slug",
        changed: ("title", json!("The very beginning")),
        cleared: None,
        refused: vec![
            (json!({"slug": "Not a slug"}), vec![("/slug", "malformed")]),
            (json!({"title": ""}), vec![("/title", "too_short")]),
            (json!({"title": "x".repeat(201)}), vec![("/title", "too_long")]),
            (json!({"summary": "x".repeat(1001)}), vec![("/summary", "too_long")]),
            (json!({"roadmap_id": new_id()}), vec![("/roadmap_id", "unknown")]),
        ],
        ordered: true,
    };
    crud_contract(&app, case).await;
}

#[tokio::test]
async fn a_stage_belongs_to_a_roadmap_that_is_there() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    let course = Course::new(app.app.pool()).await;
    let (one, other) = (course.roadmap(false).await, course.roadmap(false).await);
    let of = |roadmap| format!("/v1/admin/roadmaps/{roadmap}/stages");
    admin.post(&of(new_id()), stage(1)).await.expect(404).problem("roadmap_not_found");
    admin.get(&of(new_id())).await.expect(404).problem("roadmap_not_found");
    let order = admin.put(&format!("{}/order", of(new_id()))).json(json!({"ids": []}));
    order.await.expect(404).problem("roadmap_not_found");
    remove(&admin, &admin_path("roadmaps", other)).await.expect(204);
    admin.post(&of(other), stage(1)).await.expect(404).problem("roadmap_not_found");
    assert_eq!(app.count("SELECT count(*) FROM stages").await, 0);
    let made = admin.post(&of(one), stage(1)).await.expect(201).json;
    // The slug is unique in the roadmap, and an order is that of one roadmap.
    act(&admin, &admin_path("roadmaps", other), "restore").await.expect(200);
    let elsewhere = admin.post(&of(other), stage(1)).await.expect(201).json;
    let order = admin.put(&format!("{}/order", of(one))).json(json!({"ids": [made["id"], elsewhere["id"]]}));
    order.await.expect(409).problem("order_mismatch");
    app.run_jobs().await;
}

/// Each edit makes the numbers of learners stale, and the background makes them right.
#[tokio::test]
async fn learners_follow_every_edit_of_stages() {
    let app = TestApp::new().await;
    let (admin, anna) = (app.admin("root").await, app.student("anna").await);
    let path = Course::new(app.app.pool()).await.path(true, &[1, 2]).await;
    complete(&anna, path.lessons[0][0]).await.expect(200);
    app.run_jobs().await;
    let versions = "SELECT content_version FROM roadmaps";
    let mut version = app.count(versions).await;
    let mut settled = async |percent: Value, statuses: &[&str]| {
        assert!(app.count(versions).await > version, "the content has a new version");
        version = app.count(versions).await;
        app.run_jobs().await;
        assert_eq!(app.count("SELECT count(*) FROM roadmaps WHERE recomputed_version < content_version").await, 0);
        assert_eq!(progress(&anna, path.id, "").await["percent"], percent);
        assert_eq!(all(&tree(&anna, path.id).await["stages"], "status"), statuses);
    };
    let order = format!("/v1/admin/roadmaps/{}/stages/order", path.id);
    let put = |ids: [uuid::Uuid; 2]| admin.put(&order).json(json!({"ids": ids}));
    put([path.stages[1], path.stages[0]]).await.expect(204);
    settled(json!(33), &["available", "completed"]).await;
    let second = admin_path("stages", path.stages[1]);
    act(&admin, &second, "archive").await.expect(200);
    settled(json!(100), &["completed"]).await;
    act(&admin, &second, "publish").await.expect(200);
    settled(json!(33), &["available", "completed"]).await;
    remove(&admin, &second).await.expect(204);
    settled(json!(100), &["completed"]).await;
    act(&admin, &second, "restore").await.expect(200);
    settled(json!(33), &["available", "completed"]).await;
    let created = admin.post(&format!("/v1/admin/roadmaps/{}/stages", path.id), stage(9)).await.expect(201).json;
    let third = admin_path("stages", id_of(&created));
    act(&admin, &third, "publish").await.expect(200);
    settled(json!(33), &["available", "completed", "locked"]).await;
    patch(&admin, &admin_path("roadmaps", path.id), json!({"is_sequential": false})).await.expect(200);
    settled(json!(33), &["available", "completed", "available"]).await;
    let texts = patch(&admin, &third, json!({"title": "Other words"})).await.expect(200);
    assert_eq!(texts.json["version"], 3);
    assert_eq!(app.count(versions).await, version, "texts make nothing stale");
    app.run_jobs().await;
}
