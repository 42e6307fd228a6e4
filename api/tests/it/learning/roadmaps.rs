//! Roadmaps with their stages and lessons.

use serde_json::{Value, json};

use super::{admin_path, all, complete, lesson, some, start, tree, uncomplete};
use crate::support::TestApp;
use crate::support::crud::{Case, crud_contract};
use cairn_testing::course::Course;

const NUMBERS: [&str; 4] = ["status", "percent", "lessons_total", "lessons_completed"];

#[tokio::test]
async fn the_tree_shows_where_i_am() {
    let app = TestApp::new().await;
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    let path = Course::new(app.app.pool()).await.path(true, &[2, 1, 1]).await;
    let before = tree(&anna, path.id).await;
    assert_eq!(
        some(
            &before,
            &["id", "title", "summary", "is_sequential", "stages_total", "stages_completed", "is_recalculating"]
        ),
        json!({"id": path.id, "title": "Roadmap 2", "summary": "A way", "is_sequential": true, "stages_total": 3,
               "stages_completed": 0, "is_recalculating": false})
    );
    assert_eq!(
        some(&before, &NUMBERS),
        json!({"status": "available", "percent": 0, "lessons_total": 4, "lessons_completed": 0})
    );
    assert_eq!(
        all(&before["stages"], "id"),
        path.stages.iter().map(|id| json!(id)).collect::<Vec<_>>().iter().collect::<Vec<_>>()
    );
    assert_eq!(all(&before["stages"], "status"), ["available", "locked", "locked"]);
    assert_eq!(before["stages"][0]["locked_by"], json!([]));
    assert_eq!(all(&before["stages"][2]["locked_by"], "title"), ["Stage 1", "Stage 2"]);
    assert_eq!(all(&before["stages"][1]["lessons"], "status"), ["locked"]);
    complete(&anna, path.lessons[0][0]).await.expect(200);
    let counted = tree(&anna, path.id).await;
    assert_eq!(some(&counted, &["is_current", "seq", "percent"]), json!({"is_current": true, "seq": 1, "percent": 25}));
    app.run_jobs().await;
    assert_eq!(tree(&anna, path.id).await, counted, "until the first rollup is stored, the facts are counted");
    start(&anna, path.lessons[0][1]).await.expect(200);
    let pending = tree(&anna, path.id).await;
    assert_eq!(
        some(&pending, &["is_current", "seq", "percent"]),
        json!({"is_current": false, "seq": 1, "percent": 25})
    );
    assert_eq!(all(&pending["stages"][0]["lessons"], "status"), ["completed", "in_progress"], "facts show at once");
    app.run_jobs().await;
    let after = tree(&anna, path.id).await;
    assert_eq!(
        some(&after, &NUMBERS),
        json!({"status": "in_progress", "percent": 25, "lessons_total": 4, "lessons_completed": 1})
    );
    assert_eq!(
        some(&after["stages"][0], &NUMBERS),
        json!({"status": "in_progress", "percent": 50, "lessons_total": 2, "lessons_completed": 1})
    );
    assert_eq!(all(&after["stages"][0]["lessons"], "status"), ["completed", "in_progress"]);
    assert_eq!(
        after["stages"][1]["locked_by"],
        json!([{"stage_id": path.stages[0], "title": "Stage 1", "lessons_total": 2, "lessons_completed": 1}])
    );
    complete(&anna, path.lessons[0][1]).await.expect(200);
    app.run_jobs().await;
    let after = tree(&anna, path.id).await;
    assert_eq!(all(&after["stages"], "status"), ["completed", "available", "locked"]);
    assert!(after["stages"][0]["achieved_at"].is_string() && after["stages"][0]["completed_at"].is_string());
    assert_eq!(after["stages_completed"], 1);
    assert_eq!(tree(&ben, path.id).await, before, "progress is one's own");
}

