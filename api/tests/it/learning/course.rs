//! A whole course as one document.

use cairn_core::clock::new_id;
use serde_json::{Value, json};
use sqlx::Connection;

use super::{admin_path, check, lesson, some};
use crate::support::{Actor, TestApp};

const COURSE: &str = "\
version: 1
modules:
  - slug: basics
    title: Basics
    lessons:
      - slug: first
        title: First
        duration_minutes: 5
        materials: [{kind: link, title: One, url: https://example.org/1}]
        tasks: [{slug: read, title: Read}, {slug: write, title: Write}]
      - {slug: second, title: Second, duration_minutes: 7}
roadmaps:
  - slug: way
    title: Way
    stages:
      - {slug: start, title: Start, lessons: [{lesson: first}, {lesson: second}]}
glossary:
  - {slug: term, term: Term, definition: What it means.}
";

const COUNTS: [&str; 4] = ["created_count", "updated_count", "unchanged_count", "deleted_count"];

async fn request(admin: &Actor, document: &str, body: Value) -> Value {
    let mut body = body;
    body["document"] = document.into();
    admin.post("/v1/admin/course/imports", body).await.expect(202).json
}

async fn get(admin: &Actor, import: &Value) -> Value {
    let path = format!("/v1/admin/course/imports/{}", import["id"].as_str().unwrap());
    admin.get(&path).await.expect(200).json
}

/// Imports the document and returns how that ended.
async fn import(app: &TestApp, admin: &Actor, document: &str, body: Value) -> Value {
    let requested = request(admin, document, body).await;
    app.run_jobs().await;
    get(admin, &requested).await
}

#[tokio::test]
async fn a_course_is_checked_imported_and_exported() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    let requested = request(&admin, COURSE, json!({})).await;
    assert_eq!(
        some(&requested, &["is_dry_run", "state", "objects_done", "objects_total", "created_count"]),
        json!({"is_dry_run": true, "state": "queued", "objects_done": 0, "objects_total": 11, "created_count": null})
    );
    app.run_jobs().await;
    let checked = get(&admin, &requested).await;
    assert_eq!(
        some(
            &checked,
            &["state", "objects_done", "created_count", "updated_count", "unchanged_count", "deleted_count"]
        ),
        json!({"state": "completed", "objects_done": 11, "created_count": 11, "updated_count": 0, "unchanged_count": 0,
               "deleted_count": 0})
    );
    assert_eq!(app.count("SELECT count(*) FROM lessons").await, 0, "a dry run changes nothing");

    let imported = import(&app, &admin, COURSE, json!({"dry_run": false})).await;
    assert_eq!(some(&imported, &COUNTS), some(&checked, &COUNTS), "what was foretold has happened");
    let exported = admin.get("/v1/admin/course").await.expect(200).json;
    assert_eq!(exported["modules"][0]["lessons"][0]["tasks"][1]["slug"], "write");
    let again = import(&app, &admin, &exported.to_string(), json!({"dry_run": false})).await;
    assert_eq!((&again["created_count"], &again["unchanged_count"]), (&json!(0), &json!(11)));

    let listed = admin.get("/v1/admin/course/imports?limit=2").await.expect(200).json;
    assert_eq!(listed["items"], json!([again, imported]));
    let next = listed["next_cursor"].as_str().unwrap();
    let rest = admin.get(&format!("/v1/admin/course/imports?cursor={next}")).await.expect(200).json;
    assert_eq!(rest, json!({"items": [checked], "next_cursor": null}));
    assert_eq!(app.count("SELECT count(*) FROM course_imports WHERE document IS NOT NULL").await, 0);
    let actions = "SELECT count(*) FROM activity_log a JOIN users u ON u.id = a.actor_id AND u.role = 'admin'
                   WHERE action = 'course.imported'";
    assert_eq!(app.count(actions).await, 1, "by whoever asked for it, and not for what changed nothing");
}

#[tokio::test]
async fn mistakes_are_told_with_their_lines_and_nothing_is_stored() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    let wrong = COURSE.replace("title: Basics", "title: ''").replace("lesson: second", "lesson: third");
    let reply = admin.post("/v1/admin/course/imports", json!({"document": wrong})).await.expect(422);
    let reply = reply.problem("invalid_body").blames(&[("/document", "invalid"), ("/document", "invalid")]);
    let messages: Vec<&str> =
        reply.json["errors"].as_array().unwrap().iter().map(|error| error["message"].as_str().unwrap()).collect();
    assert!(messages[0].starts_with("Line 4, column 12: title: At least 1 character"), "{messages:?}");
    assert!(messages[1].contains("Line 16") && messages[1].contains("is not defined in any module"), "{messages:?}");
    for nonsense in ["", "{", "- 1"] {
        let reply = admin.post("/v1/admin/course/imports", json!({"document": nonsense})).await.expect(422);
        reply.problem("invalid_body").blames(&[("/document", "invalid")]);
    }
    let huge = json!({"document": "x".repeat(262_145)});
    admin.post("/v1/admin/course/imports", huge).invalid().await.expect(413).problem("body_too_large");
    assert_eq!(app.count("SELECT count(*) FROM course_imports").await, 0);
    let unknown = format!("/v1/admin/course/imports/{}", new_id());
    admin.get(&unknown).await.expect(404).problem("import_not_found");
}

