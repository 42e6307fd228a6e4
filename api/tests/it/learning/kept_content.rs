//! Content that the API keeps in memory: it is never shown once it has changed, whoever changed it and however their
//! transactions commit.

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::{complete, tree};
use crate::support::TestApp;
use crate::support::statements::with_statements;
use cairn_testing::course::Course;

#[tokio::test]
async fn a_tree_that_was_read_before_takes_one_statement() {
    let app = TestApp::new().await;
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    let path = Course::new(app.app.pool()).await.path(true, &[1, 30]).await;
    complete(&anna, path.lessons[0][0]).await.expect(200);
    app.run_jobs().await;
    let first = tree(&anna, path.id).await;
    let (again, statements) = with_statements(tree(&anna, path.id)).await;
    assert_eq!((again, statements.len()), (first, 2), "the caller, and the learner's progress");
    let (_, statements) = with_statements(tree(&ben, path.id)).await;
    assert_eq!(statements.len(), 2, "another learner, who has not begun");
    assert_eq!(tree(&ben, path.id).await["stages"][1]["lessons"][0]["is_locked"], true);
    assert_eq!(tree(&anna, path.id).await["stages"][1]["lessons"][0]["is_locked"], false);
}

#[tokio::test]
async fn every_change_of_content_is_seen_by_every_process_at_once() {
    let app = TestApp::new().await;
    let other = app.sibling();
    let anna = app.student("anna").await;
    let course = Course::new(app.app.pool()).await;
    let path = course.path(true, &[1, 1]).await;
    let (stage, lesson, module) = (path.stages[0], path.lessons[0][0], course.module);
    for change in [
        format!("UPDATE roadmaps SET title = 'Changed' WHERE id = '{}'", path.id),
        format!("UPDATE stages SET summary = 'Changed' WHERE id = '{stage}'"),
        format!("UPDATE lessons SET title = 'Changed' WHERE id = '{lesson}'"),
        format!("UPDATE stages SET position = 100 WHERE id = '{stage}'"),
        format!("UPDATE stage_lessons SET is_required = false WHERE lesson_id = '{lesson}'"),
        format!("UPDATE course_modules SET publication = 'draft' WHERE id = '{module}'"),
        format!("UPDATE course_modules SET publication = 'published' WHERE id = '{module}'"),
        format!("DELETE FROM stage_lessons WHERE lesson_id = '{lesson}'"),
        format!("UPDATE stages SET deleted_at = now() WHERE id = '{stage}'"),
    ] {
        let before = tree(&anna, path.id).await;
        assert_eq!(tree(&anna.at(&other), path.id).await, before, "{change}");
        sqlx::query(AssertSqlSafe(change.clone())).execute(app.app.pool()).await.unwrap();
        let after = tree(&anna, path.id).await;
        assert_ne!(after, before, "{change}");
        assert_eq!(tree(&anna.at(&other), path.id).await, after, "{change}");
    }
    sqlx::query("UPDATE roadmaps SET publication = 'archived'").execute(app.app.pool()).await.unwrap();
    for app in [&app, &other] {
        anna.at(app).get(&format!("/v1/roadmaps/{}", path.id)).await.expect(404).problem("roadmap_not_found");
    }
}

/// Transactions get their ids in one order and commit in another.
#[tokio::test]
async fn a_change_that_commits_after_a_later_one_is_seen() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let path = Course::new(app.app.pool()).await.path(false, &[1, 1]).await;
    let titles = async || {
        let tree = tree(&anna, path.id).await;
        [0, 1].map(|n| tree["stages"][n]["lessons"][0]["title"].as_str().unwrap().to_owned())
    };
    let mut early = PgConnection::connect(app.url()).await.unwrap();
    let mut undone = PgConnection::connect(app.url()).await.unwrap();
    let rename = "UPDATE lessons SET title = $2 WHERE id = $1";
    for (connection, lesson, title) in [(&mut early, 0, "Early"), (&mut undone, 1, "Never")] {
        sqlx::raw_sql("BEGIN").execute(&mut *connection).await.unwrap();
        sqlx::query(rename).bind(path.lessons[lesson][0]).bind(title).execute(connection).await.unwrap();
    }
    assert_eq!(titles().await, ["Lesson 1.1", "Lesson 2.1"]);
    sqlx::raw_sql("ROLLBACK").execute(&mut undone).await.unwrap();
    sqlx::query(rename).bind(path.lessons[1][0]).bind("Late").execute(app.app.pool()).await.unwrap();
    assert_eq!(titles().await, ["Lesson 1.1", "Late"], "the early one has not committed yet");
    sqlx::raw_sql("COMMIT").execute(&mut early).await.unwrap();
    assert_eq!(titles().await, ["Early", "Late"]);
}

