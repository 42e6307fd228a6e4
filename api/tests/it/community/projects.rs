//! Projects.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{all_ids, by_hand, ids, like_path, moderate, project};
use crate::support::TestApp;

#[tokio::test]
async fn a_project_is_shown_to_everybody() {
    let app = TestApp::new().await;
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    let body = json!({
        "title": "  Pottery classes ",
        "summary": "Dates and a form",
        "description": "Two\nlines",
        "project_url": "https://pottery.example/?q=1",
        "repository_url": "http://git.example/pottery",
        "cover_url": null,
    });
    let created = anna.post("/v1/projects", body).await.expect(201).json;
    assert_eq!(created["title"], "Pottery classes");
    assert_eq!(created["status"], "published");
    assert_eq!(created["author"]["first_name"], "anna");
    assert_eq!(created["likes_count"], 0);
    let seen = ben.get(&format!("/v1/projects/{}", created["id"].as_str().unwrap())).await.expect(200);
    assert_eq!((&seen.json, seen.header("etag")), (&created, "\"1\""));
    let listed = ben.get("/v1/projects").await.expect(200).json;
    assert_eq!((ids(&listed).len(), &listed["next_cursor"]), (1, &Value::Null));
    let summary = listed["items"][0].as_object().unwrap();
    assert!(summary.iter().all(|(member, value)| created[member] == *value), "{summary:?} of {created:?}");
    assert!(!summary.contains_key("description"), "lists carry no long texts");
    app.run_jobs().await;
    let logged: Vec<String> =
        sqlx::query_scalar("SELECT action FROM activity_log ORDER BY action").fetch_all(app.app.pool()).await.unwrap();
    assert_eq!(logged, ["project.created", "project.published"]);
}

#[tokio::test]
async fn a_repeated_create_makes_one_project() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let create = |title: &str| anna.post("/v1/projects", json!({"title": title})).header("Idempotency-Key", "k1");
    let (first, second) = tokio::join!(create("One"), create("One"));
    assert_eq!(first.expect(201).json, second.expect(201).json);
    create("Two").await.expect(409).problem("idempotency_key_reused");
    assert_eq!(app.count("SELECT count(*) FROM showcase_projects").await, 1);
    app.run_jobs().await;
    assert_eq!(app.count("SELECT count(*) FROM activity_log").await, 2);
}

#[tokio::test]
async fn a_moderated_project_waits() {
    let app = TestApp::new().await;
    moderate(&app).await;
    let (anna, ben, mia) = (app.student("anna").await, app.student("ben").await, app.mentor("mia").await);
    let waiting = anna.post("/v1/projects", json!({"title": "Waits"})).await.expect(201).json;
    assert_eq!((&waiting["status"], &waiting["published_at"]), (&json!("submitted"), &Value::Null));
    let path = format!("/v1/projects/{}", waiting["id"].as_str().unwrap());
    anna.get(&path).await.expect(200);
    ben.get(&path).await.expect(404).problem("project_not_found");
    ben.put(&format!("{path}/like")).await.expect(404).problem("project_not_found");
    anna.put(&format!("{path}/like")).await.expect(404).problem("project_not_found");
    anna.delete(&format!("{path}/like")).await.expect(404).problem("project_not_found");
    let shown = project(&mia, "Shown at once").await;
    assert_eq!(ids(&ben.get("/v1/projects").await.expect(200).json), [shown]);
    app.run_jobs().await;
    assert_eq!(app.count("SELECT count(*) FROM activity_log WHERE action = 'project.created'").await, 2);
    assert_eq!(app.count("SELECT count(*) FROM activity_log WHERE action = 'project.published'").await, 1);
    assert_eq!(app.count("SELECT count(*) FROM project_likes").await, 0);
}