#[tokio::test]
async fn a_request_that_is_repeated_imports_once() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    let body = json!({"document": COURSE, "dry_run": false});
    let call = |body: Value| admin.post("/v1/admin/course/imports", body).header("Idempotency-Key", "one");
    let first = call(body.clone()).await.expect(202).json;
    assert_eq!(call(body.clone()).await.expect(202).json, first);
    call(json!({"document": COURSE})).await.expect(409).problem("idempotency_key_reused");
    app.run_jobs().await;
    let ended = get(&admin, &first).await;
    assert_eq!(ended["created_count"], 11);
    // The job is repeated after its effect was committed, as after a crash.
    let id = first["id"].as_str().unwrap().parse().unwrap();
    cairn_core::learning::imports::run(&app.app.db, id).await.unwrap();
    assert_eq!(get(&admin, &first).await, ended);
    // And one that was killed in the middle: the row says that it runs.
    let second = request(&admin, COURSE, json!({"dry_run": false})).await;
    sqlx::query("UPDATE course_imports SET state = 'running', started_at = now() WHERE finished_at IS NULL")
        .execute(app.app.pool())
        .await
        .unwrap();
    app.run_jobs().await;
    assert_eq!(
        some(&get(&admin, &second).await, &["state", "unchanged_count"]),
        json!({"state": "completed", "unchanged_count": 11})
    );
}

#[tokio::test]
async fn a_conflict_fails_the_import_and_changes_nothing() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    sqlx::query("INSERT INTO prompt_categories (slug, name, kind) VALUES ('other', 'Plan', 'planning')")
        .execute(app.app.pool())
        .await
        .unwrap();
    let document = format!("{COURSE}prompt_categories:\n  - {{slug: plan, name: Plan, kind: planning}}\n");
    let failed = import(&app, &admin, &document, json!({"dry_run": false})).await;
    assert_eq!(failed["state"], "failed");
    assert!(failed["error"].as_str().unwrap().contains("(plan)"), "{failed}");
    assert_eq!(app.count("SELECT count(*) FROM lessons").await, 0);
}

#[tokio::test]
async fn imports_without_a_job_are_picked_up_and_those_with_a_dead_one_fail() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    let (lost, dead) = (request(&admin, COURSE, json!({})).await, request(&admin, COURSE, json!({})).await);
    let reconcile = async || {
        let mut tx = app.app.db.begin().await.unwrap();
        cairn_core::learning::imports::requeue_waiting(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
    };
    sqlx::query("DELETE FROM apalis.jobs WHERE strpos(encode(job, 'escape'), $1) > 0 AND job_type = 'maintenance'")
        .bind(lost["id"].as_str().unwrap())
        .execute(app.app.pool())
        .await
        .unwrap();
    sqlx::query("UPDATE apalis.jobs SET status = 'Killed', done_at = now() WHERE job_type = 'maintenance'")
        .execute(app.app.pool())
        .await
        .unwrap();
    sqlx::query("UPDATE course_imports SET created_at = now() - interval '2 minutes'")
        .execute(app.app.pool())
        .await
        .unwrap();
    reconcile().await;
    assert_eq!(get(&admin, &dead).await["state"], "failed");
    sqlx::query("DELETE FROM apalis.jobs WHERE status = 'Killed'").execute(app.app.pool()).await.unwrap();
    app.run_jobs().await;
    assert_eq!(get(&admin, &lost).await["state"], "completed");
}

