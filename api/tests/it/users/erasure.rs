//! Deleting one's own account: what goes, what stays without a name, and what others notice.

use std::sync::Arc;

use cairn_core::admin::maintenance::Reconcile;
use cairn_core::admin::verify::{Mode, verify};
use cairn_core::users::export::Section;
use cairn_testing::personal_data::Personal;
use futures_util::future::join_all;
use poem::http::Method;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tokio::sync::Barrier;
use uuid::Uuid;

use super::password::{login, set_password};
use crate::support::{Actor, Call, TestApp};
use cairn_testing::course::Course;

const PASSWORD: &str = "correct horse battery";

/// Has somebody do everything that is stored: learn, favor a prompt, show a project, like one of `other`, and ask.
pub(super) async fn furnish(app: &TestApp, person: &Actor, other: &Actor) {
    let name: String = sqlx::query_scalar("SELECT first_name FROM users WHERE id = $1")
        .bind(person.id)
        .fetch_one(app.app.pool())
        .await
        .unwrap();
    if app.count("SELECT count(*) FROM lessons").await == 0 {
        let course = Course::new(app.app.pool()).await;
        let path = course.path(false, &[1, 1]).await;
        course.task(path.lessons[0][0], "Try it", true).await;
        sqlx::raw_sql(
            "INSERT INTO prompt_categories (slug, name, kind) VALUES ('cc', 'C', 'design');
             INSERT INTO prompts (category_id, slug, title, body) SELECT id, 'pp', 'P', 'B' FROM prompt_categories",
        )
        .execute(app.app.pool())
        .await
        .unwrap();
        reconcile(app).await;
    }
    act(app, person, other, &name).await;
    sqlx::query("INSERT INTO user_lesson_task_progress (user_id, task_id) SELECT $1, id FROM lesson_tasks")
        .bind(person.id)
        .execute(app.app.pool())
        .await
        .unwrap();
    sqlx::query("INSERT INTO user_prompt_favorites (user_id, prompt_id) SELECT $1, id FROM prompts")
        .bind(person.id)
        .execute(app.app.pool())
        .await
        .unwrap();
    app.run_jobs().await;
    react(app, person, other).await;
    app.run_jobs().await;
}

/// Has somebody rate their reply, which has cost something, and put it before the mentors, of whom `other` answers.
async fn react(app: &TestApp, person: &Actor, other: &Actor) {
    let reply: Uuid = sqlx::query_scalar(
        "UPDATE ai_reply_attempts a SET prompt_tokens = 5 FROM ai_replies r WHERE r.id = a.reply_id AND r.user_id = $1
         RETURNING r.id",
    )
    .bind(person.id)
    .fetch_one(app.app.pool())
    .await
    .unwrap();
    let put = async |path: &str, body: Value| {
        person.call(Method::PUT, &format!("/v1/replies/{reply}/{path}")).json(body).await.expect(200);
    };
    put("rating", json!({"thumb": "down", "reason": "Too short"})).await;
    put("mentor-question", json!({"consent": true})).await;
    sqlx::query("UPDATE mentor_questions SET answered_at = now(), answered_by = $2 WHERE user_id = $1")
        .bind(person.id)
        .bind(other.id)
        .execute(app.app.pool())
        .await
        .unwrap();
}

/// The part of it that is done by requests. Leaves the jobs.
async fn act(app: &TestApp, person: &Actor, other: &Actor, name: &str) {
    let lesson: Uuid =
        sqlx::query_scalar("SELECT id FROM lessons ORDER BY position LIMIT 1").fetch_one(app.app.pool()).await.unwrap();
    let project: Uuid = sqlx::query_scalar(
        "INSERT INTO showcase_projects (user_id, title, status, published_at) VALUES ($1, 'To like', 'published', now())
         RETURNING id",
    )
    .bind(other.id)
    .fetch_one(app.app.pool())
    .await
    .unwrap();
    person.put(&format!("/v1/lessons/{lesson}/completion")).header("User-Agent", "Browser").await.expect(200);
    person.put(&format!("/v1/projects/{project}/like")).await.expect(200);
    let body = json!({"title": format!("Project of {name}"), "description": "About me"});
    person.post("/v1/projects", body).header("User-Agent", "Browser").await.expect(201);
    person.patch("/v1/me", json!({"last_name": "Moreno"})).await.expect(200);
    let question = json!({"message": format!("A secret question of {name}")});
    person.post("/v1/tools/assistant/messages", question).await.expect(202);
}

fn delete_me(person: &Actor, password: &str) -> Call {
    person.delete("/v1/me").json(json!({"password": password}))
}

