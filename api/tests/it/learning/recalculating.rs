//! Responses while a roadmap is being recomputed: each follows the current content and shows that a recomputation is
//! running.

use cairn_core::learning::recompute;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use super::{complete, progress, tree};
use crate::support::{Actor, TestApp};
use cairn_testing::course::{Course, Path};
use cairn_testing::database::until_waiting;

/// Everything that tells a learner how far they are in the only roadmap there is.
async fn answers(actor: &Actor, roadmap: Uuid) -> Value {
    let list = actor.get("/v1/roadmaps").await.expect(200).json;
    let mine = actor.get("/v1/me/progress").await.expect(200).json;
    json!({
        "tree": tree(actor, roadmap).await,
        "progress": progress(actor, roadmap, "").await,
        "list": list["items"][0],
        "me": mine,
    })
}

/// Two learners' answers can be compared but for when something happened, and for who is still behind.
fn comparable(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .filter(|(key, _)| *key != "is_recalculating")
            .map(|(key, value)| {
                let value = if key.ends_with("_at") { json!(value.is_string()) } else { comparable(value) };
                (key.clone(), value)
            })
            .collect(),
        Value::Array(items) => items.iter().map(comparable).collect(),
        other => other.clone(),
    }
}

fn recalculating(answers: &Value) -> [&Value; 3] {
    ["tree", "progress", "list"].map(|answer| &answers[answer]["is_recalculating"])
}

fn sum(items: &Value, member: &str) -> i64 {
    items.as_array().unwrap().iter().map(|item| item[member].as_i64().unwrap()).sum()
}

fn count(items: &Value, is: impl Fn(&Value) -> bool) -> i64 {
    i64::try_from(items.as_array().unwrap().iter().filter(|item| is(item)).count()).unwrap()
}

/// Whatever one answer says follows from what it shows.
fn assert_consistent(answers: &Value, context: &str) {
    let (tree, numbers) = (&answers["tree"], &answers["progress"]);
    let stages = &tree["stages"];
    for roadmap in [tree, numbers, &answers["list"]] {
        for member in ["lessons_total", "lessons_completed"] {
            assert_eq!(roadmap[member], sum(stages, member), "{member}, {context}: {answers:#}");
        }
        assert_eq!(roadmap["stages_total"], count(stages, |stage| stage["lessons_total"] != 0), "{context}");
        assert_eq!(roadmap["stages_completed"], count(stages, |stage| stage["status"] == "completed"), "{context}");
        let is_completed = roadmap["lessons_total"] != 0 && roadmap["lessons_total"] == roadmap["lessons_completed"];
        assert_eq!(roadmap["status"] == "completed", is_completed, "{context}: {answers:#}");
        assert_eq!(roadmap["completed_at"].is_string(), is_completed, "{context}");
    }
    for (stage, numbers) in stages.as_array().unwrap().iter().zip(numbers["stages"].as_array().unwrap()) {
        let lessons = &stage["lessons"];
        let done = |lesson: &Value| lesson["is_required"] == true && lesson["status"] == "completed";
        assert_eq!(
            stage["lessons_total"],
            count(lessons, |lesson| lesson["is_required"] == true),
            "{context}: {stage:#}"
        );
        assert_eq!(stage["lessons_completed"], count(lessons, done), "{context}: {stage:#}");
        let is_completed = stage["lessons_total"] != 0 && stage["lessons_total"] == stage["lessons_completed"];
        assert_eq!(stage["status"] == "completed", is_completed, "{context}: {stage:#}");
        assert_eq!(stage["completed_at"].is_string(), is_completed, "{context}: {stage:#}");
        assert_eq!(stage["status"] == "locked", stage["locked_by"] != json!([]), "{context}: {stage:#}");
        assert_eq!(stage["id"], numbers["stage_id"], "{context}");
        for member in ["status", "percent", "lessons_total", "lessons_completed", "locked_by"] {
            assert_eq!(stage[member], numbers[member], "{context}");
        }
    }
    let started = if tree["status"] == "available" { json!([]) } else { json!([answers["list"]]) };
    assert_eq!(answers["me"]["roadmaps"], started, "{context}");
    assert_eq!(answers["me"]["percent"], tree["percent"], "no lesson is counted twice: {context}");
}

/// Edits content as an editor does: with the recomputation in the same transaction.
async fn edit(app: &TestApp, statement: &str) {
    let mut tx = app.app.db.begin().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut *tx).await.unwrap();
    recompute::enqueue_stale(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
}