/// The tree reads the rollup, lessons read the facts: when all jobs have run they say the same.
#[tokio::test]
async fn the_tree_and_the_lessons_agree_on_locks() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let course = Course::new(app.app.pool()).await;
    let path = course.path(true, &[1, 0, 2, 1]).await;
    let optional = course.lesson("Optional").await;
    course.put(path.stages[2], optional, false).await;
    let steps = [
        (true, path.lessons[0][0]),
        (true, path.lessons[2][0]),
        (true, path.lessons[2][1]),
        (false, path.lessons[0][0]),
        (true, path.lessons[3][0]),
        (false, path.lessons[3][0]),
    ];
    for (done, id) in steps {
        // Some are refused: locked.
        if done {
            complete(&anna, id).await
        } else {
            uncomplete(&anna, id).await
        };
        app.run_jobs().await;
        let tree = tree(&anna, path.id).await;
        for stage in tree["stages"].as_array().unwrap() {
            for shown in stage["lessons"].as_array().unwrap() {
                let id = shown["id"].as_str().unwrap().parse().unwrap();
                let one = lesson(&anna, id).await;
                assert_eq!(one["is_locked"], shown["is_locked"], "{shown:#} {one:#}");
                assert_eq!(one["status"], shown["status"]);
                assert_eq!(one["stages"][0]["locked_by"], stage["locked_by"]);
                start(&anna, id).await.expect(if shown["is_locked"] == true { 409 } else { 200 });
            }
        }
    }
    app.run_jobs().await;
}

#[tokio::test]
async fn roadmaps_are_listed_with_my_progress() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let course = Course::new(app.app.pool()).await;
    let paths = [course.path(true, &[1, 1]).await, course.path(false, &[3]).await, course.path(false, &[]).await];
    complete(&anna, paths[0].lessons[0][0]).await.expect(200);
    complete(&anna, paths[1].lessons[0][0]).await.expect(200);
    app.run_jobs().await;
    let mut seen = Vec::new();
    let mut query = "?limit=1".to_owned();
    loop {
        let page = anna.get(&format!("/v1/roadmaps{query}")).await.expect(200).json;
        seen.extend(page["items"].as_array().unwrap().clone());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        query = format!("?limit=1&cursor={cursor}");
    }
    assert_eq!(
        seen.iter().map(|item| item["id"].clone()).collect::<Vec<_>>(),
        paths.each_ref().map(|path| json!(path.id))
    );
    assert_eq!(
        seen.iter().map(|item| item["percent"].clone()).collect::<Vec<_>>(),
        [json!(50), json!(33), Value::Null]
    );
    assert_eq!(
        some(&seen[0], &["stages_total", "stages_completed", "achieved_at", "seq", "is_current"]),
        json!({"stages_total": 2, "stages_completed": 1, "achieved_at": null, "seq": 1, "is_current": true})
    );
    let mine = anna.get("/v1/me/progress").await.expect(200).json;
    assert_eq!(mine["percent"], 40, "2 of the 5 lessons of what was started");
    assert_eq!(mine["roadmaps"], json!(seen[..2]));
    let ben = app.student("ben").await;
    assert_eq!(ben.get("/v1/me/progress").await.expect(200).json, json!({"percent": null, "roadmaps": []}));
}

fn roadmap(n: usize) -> Value {
    json!({"slug": format!("roadmap-{n}"), "title": format!("Roadmap {n}")})
}

#[tokio::test]
async fn roadmaps_are_edited_like_every_resource() {
    let app = TestApp::new().await;
    let case = Case {
        noun: "roadmap",
        path: "/v1/admin/roadmaps",
        learners: Some("/v1/roadmaps"),
        body: roadmap,
        unique: "slug",
        changed: ("is_sequential", json!(true)),
        cleared: None,
        refused: vec![
            (json!({"slug": "Not a slug"}), vec![("/slug", "malformed")]),
            (json!({"title": ""}), vec![("/title", "too_short")]),
            (json!({"title": "x".repeat(201)}), vec![("/title", "too_long")]),
            (json!({"summary": "x".repeat(1001)}), vec![("/summary", "too_long")]),
            (json!({"is_sequential": "yes"}), vec![("/is_sequential", "wrong_type")]),
            (json!({"content_version": 7}), vec![("/content_version", "unknown")]),
        ],
        ordered: true,
    };
    crud_contract(&app, case).await;
}

#[tokio::test]
async fn admins_see_a_roadmap_with_all_its_stages() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    let path = Course::new(app.app.pool()).await.path(false, &[1, 1, 1]).await;
    for (stage, set) in [(1, "publication = 'draft'"), (2, "deleted_at = now()")] {
        sqlx::query(sqlx::AssertSqlSafe(format!("UPDATE stages SET {set} WHERE id = $1")))
            .bind(path.stages[stage])
            .execute(app.app.pool())
            .await
            .unwrap();
    }
    let shown = admin.get(&admin_path("roadmaps", path.id)).await.expect(200);
    assert_eq!(all(&shown.json["stages"], "title"), ["Stage 1", "Stage 2"]);
    assert_eq!(all(&shown.json["stages"], "publication"), ["published", "draft"]);
    assert_eq!(shown.header("etag"), "\"1\"");
}