/// While something keeps the import from going on, it says how far it is.
#[tokio::test]
async fn a_running_import_tells_its_progress() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    let requested = request(&admin, COURSE, json!({"dry_run": false})).await;
    let mut holder = sqlx::PgConnection::connect(app.url()).await.unwrap();
    // The last object of the course waits for this one, which has its slug.
    sqlx::raw_sql("BEGIN; INSERT INTO glossary_terms (slug, term, definition) VALUES ('term', 'T', 'D')")
        .execute(&mut holder)
        .await
        .unwrap();
    let running = tokio::spawn({
        let app = app.clone();
        async move { app.run_jobs().await }
    });
    let seen = loop {
        let seen = get(&admin, &requested).await;
        // On the way there may be reports of less.
        if seen["objects_done"] == 10 {
            break seen;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(
        some(&seen, &["state", "objects_done", "objects_total"]),
        json!({"state": "running", "objects_done": 10, "objects_total": 11})
    );
    sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.unwrap();
    running.await.unwrap();
    assert_eq!(get(&admin, &requested).await["state"], "completed");
}

/// An editor who has read a lesson must not overwrite what an import has changed in it.
#[tokio::test]
async fn an_import_raises_the_versions_of_what_it_changes() {
    let app = TestApp::new().await;
    let (admin, anna) = (app.admin("root").await, app.student("anna").await);
    import(&app, &admin, COURSE, json!({"dry_run": false})).await;
    let lessons = admin.get("/v1/admin/lessons").await.expect(200).json;
    let first = admin_path("lessons", lessons["items"][0]["id"].as_str().unwrap());
    let roadmap = admin.get("/v1/admin/roadmaps").await.expect(200).json["items"][0]["id"].clone();
    let roadmap = admin.get(&admin_path("roadmaps", roadmap.as_str().unwrap())).await.expect(200).json;
    let stage = admin_path("stages", roadmap["stages"][0]["id"].as_str().unwrap());
    let etag = async |path: &str| admin.get(path).await.expect(200).header("etag").to_owned();
    let before = (etag(&first).await, etag(&stage).await);
    assert_eq!(before, ("\"1\"".to_owned(), "\"1\"".to_owned()));

    let edited = admin.get(&first).await.expect(200).json;
    let (id, read) = (edited["id"].as_str().unwrap().parse().unwrap(), &edited["tasks"][0]["id"]);
    check(&anna, id, read.as_str().unwrap().parse().unwrap()).await.expect(200);
    import(&app, &admin, &COURSE.replace("title: Write", "title: Write it"), json!({"dry_run": false})).await;
    assert_eq!((etag(&first).await, etag(&stage).await), ("\"2\"".to_owned(), before.1.clone()));
    let outdated = admin.patch(&first, json!({"tasks": edited["tasks"]})).header("If-Match", &before.0);
    outdated.await.expect(412).problem("version_mismatch");
    assert_eq!(lesson(&anna, id).await["tasks"][0]["is_checked"], true);

    let fewer = COURSE.replace(", {lesson: second}]", "]").replace("title: Write", "title: Write it");
    import(&app, &admin, &fewer, json!({"dry_run": false})).await;
    assert_eq!((etag(&first).await, etag(&stage).await), ("\"2\"".to_owned(), "\"2\"".to_owned()));
    let material = fewer.replace("title: One", "title: Uno");
    import(&app, &admin, &material, json!({"dry_run": false})).await;
    assert_eq!(etag(&first).await, "\"3\"");
}

/// A task that a document no longer contains completes lessons as one that an editor removes.
#[tokio::test]
async fn an_import_completes_lessons_whose_tasks_it_removes() {
    let app = TestApp::new().await;
    let (admin, anna) = (app.admin("root").await, app.student("anna").await);
    let by_tasks = COURSE.replace("duration_minutes: 5", "duration_minutes: 5\n        completion: tasks");
    import(&app, &admin, &by_tasks, json!({"dry_run": false})).await;
    let listed = admin.get("/v1/admin/lessons").await.expect(200).json;
    let id = listed["items"][0]["id"].as_str().unwrap().parse().unwrap();
    let read = lesson(&anna, id).await["tasks"][0]["id"].as_str().unwrap().parse().unwrap();
    check(&anna, id, read).await.expect(200);
    let fewer = by_tasks.replace(", {slug: write, title: Write}", "");
    import(&app, &admin, &fewer, json!({})).await;
    assert_eq!(lesson(&anna, id).await["status"], "in_progress", "a dry run changes nothing");
    import(&app, &admin, &fewer, json!({"dry_run": false})).await;
    assert_eq!(lesson(&anna, id).await["status"], "completed");
}
