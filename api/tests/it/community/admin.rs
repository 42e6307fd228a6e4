//! Projects, for admins.

use poem::http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{act, all_ids, delete, id_of, ids, like_path, project};
use crate::support::{Actor, Reply, TestApp};

async fn remove(admin: &Actor, id: Uuid, version: i64) -> Reply {
    let call = admin.delete(&format!("/v1/admin/projects/{id}?reason=Advertising"));
    call.header("If-Match", &format!("\"{version}\"")).await
}

async fn restore(admin: &Actor, id: Uuid, version: i64) -> Reply {
    let call = admin.call(Method::POST, &format!("/v1/admin/projects/{id}/restore"));
    call.header("If-Match", &format!("\"{version}\"")).json(json!({"reason": "A mistake"})).await
}

#[tokio::test]
async fn admins_list_projects_in_every_status() {
    let app = TestApp::new().await;
    let (anna, ben, root) = (app.student("anna").await, app.student("ben").await, app.admin("root").await);
    let mut expected = Vec::new();
    for n in 0..6 {
        let body = json!({"title": format!("Project {n}"), "is_draft": n % 2 == 0});
        let author = if n < 4 { &anna } else { &ben };
        expected.push(id_of(&author.post("/v1/projects", body).await.expect(201).json));
    }
    delete(&anna, expected[0], 1).await.expect(204);
    let pick = |numbers: &[usize]| numbers.iter().map(|n| expected[*n]).collect::<Vec<_>>();
    let author = |filters: &str| format!("/v1/admin/projects?author={}{filters}", anna.id);
    for (path, numbers) in [
        ("/v1/admin/projects".to_owned(), &[5, 4, 3, 2, 1][..]),
        ("/v1/admin/projects?status=draft".to_owned(), &[4, 2]),
        ("/v1/admin/projects?status=published".to_owned(), &[5, 3, 1]),
        ("/v1/admin/projects?status=rejected".to_owned(), &[]),
        ("/v1/admin/projects?deleted=true".to_owned(), &[0]),
        ("/v1/admin/projects?deleted=true&status=published".to_owned(), &[]),
        (author(""), &[3, 2, 1]),
        (author("&status=draft"), &[2]),
        (author("&deleted=true"), &[0]),
    ] {
        assert_eq!(all_ids(&root, &path).await, pick(numbers), "{path}");
    }
    assert!(ids(&root.get(&format!("/v1/admin/projects?author={}", root.id)).await.expect(200).json).is_empty());
    let first = &root.get("/v1/admin/projects").await.expect(200).json["items"][0];
    assert!(first.get("description").is_none() && first["deleted_at"].is_null(), "{first}");
    app.run_jobs().await;
}

#[tokio::test]
async fn a_project_is_deleted_and_restored_with_a_reason() {
    let app = TestApp::new().await;
    let (anna, ben, root) = (app.student("anna").await, app.student("ben").await, app.admin("root").await);
    let id = project(&anna, "Mine").await;
    ben.put(&like_path(id)).await.expect(200);
    let path = format!("/v1/admin/projects/{id}");
    let got = root.get(&path).await.expect(200);
    assert_eq!((got.header("etag"), &got.json["deleted_at"]), ("\"1\"", &Value::Null));
    root.delete(&format!("{path}?reason=R")).invalid().await.expect(428).problem("precondition_required");
    root.delete(&path).header("If-Match", "\"1\"").invalid().await.expect(400).blames(&[("reason", "required")]);
    let too_long = "x".repeat(501);
    for (bad, faults) in [
        ("", &[("reason", "too_short"), ("reason", "malformed")][..]),
        ("%20", &[("reason", "malformed")]),
        (&too_long, &[("reason", "too_long")]),
    ] {
        let call = root.delete(&format!("{path}?reason={bad}")).header("If-Match", "\"1\"");
        call.invalid().await.expect(400).blames(faults);
    }
    remove(&root, id, 2).await.expect(412).problem("version_mismatch");
    remove(&root, id, 1).await.expect(204);
    for reader in [&anna, &ben] {
        reader.get(&format!("/v1/projects/{id}")).await.expect(404).problem("project_not_found");
    }
    act(&anna, id, "withdraw", 2).await.expect(404).problem("project_not_found");
    assert!(root.get(&path).await.expect(200).json["deleted_at"].is_string(), "admins still see it");
    restore(&root, id, 1).await.expect(412).problem("version_mismatch");
    let restored = restore(&root, id, 2).await.expect(200).json;
    assert_eq!((&restored["deleted_at"], &restored["status"]), (&Value::Null, &json!("published")));
    assert_eq!(ben.get(&format!("/v1/projects/{id}")).await.expect(200).json["likes_count"], 1);
    assert_eq!(restore(&root, id, 3).await.expect(200).json, restored, "restoring again changes nothing");
    app.run_jobs().await;
    let recorded: Vec<(String, Value)> = sqlx::query_as(
        "SELECT action, metadata -> 'reason' FROM activity_log WHERE actor_id = $1 ORDER BY occurred_at, id",
    )
    .bind(root.id)
    .fetch_all(app.app.pool())
    .await
    .unwrap();
    let expected = [("project.deleted", json!("Advertising")), ("project.restored", json!("A mistake"))];
    assert_eq!(recorded, expected.map(|(action, reason)| (action.to_owned(), reason)));
}

#[tokio::test]
async fn unknown_projects_are_not_found() {
    let app = TestApp::new().await;
    let root = app.admin("root").await;
    let nobody = Uuid::from_u128(1);
    root.get(&format!("/v1/admin/projects/{nobody}")).await.expect(404).problem("project_not_found");
    remove(&root, nobody, 1).await.expect(404).problem("project_not_found");
    restore(&root, nobody, 1).await.expect(404).problem("project_not_found");
}