/// Rows about somebody, by table; tables without any are left out.
async fn left(app: &TestApp, person: &Actor) -> Vec<(String, i64)> {
    sqlx::query_as(
        "SELECT what, count(*) FROM (
             SELECT user_id, 'sessions' AS what FROM sessions
             UNION ALL SELECT user_id, 'keys' FROM idempotency_keys
             UNION ALL SELECT user_id, 'resets' FROM password_resets
             UNION ALL SELECT user_id, 'verifications' FROM email_verifications
             UNION ALL SELECT user_id, 'facts' FROM user_lesson_progress
             UNION ALL SELECT user_id, 'tasks' FROM user_lesson_task_progress
             UNION ALL SELECT user_id, 'markers' FROM progress_dirty
             UNION ALL SELECT user_id, 'stages' FROM user_stage_progress
             UNION ALL SELECT user_id, 'roadmaps' FROM user_roadmap_progress
             UNION ALL SELECT user_id, 'favorites' FROM user_prompt_favorites
             UNION ALL SELECT user_id, 'likes' FROM project_likes
             UNION ALL SELECT user_id, 'chats' FROM tool_chats
             UNION ALL SELECT user_id, 'replies' FROM ai_replies
             UNION ALL SELECT user_id, 'projects' FROM showcase_projects WHERE deleted_at IS NULL OR title <> 'Deleted'
                 OR description <> ''
             UNION ALL SELECT actor_id, 'addresses' FROM activity_log WHERE num_nonnulls(ip, user_agent) > 0
             UNION ALL SELECT target_id, 'titles' FROM activity_log WHERE target_title IS NOT NULL OR metadata <> '{}'
             UNION ALL SELECT actor_id, 'project titles' FROM activity_log WHERE target_title LIKE 'Project of%'
         ) r WHERE user_id = $1 GROUP BY what ORDER BY what",
    )
    .bind(person.id)
    .fetch_all(app.app.pool())
    .await
    .unwrap()
}

async fn assert_clean(app: &TestApp) {
    let report = verify(app.app.pool(), Mode::Strict).await.unwrap();
    assert!(report.is_clean(), "{report:#?}");
}

/// Runs the erasure that follows when no request can be under way any more.
async fn settle(app: &TestApp) {
    sqlx::query("UPDATE erasures SET requested_at = now() - interval '2 minutes', queued_at = NULL")
        .execute(app.app.pool())
        .await
        .unwrap();
    reconcile(app).await;
    assert_eq!(app.count("SELECT count(*) FROM erasures").await, 0);
}

async fn reconcile(app: &TestApp) {
    let mut tx = app.app.db.begin().await.unwrap();
    tx.enqueue(&Reconcile {}).unwrap();
    tx.commit().await.unwrap();
    app.run_jobs().await;
}

/// Workers of the previous release erase without the tables that were made since, and then take the user for erased.
#[tokio::test]
async fn what_the_previous_release_does_not_know_is_erased_when_it_is_done() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let delete_and_erase = format!(
        "INSERT INTO ai_learner_spending (user_id, day, tool_type, tokens) VALUES ('{id}', '2026-03-01', 'ideas', 5);
         INSERT INTO ai_budget_warnings (scope, period, unit, amount, starts_on, user_id)
         VALUES ('learner', 'day', 'tokens', 5, '2026-03-01', '{id}');
         UPDATE users SET erased_at = now(), deleted_at = now() WHERE id = '{id}';
         INSERT INTO erasures (user_id) VALUES ('{id}');
         DELETE FROM erasures WHERE user_id = '{id}'",
        id = anna.id
    );
    sqlx::raw_sql(AssertSqlSafe(delete_and_erase)).execute(app.app.pool()).await.unwrap();
    let left = "SELECT (SELECT count(*) FROM ai_learner_spending) + (SELECT count(*) FROM ai_budget_warnings)";
    assert_eq!(app.count(left).await, 0);
}