/// A dump that is restored on another server, and a database that was replicated to one, bring ids along that this server will give
/// out later, or has given to a transaction that is not over.
#[tokio::test]
async fn ids_of_another_server_do_not_keep_content_from_being_kept() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let path = Course::new(app.app.pool()).await.path(false, &[1]).await;
    let mut open = PgConnection::connect(app.url()).await.unwrap();
    let given: String = sqlx::query_scalar("SELECT pg_current_xact_id()::text").fetch_one(&mut open).await.unwrap();
    sqlx::raw_sql("BEGIN").execute(&mut open).await.unwrap();
    let unfinished: String =
        sqlx::query_scalar("SELECT pg_current_xact_id()::text").fetch_one(&mut open).await.unwrap();
    for id in ["9000000000", &given, &unfinished] {
        sqlx::query("INSERT INTO catalog_changes (xact) VALUES ($1::text::xid8)")
            .bind(id)
            .execute(app.app.pool())
            .await
            .unwrap();
    }
    tree(&anna, path.id).await;
    assert_eq!(with_statements(tree(&anna, path.id)).await.1.len(), 2);
    // If that transaction changes content, it is seen, though its id was there before.
    sqlx::query("UPDATE lessons SET title = 'New' WHERE id = $1")
        .bind(path.lessons[0][0])
        .execute(&mut open)
        .await
        .unwrap();
    let title = async || tree(&anna, path.id).await["stages"][0]["lessons"][0]["title"].clone();
    assert_eq!(title().await, "Lesson 1.1");
    sqlx::raw_sql("COMMIT").execute(&mut open).await.unwrap();
    assert_eq!(title().await, "New");
}

/// As after a recovery to an earlier moment, while the API went on: its ids are given out again.
#[tokio::test]
async fn what_was_read_on_a_server_that_was_ahead_is_read_again() {
    let app = TestApp::new().await;
    let changes: Vec<String> = sqlx::query_scalar(
        "SELECT since || ': ' || EXISTS (SELECT FROM catalog_changes_since(since))
         FROM (VALUES (pg_current_snapshot()), ('9000000000:9000000000:'::pg_snapshot)) v (since)",
    )
    .fetch_all(app.app.pool())
    .await
    .unwrap();
    assert!(changes[0].ends_with(": false") && changes[1].ends_with(": true"), "{changes:?}");
}

/// A lesson in a locked stage is open if a stage of another roadmap has it.
#[tokio::test]
async fn a_lesson_that_opens_elsewhere_opens_in_a_tree_that_was_read_before() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let course = Course::new(app.app.pool()).await;
    let path = course.path(true, &[1, 1]).await;
    let elsewhere = course.path(false, &[1]).await;
    let lesson = path.lessons[1][0];
    let is_locked = async || tree(&anna, path.id).await["stages"][1]["lessons"][0]["is_locked"].clone();
    assert_eq!(is_locked().await, true);
    course.put(elsewhere.stages[0], lesson, true).await;
    assert_eq!(is_locked().await, false);
    assert_eq!(is_locked().await, false);
    sqlx::query("DELETE FROM stage_lessons WHERE stage_id = $1 AND lesson_id = $2")
        .bind(elsewhere.stages[0])
        .bind(lesson)
        .execute(app.app.pool())
        .await
        .unwrap();
    assert_eq!(is_locked().await, true);
}

#[tokio::test]
async fn what_a_client_has_already_is_not_sent_again() {
    let app = TestApp::new().await;
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    let path = Course::new(app.app.pool()).await.path(false, &[1]).await;
    let lesson = path.lessons[0][0];
    for address in [format!("/v1/roadmaps/{}", path.id), format!("/v1/lessons/{lesson}"), "/v1/modules".to_owned()] {
        let first = anna.get(&address).await.expect(200);
        let tag = first.header("etag").to_owned();
        assert!(!tag.starts_with("W/") && tag.starts_with('"'), "{tag}");
        for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
            let unchanged = anna.get(&address).header("If-None-Match", &known).await.expect(304);
            assert_eq!((unchanged.header("etag"), unchanged.header("content-type")), (&*tag, ""), "{known}");
            assert_eq!(unchanged.header("cache-control"), "private, no-cache");
            assert!(unchanged.json.is_null(), "{known}: {unchanged:?}");
        }
        assert_eq!(anna.get(&address).header("If-None-Match", "\"other\"").await.expect(200).json, first.json);
        complete(&anna, lesson).await.expect(200);
        app.run_jobs().await;
        let changed = anna.get(&address).header("If-None-Match", &tag).await.expect(200);
        assert_ne!(changed.header("etag"), tag, "{address}");
        ben.get(&address).header("If-None-Match", changed.header("etag")).await.expect(200);
        anna.call(poem::http::Method::DELETE, &format!("/v1/lessons/{lesson}/completion")).await;
        app.run_jobs().await;
    }
    anna.get("/v1/lessons/00000000-0000-0000-0000-000000000001").header("If-None-Match", "*").await.expect(404);
}