/// Edits of a sequential roadmap of three stages, of which two are completed. Each goes on from the one before.
fn edits(course: &Course, path: &Path, draft: Uuid) -> Vec<(&'static str, String)> {
    let [first, second, third] = path.stages[..] else { panic!() };
    let (lesson, last) = (path.lessons[0][0], path.lessons[2][0]);
    let module = course.module;
    vec![
        (
            "a required lesson comes to a completed stage",
            format!("UPDATE lessons SET publication = 'published' WHERE id = '{draft}'"),
        ),
        ("it becomes optional", format!("UPDATE stage_lessons SET is_required = false WHERE lesson_id = '{draft}'")),
        ("it is required again", format!("UPDATE stage_lessons SET is_required = true WHERE lesson_id = '{draft}'")),
        ("a completed lesson is hidden", format!("UPDATE lessons SET publication = 'archived' WHERE id = '{lesson}'")),
        ("a stage is deleted", format!("UPDATE stages SET deleted_at = now() WHERE id = '{first}'")),
        ("a stage is hidden", format!("UPDATE stages SET publication = 'draft' WHERE id = '{third}'")),
        ("a stage is restored", format!("UPDATE stages SET deleted_at = NULL WHERE id = '{first}'")),
        ("a stage is shown", format!("UPDATE stages SET publication = 'published' WHERE id = '{third}'")),
        ("the last stage becomes the first", format!("UPDATE stages SET position = -1 WHERE id = '{third}'")),
        ("nothing is locked any more", "UPDATE roadmaps SET is_sequential = false".to_owned()),
        ("a stage loses its only lesson", format!("DELETE FROM stage_lessons WHERE lesson_id = '{last}'")),
        ("nothing is left to do", format!("DELETE FROM stage_lessons WHERE lesson_id = '{draft}'")),
        ("all lessons are hidden", format!("UPDATE course_modules SET publication = 'draft' WHERE id = '{module}'")),
        ("all lessons are shown", format!("UPDATE course_modules SET publication = 'published' WHERE id = '{module}'")),
        (
            "a stage comes with a lesson",
            format!(
                "INSERT INTO stages (id, roadmap_id, slug, title, position, publication)
                     VALUES ('{draft}', '{}', 'new', 'New', 99, 'published');
                 INSERT INTO stage_lessons (stage_id, lesson_id) VALUES ('{draft}', '{last}')",
                path.id
            ),
        ),
        ("a lesson moves", format!("UPDATE stage_lessons SET stage_id = '{second}' WHERE lesson_id = '{last}'")),
    ]
}

/// One learner is recomputed, one is still behind; both did the same. Every member of every answer is compared.
#[tokio::test]
async fn whoever_is_behind_is_shown_what_is_about_to_be_stored() {
    let app = TestApp::new().await;
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    let course = Course::new(app.app.pool()).await;
    let path = course.path(true, &[2, 1, 1]).await;
    let draft = course.lesson("Draft").await;
    course.put(path.stages[0], draft, true).await;
    course.edit("UPDATE lessons SET publication = 'draft' WHERE id = $1", draft).await;
    for id in path.lessons[..2].concat() {
        complete(&anna, id).await.expect(200);
        complete(&ben, id).await.expect(200);
    }
    app.run_jobs().await;
    for (what, statement) in edits(&course, &path, draft) {
        // The walk passes over ben: he seems to be acting.
        let mut acting = PgConnection::connect(app.url()).await.unwrap();
        sqlx::raw_sql("BEGIN").execute(&mut acting).await.unwrap();
        sqlx::query("SELECT FROM progress_dirty WHERE user_id = $1 FOR UPDATE")
            .bind(ben.id)
            .execute(&mut acting)
            .await
            .unwrap();
        let before = answers(&anna, path.id).await;
        edit(&app, &statement).await;
        let counted = answers(&anna, path.id).await;
        assert_eq!(recalculating(&counted), [true; 3], "{what}");
        assert_consistent(&counted, what);
        assert_ne!(comparable(&counted), comparable(&before), "{what}");

        app.run_jobs().await;
        let (stored, behind) = (answers(&anna, path.id).await, answers(&ben, path.id).await);
        assert_eq!((recalculating(&stored), recalculating(&behind)), ([&json!(false); 3], [&json!(true); 3]), "{what}");
        assert_consistent(&stored, what);
        assert_consistent(&behind, what);
        assert_eq!(comparable(&behind), comparable(&stored), "{what}");
        assert_eq!(comparable(&counted), comparable(&stored), "{what}");

        sqlx::raw_sql("ROLLBACK").execute(&mut acting).await.unwrap();
        sqlx::query("UPDATE apalis.jobs SET run_at = now() WHERE status = 'Pending'")
            .execute(app.app.pool())
            .await
            .unwrap();
        app.run_jobs().await;
        let caught_up = answers(&ben, path.id).await;
        assert_eq!(recalculating(&caught_up), [false; 3], "{what}");
        assert_eq!(comparable(&caught_up), comparable(&stored), "{what}");
    }
}

/// The content changes while a request is being answered, by a process that has read the content before or has not.
#[tokio::test]
async fn an_answer_is_of_one_moment() {
    for has_read_before in [false, true] {
        is_of_one_moment(has_read_before).await;
    }
}

async fn is_of_one_moment(has_read_before: bool) {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let course = Course::new(app.app.pool()).await;
    let path = course.path(true, &[1, 1]).await;
    complete(&anna, path.lessons[0][0]).await.expect(200);
    app.run_jobs().await;
    for address in [format!("/v1/roadmaps/{}", path.id), format!("/v1/roadmaps/{}/progress", path.id)] {
        let before = anna.get(&address).await.expect(200).json;
        let other = if has_read_before { app.clone() } else { app.sibling() };
        // The learner's progress is read last.
        let mut lock = PgConnection::connect(app.url()).await.unwrap();
        sqlx::raw_sql("BEGIN; LOCK TABLE user_stage_progress IN ACCESS EXCLUSIVE MODE")
            .execute(&mut lock)
            .await
            .unwrap();
        let call = tokio::spawn({
            let anna = anna.at(&other);
            let address = address.clone();
            async move { anna.get(&address).await.expect(200).json }
        });
        until_waiting(app.app.pool(), 1).await;
        let added = course.lesson("Added").await;
        course.put(path.stages[0], added, true).await;
        sqlx::raw_sql("COMMIT").execute(&mut lock).await.unwrap();
        let meanwhile = call.await.unwrap();
        let after = anna.get(&address).await.expect(200).json;
        assert!(meanwhile == before || meanwhile == after, "{address}: {meanwhile:#}");
        assert_eq!(after["stages"][0]["status"], "in_progress", "{after:#}");
        let mut tx = app.app.db.begin().await.unwrap();
        recompute::enqueue_stale(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        app.run_jobs().await;
    }
}