#[tokio::test]
async fn whoever_deletes_their_account_leaves_nothing_that_names_them() {
    let app = TestApp::new().await;
    let (admin, anna, ben) = (app.admin("root").await, app.student("anna").await, app.student("ben").await);
    set_password(&app, &anna, PASSWORD).await;
    login(&app, "anna@example.test", PASSWORD).header("User-Agent", "Phone").await.expect(200);
    furnish(&app, &anna, &ben).await;
    furnish(&app, &ben, &anna).await;
    let mut before = left(&app, &anna).await;
    before.retain(|(what, _)| !["keys", "resets"].contains(&what.as_str()));
    assert_eq!(before.len(), 14, "{before:?}");
    assert_clean(&app).await;

    delete_me(&anna, "wrong horse battery").await.expect(403).problem("wrong_password");
    anna.delete("/v1/me").invalid().await.expect(415).problem("unsupported_media_type");
    delete_me(&anna, PASSWORD).header("User-Agent", "Browser").await.expect(204);
    anna.get("/v1/me").await.expect(401).problem("unauthorized");
    login(&app, "anna@example.test", PASSWORD).await.expect(401).problem("invalid_credentials");
    let projects = ben.get("/v1/projects").await.expect(200);
    assert!(!projects.text.contains("anna"), "{}", projects.text);
    app.run_jobs().await;
    assert_eq!(left(&app, &anna).await, []);
    assert_clean(&app).await;

    let row: Value = sqlx::query_scalar("SELECT to_jsonb(u) FROM users u WHERE id = $1")
        .bind(anna.id)
        .fetch_one(app.app.pool())
        .await
        .unwrap();
    assert_eq!(row["email"], format!("{}@deleted.invalid", anna.id));
    assert_eq!(
        (&row["first_name"], &row["last_name"], &row["password_hash"]),
        (&json!("Deleted"), &Value::Null, &Value::Null)
    );
    assert_eq!(row["progress_percent"], Value::Null);
    // The project that she liked has lost her like, and nothing else; what was done stays in the record, without a name.
    assert_eq!(app.count("SELECT sum(likes_count)::bigint FROM showcase_projects WHERE deleted_at IS NULL").await, 0);
    assert_eq!(app.count("SELECT count(*) FROM activity_log WHERE action = 'user.deleted'").await, 1);
    let completed = "SELECT count(*) FROM activity_log WHERE action = 'lesson.completed' AND target_title IS NOT NULL";
    assert_eq!(app.count(completed).await, 2);
    assert!(left(&app, &ben).await.len() > 10, "others keep what is theirs");

    // For admins the account is gone for good, and its address can be used again.
    let path = format!("/v1/admin/users/{}", anna.id);
    admin.get(&path).await.expect(404).problem("user_not_found");
    let restore = admin.call(Method::POST, &format!("{path}/restore")).header("If-Match", "\"1\"");
    restore.await.expect(404).problem("user_not_found");
    let deleted = admin.get("/v1/admin/users?deleted=true").await.expect(200).json;
    assert_eq!(deleted["items"], json!([]));
    app.student("anna").await.get("/v1/me").await.expect(200);
    settle(&app).await;
    assert_removed(&app, &anna).await;
    assert_clean(&app).await;
}

/// Rollups, counts, replies and activities that were enqueued before find nothing to do.
#[tokio::test]
async fn jobs_of_a_deleted_user_do_nothing_and_do_not_die() {
    let app = TestApp::new().await;
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    set_password(&app, &anna, PASSWORD).await;
    furnish(&app, &ben, &anna).await;
    act(&app, &anna, &ben, "anna").await;
    let waiting = "SELECT count(DISTINCT job_type) FROM apalis.jobs WHERE status = 'Pending'";
    assert_eq!(app.count(waiting).await, 4, "activity, progress, likes and replies");
    delete_me(&anna, PASSWORD).await.expect(204);
    app.run_jobs().await;
    assert_eq!(left(&app, &anna).await, []);
    assert_eq!(app.count("SELECT count(*) FROM apalis.jobs WHERE status <> 'Done'").await, 0);
    assert_clean(&app).await;
    settle(&app).await;
}

