//! The export of everything that is stored about somebody.

use cairn_core::users::export::Section;
use futures_util::StreamExt;
use poem::http::Method;
use serde_json::{Value, json};

use super::erasure::furnish;
use crate::support::TestApp;

#[tokio::test]
async fn everything_about_oneself_is_exported_and_nothing_about_others() {
    let app = TestApp::new().await;
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    furnish(&app, &anna, &ben).await;
    furnish(&app, &ben, &anna).await;
    sqlx::query(
        "INSERT INTO activity_log (id, occurred_at, actor_id, action)
         SELECT gen_random_uuid(), now() - n * interval '1 second', $1, 'lesson.started' FROM generate_series(1, 450) n",
    )
    .bind(anna.id)
    .execute(app.app.pool())
    .await
    .unwrap();
    let export = anna.get("/v1/me/export").header("User-Agent", "Browser").await.expect(200);
    assert_eq!(export.header("content-type"), "application/x-ndjson");
    assert!(export.header("content-disposition").contains("my-data.ndjson"));
    let lines: Vec<Value> = export.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of =
        |kind: &str| lines.iter().filter(|line| line["type"] == kind).map(|line| &line["data"]).collect::<Vec<_>>();
    for section in Section::ALL {
        assert!(!of(section.name()).is_empty(), "nothing of {}", section.name());
    }
    assert_eq!(of("account")[0]["email"], "anna@example.test");
    assert_eq!(of("session")[0]["id"], json!(anna.session_id));
    assert!(of("message").iter().any(|message| message["content"] == "A secret question of anna"));
    assert!(of("project").iter().any(|project| project["title"] == "Project of anna"));
    assert!(of("activity").len() >= 450, "more than one page");
    let times: Vec<&str> = of("activity").iter().map(|activity| activity["occurred_at"].as_str().unwrap()).collect();
    assert!(times.is_sorted());
    assert_eq!(lines.last().unwrap(), &json!({"type": "end", "data": {"items": lines.len() - 1}}));
    for secret in ["ben@example.test", "A secret question of ben", "Project of ben\"", "argon2", "password_hash"] {
        assert!(!export.text.contains(secret), "{secret}");
    }
    app.run_jobs().await;
}

#[tokio::test]
async fn an_export_is_cut_when_its_session_ends() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let mut export = anna.get("/v1/me/export").body().await;
    assert!(String::from_utf8(export.next().await.unwrap().unwrap()).unwrap().starts_with("{\"type\":\"account\""));
    anna.call(Method::POST, "/v1/auth/logout").await.expect(204);
    assert!(export.next().await.unwrap().is_err());
    app.run_jobs().await;
}