#[tokio::test]
async fn a_deleted_project_is_gone() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let id = project(&anna, "Gone").await;
    sqlx::query("UPDATE showcase_projects SET deleted_at = now()").execute(app.app.pool()).await.unwrap();
    anna.get(&format!("/v1/projects/{id}")).await.expect(404).problem("project_not_found");
    anna.put(&like_path(id)).await.expect(404).problem("project_not_found");
    assert!(ids(&anna.get("/v1/projects").await.expect(200).json).is_empty());
    app.run_jobs().await;
}

#[tokio::test]
async fn bad_projects_are_refused_precisely() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let cases = [
        (json!({}), "/title", "required"),
        (json!({"title": 5}), "/title", "wrong_type"),
        (json!({"title": ""}), "/title", "too_short"),
        (json!({"title": "x".repeat(201)}), "/title", "too_long"),
        (json!({"title": "x", "summary": "x".repeat(1001)}), "/summary", "too_long"),
        (json!({"title": "x", "description": "x".repeat(20001)}), "/description", "too_long"),
        (json!({"title": "x\u{0}"}), "/title", "nul_character"),
        (json!({"title": "x", "project_url": "https://x.example/\u{7}"}), "/project_url", "control_character"),
        (json!({"title": "x", "project_url": "javascript:alert(1)"}), "/project_url", "malformed"),
        (json!({"title": "x", "repository_url": "ftp://x.example"}), "/repository_url", "malformed"),
        (json!({"title": "x", "project_url": "https://x.example/\n"}), "/project_url", "malformed"),
        (json!({"title": "x", "cover_url": "https://x.example/a b"}), "/cover_url", "malformed"),
        (json!({"title": "x", "cover_url": "https://x.example/\u{3000}"}), "/cover_url", "malformed"),
        (json!({"title": "x", "cover_url": "https://"}), "/cover_url", "malformed"),
        (
            json!({"title": "x", "cover_url": format!("https://x.example/{}", "a".repeat(2000))}),
            "/cover_url",
            "too_long",
        ),
    ];
    for (body, pointer, code) in cases {
        let reply = anna.post("/v1/projects", body).invalid().await;
        reply.expect(422).problem("invalid_body").blames(&[(pointer, code)]);
    }
    // The schema cannot say this.
    anna.post("/v1/projects", json!({"title": " \n "})).await.expect(422).blames(&[("/title", "blank")]);
    anna.call(poem::http::Method::POST, "/v1/projects")
        .header("Content-Type", "application/json")
        .raw("{\"title\":")
        .invalid()
        .await
        .expect(400)
        .problem("malformed_body");
    assert_eq!(app.count("SELECT count(*) FROM showcase_projects").await, 0);
    // The longest that fit, with characters of several bytes.
    let body = json!({"title": "ж".repeat(200), "summary": "ж".repeat(1000), "description": "ж".repeat(20000)});
    anna.post("/v1/projects", body).await.expect(201);
    // What is null is left out.
    anna.post("/v1/projects", json!({"title": "x", "summary": null, "project_url": null})).await.expect(201);
    app.run_jobs().await;
}

#[tokio::test]
async fn bad_parameters_are_refused_precisely() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let id = project(&anna, "One").await;
    project(&anna, "Two").await;
    for path in ["/v1/projects/not-a-uuid", "/v1/projects?sort=best", "/v1/projects?limit=0", "/v1/projects?limit=101"]
    {
        anna.get(path).invalid().await.expect(400).problem("malformed_parameter");
    }
    anna.put("/v1/projects/1/like").invalid().await.expect(400).blames(&[("project_id", "malformed")]);
    let newest = anna.get("/v1/projects?limit=1").await.expect(200).json["next_cursor"].clone();
    let popular = anna.get("/v1/projects?limit=1&sort=popular").await.expect(200).json["next_cursor"].clone();
    let far = base64_json(&json!(["-200000-01-01T00:00:00Z", id]));
    for path in [
        "/v1/projects?cursor=x".to_owned(),
        format!("/v1/projects?sort=popular&cursor={}", newest.as_str().unwrap()),
        format!("/v1/projects?sort=newest&cursor={}", popular.as_str().unwrap()),
        format!("/v1/projects?cursor={far}"),
    ] {
        anna.get(&path).await.expect(400).problem("malformed_parameter").blames(&[("cursor", "malformed")]);
    }
    let nobody = Uuid::from_u128(1);
    anna.get(&format!("/v1/projects/{nobody}")).await.expect(404).problem("project_not_found");
    anna.put(&like_path(nobody)).await.expect(404).problem("project_not_found");
    app.get("/v1/projects").await.expect(401).problem("unauthorized");
    app.run_jobs().await;
}