/// A request that was admitted before the deletion may write after it.
#[tokio::test]
async fn what_was_under_way_is_erased_too() {
    let app = TestApp::new().await;
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    set_password(&app, &anna, PASSWORD).await;
    furnish(&app, &anna, &ben).await;
    delete_me(&anna, PASSWORD).await.expect(204);
    app.run_jobs().await;
    sqlx::query("INSERT INTO user_lesson_progress (user_id, lesson_id) SELECT $1, id FROM lessons")
        .bind(anna.id)
        .execute(app.app.pool())
        .await
        .unwrap();
    sqlx::query(
        "INSERT INTO project_likes (project_id, user_id) SELECT id, $1 FROM showcase_projects WHERE user_id <> $1",
    )
    .bind(anna.id)
    .execute(app.app.pool())
    .await
    .unwrap();
    settle(&app).await;
    assert_eq!(left(&app, &anna).await, []);
    assert_clean(&app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn learning_on_while_the_account_is_deleted_leaves_nothing() {
    let app = TestApp::new().await;
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    set_password(&app, &anna, PASSWORD).await;
    furnish(&app, &anna, &ben).await;
    let lessons: Vec<Uuid> = sqlx::query_scalar("SELECT id FROM lessons").fetch_all(app.app.pool()).await.unwrap();
    let barrier = Arc::new(Barrier::new(5));
    let learning = (0..4).map(|n| {
        let (anna, barrier, lesson) = (anna.clone(), Arc::clone(&barrier), lessons[n % lessons.len()]);
        tokio::spawn(async move {
            barrier.wait().await;
            for round in 0..20 {
                let path = format!("/v1/lessons/{lesson}/completion");
                let reply = if round % 2 == 0 { anna.delete(&path).await } else { anna.put(&path).await };
                assert!([200, 401].contains(&reply.status.as_u16()), "{reply:?}");
            }
        })
    });
    let learning: Vec<_> = learning.collect();
    barrier.wait().await;
    delete_me(&anna, PASSWORD).await.expect(204);
    app.run_jobs().await;
    join_all(learning).await.into_iter().for_each(Result::unwrap);
    settle(&app).await;
    assert_eq!(left(&app, &anna).await, []);
    assert_clean(&app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_active_admin_cannot_delete_themself() {
    let app = TestApp::new().await;
    let admins = [app.admin("one").await, app.admin("two").await];
    for admin in &admins {
        set_password(&app, admin, PASSWORD).await;
    }
    let barrier = Arc::new(Barrier::new(2));
    let attempts = admins.clone().map(|admin| {
        let barrier = Arc::clone(&barrier);
        tokio::spawn(async move {
            barrier.wait().await;
            delete_me(&admin, PASSWORD).await.status.as_u16()
        })
    });
    let mut statuses: Vec<u16> = join_all(attempts).await.into_iter().map(Result::unwrap).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 409]);
    let mut left = Vec::new();
    for admin in &admins {
        left.push(admin.get("/v1/admin/users").await.status.as_u16());
    }
    left.sort_unstable();
    assert_eq!(left, [200, 401]);
    app.run_jobs().await;
}

/// A column that is added must be thought of: docs/SECURITY.md says of each that refers to a person, or says something of one,
/// what becomes of it.
#[tokio::test]
async fn every_column_about_people_is_listed_with_what_becomes_of_it() {
    let app = TestApp::new().await;
    let columns: Vec<String> = sqlx::query_scalar(
        r"SELECT c.relname || '.' || a.attname
          FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
          WHERE c.relnamespace IN ('public'::regnamespace, 'apalis'::regnamespace)
            AND c.relkind IN ('r', 'p') AND NOT c.relispartition
            AND (EXISTS (
                    SELECT FROM pg_constraint k
                    WHERE k.conrelid = c.oid AND k.confrelid = 'users'::regclass AND a.attnum = ANY (k.conkey))
                OR a.atttypid = 'inet'::regtype
                OR a.attname IN ('ip', 'user_agent', 'email', 'first_name', 'last_name', 'avatar_url', 'password_hash',
                    'suspension_reason', 'user_id', 'actor_id')
                OR (a.attname LIKE '%\_by' AND a.atttypid = 'uuid'::regtype))
          ORDER BY 1",
    )
    .fetch_all(app.app.pool())
    .await
    .unwrap();
    let listed = Personal::all();
    let mut names: Vec<&str> = listed.iter().map(|row| row.column).collect();
    names.sort_unstable();
    assert_eq!(names, columns, "the table \"Personal data\" of docs/SECURITY.md");
    for Personal { column, erasure, export, retention } in listed {
        let is_known = ["removed", "emptied", "kept: "].iter().any(|word| erasure.starts_with(word));
        assert!(is_known && !retention.is_empty(), "{column}: {erasure}, {retention}");
        let is_exported = Section::ALL.iter().any(|section| export == format!("`{}", section.name()));
        assert!(is_exported || export.starts_with("no: "), "{column}: {export}");
    }
}

/// No row about them is left where docs/SECURITY.md says so.
async fn assert_removed(app: &TestApp, person: &Actor) {
    for row in Personal::all().iter().filter(|row| row.is_removed()) {
        let (table, column) = row.column.split_once('.').unwrap();
        let condition = match column {
            "ip" | "user_agent" | "email" => format!("{column} IS NOT NULL AND {} = $1", owner_of(table)),
            column => format!("{column} = $1"),
        };
        let query = format!("SELECT count(*) FROM {table} WHERE {condition}");
        let left: i64 =
            sqlx::query_scalar(AssertSqlSafe(query)).bind(person.id).fetch_one(app.app.pool()).await.unwrap();
        assert_eq!(left, 0, "{} is {}", row.column, row.erasure);
    }
}

/// The column of a table that says whose row it is.
fn owner_of(table: &str) -> &'static str {
    if table == "activity_log" { "actor_id" } else { "user_id" }
}
