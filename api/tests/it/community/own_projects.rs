//! What the authors of projects do with them.

use poem::http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{act, all_ids, by_hand, delete, id_of, ids, like_path, logged, moderate, patch, project};
use crate::support::{Actor, TestApp};

async fn create(author: &Actor, body: Value) -> Uuid {
    id_of(&author.post("/v1/projects", body).await.expect(201).json)
}

async fn get(actor: &Actor, id: Uuid) -> Value {
    actor.get(&format!("/v1/projects/{id}")).await.expect(200).json
}

#[tokio::test]
async fn a_draft_becomes_public_and_private_again() {
    let app = TestApp::new().await;
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    let draft = anna.post("/v1/projects", json!({"title": "Mine", "category": "game", "is_draft": true})).await;
    let draft = draft.expect(201);
    assert_eq!((draft.header("etag"), &draft.json["status"]), ("\"1\"", &json!("draft")));
    assert_eq!((&draft.json["category"], &draft.json["published_at"]), (&json!("game"), &Value::Null));
    let id = id_of(&draft.json);
    let path = format!("/v1/projects/{id}");
    ben.get(&path).await.expect(404).problem("project_not_found");
    act(&anna, id, "withdraw", 1).await.expect(409).problem("project_state");

    let published = act(&anna, id, "submit", 1).await.expect(200);
    assert_eq!((published.header("etag"), &published.json["status"]), ("\"2\"", &json!("published")));
    let first = published.json["published_at"].clone();
    assert!(first.is_string());
    ben.get(&path).await.expect(200);
    ben.put(&like_path(id)).await.expect(200);
    let refused = act(&anna, id, "submit", 2).await.expect(409).problem("project_state");
    assert_eq!(refused.json["project_status"], "published", "what the client acts on is a member");

    assert_eq!(act(&anna, id, "withdraw", 2).await.expect(200).json["status"], "draft");
    ben.get(&path).await.expect(404).problem("project_not_found");
    let again = act(&anna, id, "submit", 3).await.expect(200).json;
    assert_eq!((&again["published_at"], &again["likes_count"]), (&first, &json!(1)), "its place and likes are kept");
    let expected = ["project.created", "project.published", "project.liked", "project.withdrawn", "project.published"];
    assert_eq!(logged(&app).await, expected);
}

#[tokio::test]
async fn a_change_says_what_it_changes() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let body = json!({"title": "Mine", "description": "Long", "project_url": "https://x.example"});
    let id = create(&anna, body).await;
    let before = get(&anna, id).await;
    let changed = patch(&anna, id, 1, json!({"title": "  Ours ", "category": "bot"})).await.expect(200);
    assert_eq!((changed.header("etag"), &changed.json["title"]), ("\"2\"", &json!("Ours")));
    assert_eq!((&changed.json["category"], &changed.json["status"]), (&json!("bot"), &json!("published")));
    for member in ["description", "project_url", "summary", "published_at", "created_at"] {
        assert_eq!(changed.json[member], before[member], "{member} is kept");
    }
    let cleared = patch(&anna, id, 2, json!({"project_url": null, "description": ""})).await.expect(200).json;
    assert_eq!((&cleared["project_url"], &cleared["description"]), (&Value::Null, &json!("")));
    let same = patch(&anna, id, 3, json!({"title": "Ours"})).await.expect(200).json;
    assert_eq!(same, cleared, "a change to what is so already is none");
    let path = format!("/v1/projects/{id}");
    anna.patch(&path, json!({"title": "X"})).invalid().await.expect(428).problem("precondition_required");
    patch(&anna, id, 2, json!({"title": "X"})).await.expect(412).problem("version_mismatch");
    act(&anna, id, "withdraw", 2).await.expect(412).problem("version_mismatch");
    delete(&anna, id, 2).await.expect(412).problem("version_mismatch");
    patch(&anna, id, 3, json!({"title": " \n"})).await.expect(422).blames(&[("/title", "blank")]);
    let call = anna.patch(&path, json!({"title": null, "status": "published", "summary": "x".repeat(1001)})).invalid();
    call.header("If-Match", "\"3\"").await.expect(422).blames(&[
        ("/title", "wrong_type"),
        ("/status", "unknown"),
        ("/summary", "too_long"),
    ]);
    assert_eq!(get(&anna, id).await, cleared);
    assert_eq!(logged(&app).await, ["project.created", "project.published", "project.updated", "project.updated"]);
    // The log outlives the account, so it says that a text was changed, and not to what.
    let details = "SELECT count(*) FROM activity_log WHERE metadata::text LIKE '%Long%'";
    assert_eq!(app.count(details).await, 0);
}