fn base64_json(value: &Value) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string())
}

#[tokio::test]
async fn lists_page_through_everything_once() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let mut created = Vec::new();
    for n in 0..7 {
        created.push(project(&anna, &format!("Project {n}")).await);
    }
    // Ties in the sort key: only the id tells these apart.
    sqlx::query(
        "UPDATE showcase_projects SET published_at = '2026-05-01', likes_count = 3, trending_likes = 2, category = 'game'
         WHERE id = ANY ($1)",
    )
    .bind(&created[2..6])
    .execute(app.app.pool())
    .await
    .unwrap();
    let sorts = [
        ("newest", "published_at DESC, id DESC"),
        ("popular", "likes_count DESC, id DESC"),
        ("trending", "trending_likes DESC, id DESC"),
    ];
    for (sort, order) in sorts {
        for (category, filter) in [("", "true"), ("&category=game", "category = 'game'")] {
            let query = format!("SELECT id FROM showcase_projects WHERE {filter} ORDER BY {order}");
            let expected: Vec<Uuid> =
                sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_all(app.app.pool()).await.unwrap();
            let seen = all_ids(&anna, &format!("/v1/projects?sort={sort}{category}")).await;
            assert_eq!(seen, expected, "{sort}{category}");
        }
    }
    assert!(ids(&anna.get("/v1/projects?category=bot").await.expect(200).json).is_empty());
    anna.get("/v1/projects?category=poem").invalid().await.expect(400).blames(&[("category", "not_allowed")]);
    app.run_jobs().await;
}

/// The system that this replaces listed and liked what was not published, deleted, or of somebody who was.
#[tokio::test]
async fn only_published_projects_of_live_authors_are_shown_and_liked() {
    let app = TestApp::new().await;
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    let id = project(&anna, "Mine").await;
    let path = format!("/v1/projects/{id}");
    let is_shown = async || {
        let listed = ids(&ben.get("/v1/projects").await.expect(200).json).contains(&id);
        let got = ben.get(&path).await.status == 200;
        let liked = ben.put(&like_path(id)).await.status == 200;
        let unliked = ben.delete(&like_path(id)).await.status == 200;
        assert!([got, liked, unliked].into_iter().all(|seen| seen == listed));
        for sort in ["popular", "trending"] {
            for category in ["", "&category=other"] {
                let page = ben.get(&format!("/v1/projects?sort={sort}{category}")).await.expect(200).json;
                assert_eq!(ids(&page).contains(&id), listed, "{sort}{category}");
            }
        }
        listed
    };
    assert!(is_shown().await);
    for (hide, show) in [
        ("UPDATE showcase_projects SET status = 'draft'", "UPDATE showcase_projects SET status = 'published'"),
        ("UPDATE showcase_projects SET status = 'submitted'", "UPDATE showcase_projects SET status = 'published'"),
        ("UPDATE showcase_projects SET status = 'rejected'", "UPDATE showcase_projects SET status = 'published'"),
        ("UPDATE showcase_projects SET deleted_at = now()", "UPDATE showcase_projects SET deleted_at = NULL"),
        (
            "UPDATE users SET deleted_at = now() WHERE first_name = 'anna'",
            "UPDATE users SET deleted_at = NULL WHERE first_name = 'anna'",
        ),
    ] {
        by_hand(&app, hide).await;
        assert!(!is_shown().await, "{hide}");
        by_hand(&app, show).await;
        assert!(is_shown().await, "{show}");
    }
    app.run_jobs().await;
}