#[tokio::test]
async fn a_moderated_project_that_changes_is_submitted_again() {
    let app = TestApp::new().await;
    let (anna, ben, mia) = (app.student("anna").await, app.student("ben").await, app.mentor("mia").await);
    let id = project(&anna, "Mine").await;
    let theirs = project(&mia, "A mentor's").await;
    moderate(&app).await;
    ben.put(&like_path(id)).await.expect(200);
    let same = patch(&anna, id, 1, json!({"title": "Mine"})).await.expect(200).json;
    assert_eq!(same["status"], "published", "nothing changed");
    let changed = patch(&anna, id, 1, json!({"summary": "Buy this"})).await.expect(200).json;
    assert_eq!((&changed["status"], &changed["likes_count"]), (&json!("submitted"), &json!(1)));
    assert!(changed["submitted_at"].is_string());
    ben.get(&format!("/v1/projects/{id}")).await.expect(404).problem("project_not_found");
    // It keeps its place in the queue while its author goes on.
    let again = patch(&anna, id, 2, json!({"summary": "Read this"})).await.expect(200).json;
    assert_eq!((&again["status"], &again["submitted_at"]), (&json!("submitted"), &changed["submitted_at"]));
    assert_eq!(patch(&mia, theirs, 1, json!({"summary": "S"})).await.expect(200).json["status"], "published");
    // A draft goes to the queue too, and back.
    let draft = create(&anna, json!({"title": "Second", "is_draft": true})).await;
    assert_eq!(act(&anna, draft, "submit", 1).await.expect(200).json["status"], "submitted");
    assert_eq!(act(&anna, draft, "submit", 2).await.expect(409).json["project_status"], "submitted");
    assert_eq!(act(&anna, draft, "withdraw", 2).await.expect(200).json["status"], "draft");
    app.run_jobs().await;
}

#[tokio::test]
async fn authors_list_their_own_projects_in_every_status() {
    let app = TestApp::new().await;
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    project(&ben, "Not hers").await;
    let mut mine = Vec::new();
    for n in 0..5 {
        mine.push(create(&anna, json!({"title": format!("Project {n}"), "is_draft": n < 2})).await);
    }
    delete(&anna, mine.pop().unwrap(), 1).await.expect(204);
    mine.reverse();
    assert_eq!(all_ids(&anna, "/v1/me/projects").await, mine);
    assert_eq!(all_ids(&anna, "/v1/me/projects?status=draft").await, mine[2..]);
    assert_eq!(all_ids(&anna, "/v1/me/projects?status=published").await, mine[..2]);
    assert_eq!(all_ids(&anna, "/v1/me/projects?status=rejected").await, Vec::<Uuid>::new());
    let page = anna.get("/v1/me/projects").await.expect(200).json;
    let first = &page["items"][0];
    assert!(first.get("description").is_none(), "lists carry no long texts");
    assert_eq!((&first["version"], &first["moderation_reason"]), (&json!(1), &Value::Null));
    for bad in ["status=shown", "limit=0", "cursor=x"] {
        let call = anna.get(&format!("/v1/me/projects?{bad}"));
        let call = if bad == "cursor=x" { call } else { call.invalid() };
        call.await.expect(400).problem("malformed_parameter");
    }
    app.get("/v1/me/projects").await.expect(401).problem("unauthorized");
    app.run_jobs().await;
}

/// The system that this replaces took any id from anybody.
#[tokio::test]
async fn nobody_changes_what_belongs_to_others() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let published = project(&anna, "Published").await;
    let draft = create(&anna, json!({"title": "Draft", "is_draft": true})).await;
    let others = [app.student("ben").await, app.mentor("mia").await, app.admin("root").await];
    for other in &others {
        for id in [published, draft, Uuid::from_u128(1)] {
            for action in ["submit", "withdraw"] {
                act(other, id, action, 1).await.expect(404).problem("project_not_found");
            }
            patch(other, id, 1, json!({"title": "Taken"})).await.expect(404).problem("project_not_found");
            delete(other, id, 1).await.expect(404).problem("project_not_found");
        }
        other.get(&format!("/v1/projects/{draft}")).await.expect(404).problem("project_not_found");
        assert_eq!(ids(&other.get("/v1/me/projects").await.expect(200).json), Vec::<Uuid>::new());
    }
    let call = |method, path: String| app.call(method, &path).header("If-Match", "\"1\"");
    call(Method::POST, format!("/v1/projects/{draft}/submit")).await.expect(401).problem("unauthorized");
    call(Method::DELETE, format!("/v1/projects/{draft}")).await.expect(401).problem("unauthorized");
    assert_eq!(app.count("SELECT count(*) FROM showcase_projects WHERE version = 1 AND deleted_at IS NULL").await, 2);
    app.run_jobs().await;
}

#[tokio::test]
async fn what_its_author_deleted_is_gone_for_them_too() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let id = project(&anna, "Gone").await;
    anna.delete(&format!("/v1/projects/{id}")).invalid().await.expect(428).problem("precondition_required");
    delete(&anna, id, 1).await.expect(204);
    anna.get(&format!("/v1/projects/{id}")).await.expect(404).problem("project_not_found");
    assert!(ids(&anna.get("/v1/me/projects").await.expect(200).json).is_empty());
    for action in ["submit", "withdraw"] {
        act(&anna, id, action, 2).await.expect(404).problem("project_not_found");
    }
    patch(&anna, id, 2, json!({"title": "X"})).await.expect(404).problem("project_not_found");
    delete(&anna, id, 2).await.expect(404).problem("project_not_found");
    assert_eq!(app.count("SELECT count(*) FROM showcase_projects WHERE deleted_at IS NOT NULL").await, 1, "it is kept");
    assert_eq!(logged(&app).await, ["project.created", "project.published", "project.deleted"]);
}

#[tokio::test]
async fn a_status_that_was_set_by_hand_is_respected() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let id = project(&anna, "Mine").await;
    by_hand(&app, "UPDATE showcase_projects SET status = 'submitted', submitted_at = NULL").await;
    let listed = anna.get("/v1/me/projects").await.expect(200).json;
    assert_eq!(listed["items"][0]["submitted_at"], listed["items"][0]["created_at"]);
    assert_eq!(act(&anna, id, "withdraw", 2).await.expect(200).json["status"], "draft");
    app.run_jobs().await;
}
