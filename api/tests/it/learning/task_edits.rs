//! Edits of tasks that leave learners with nothing to check.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::lesson_edits::Fixture;
use super::{check, complete, lesson, patch, progress, uncheck};

#[tokio::test]
async fn whoever_did_the_rest_has_completed_the_lesson_when_a_task_goes() {
    for optional in [false, true] {
        let fixture = Fixture::new().await;
        let app = &fixture.app;
        let [one, two, extra] = fixture.tasks;
        let mut learners = Vec::new();
        for (name, tasks) in [("anna", vec![one]), ("ben", vec![one, two]), ("cleo", vec![extra]), ("dora", vec![])] {
            let learner = app.student(name).await;
            for task in tasks {
                check(&learner, fixture.id, task).await.expect(200);
            }
            learners.push(learner);
        }
        let [anna, ben, cleo, dora] = &learners[..] else { panic!() };
        app.run_jobs().await;
        let completed_at = lesson(ben, fixture.id).await["completed_at"].clone();
        let mut tasks = fixture.entries().await;
        if optional {
            tasks[1]["is_required"] = false.into();
        } else {
            tasks.remove(1);
        }
        fixture.set_tasks(tasks).await;
        assert_eq!(app.count("SELECT count(*) FROM lesson_tasks_dirty").await, 1);
        app.run_jobs().await;
        assert_eq!(app.count("SELECT count(*) FROM lesson_tasks_dirty").await, 0);
        assert_eq!(fixture.status(anna).await, "completed");
        assert_eq!(progress(anna, fixture.roadmap, "").await["percent"], 100);
        assert_eq!(lesson(ben, fixture.id).await["completed_at"], completed_at);
        assert_eq!(fixture.status(cleo).await, "in_progress");
        assert_eq!(fixture.status(dora).await, "available");
        let completions = "SELECT count(*) FROM activity_log WHERE action = 'lesson.completed'";
        assert_eq!(app.count(completions).await, 2);

        // A task that is added later takes nothing away.
        let mut tasks = fixture.entries().await;
        tasks.push(json!({"slug": "later", "title": "Later"}));
        fixture.set_tasks(tasks).await;
        app.run_jobs().await;
        assert_eq!(fixture.status(anna).await, "completed");
        assert_eq!(progress(anna, fixture.roadmap, "").await["percent"], 100);
        assert_eq!(app.count(completions).await, 2);
    }
}

/// Whoever writes it: the marker comes from a trigger, and the reconciler finds it.
#[tokio::test]
async fn an_edit_in_sql_completes_the_lesson_as_well() {
    for edit in [
        "DELETE FROM lesson_tasks WHERE id = ",
        "UPDATE lesson_tasks SET is_required = false WHERE id = ",
        "UPDATE lesson_tasks SET deleted_at = now() WHERE id = ",
    ] {
        let fixture = Fixture::new().await;
        let app = &fixture.app;
        let [one, two, _] = fixture.tasks;
        let anna = app.student("anna").await;
        check(&anna, fixture.id, one).await.expect(200);
        app.run_jobs().await;
        let edit = sqlx::AssertSqlSafe(format!("{edit} '{two}'"));
        sqlx::query(edit).execute(app.app.pool()).await.unwrap();
        let mut tx = app.app.db.begin().await.unwrap();
        cairn_core::learning::jobs::stale_tasks(&mut tx).await.unwrap();
        cairn_core::learning::jobs::stale_roadmaps(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        app.run_jobs().await;
        assert_eq!(fixture.status(&anna).await, "completed");
        assert_eq!(progress(&anna, fixture.roadmap, "").await["percent"], 100);
        let report = cairn_core::admin::verify::verify(app.app.pool(), cairn_core::admin::verify::Mode::Strict);
        let report = report.await.unwrap();
        assert!(report.is_clean(), "{report:?}");
    }
}

#[tokio::test]
async fn a_rule_that_becomes_tasks_completes_the_lesson_for_those_who_did_them() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    patch(&fixture.admin, &fixture.path, json!({"completion": "manual"})).await.expect(200);
    for task in &fixture.tasks[..2] {
        check(&anna, fixture.id, *task).await.expect(200);
    }
    complete(&ben, fixture.id).await.expect(200);
    app.run_jobs().await;
    assert_eq!(fixture.status(&anna).await, "in_progress");
    patch(&fixture.admin, &fixture.path, json!({"completion": "tasks"})).await.expect(200);
    app.run_jobs().await;
    assert_eq!(fixture.status(&anna).await, "completed");
    assert_eq!(fixture.status(&ben).await, "completed", "what was completed by hand stays");
    assert_eq!(uncheck(&anna, fixture.id, fixture.tasks[0]).await.expect(200).json["status"], "in_progress");
    app.run_jobs().await;
}

/// Several chunks, and a job that is lost in the middle.
#[tokio::test]
async fn many_learners_are_completed_whatever_happens_to_the_job() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    for statement in [
        "INSERT INTO users (id, email, first_name)
         SELECT gen_random_uuid(), 'learner-' || n || '@example.test', 'L' FROM generate_series(1, 57) n",
        "INSERT INTO user_lesson_progress (user_id, lesson_id) SELECT u.id, l.id FROM users u, lessons l WHERE u.first_name = 'L'",
        "INSERT INTO user_lesson_task_progress (user_id, task_id)
         SELECT u.id, t.id FROM users u, lesson_tasks t WHERE u.first_name = 'L' AND t.title = 'One'",
    ] {
        sqlx::query(statement).execute(app.app.pool()).await.unwrap();
    }
    let mut tasks = fixture.entries().await;
    tasks.remove(1);
    fixture.set_tasks(tasks).await;
    let job = cairn_core::learning::jobs::CompleteLesson { lesson_id: fixture.id, seq: 1, after_user: None };
    let mut tx = app.app.db.begin().await.unwrap();
    let next = cairn_core::learning::task_changes::complete_chunk(&mut tx, job).await.unwrap();
    tx.commit().await.unwrap();
    assert!(next.is_some_and(|next| next.job.after_user.is_some()), "{next:?}");
    let completed = "SELECT count(*) FROM user_lesson_progress WHERE status = 'completed'";
    assert_eq!(app.count(completed).await, 20);
    sqlx::query("DELETE FROM apalis.jobs WHERE job_type = 'progress-bulk'").execute(app.app.pool()).await.unwrap();
    let mut tx = app.app.db.begin().await.unwrap();
    cairn_core::learning::jobs::stale_tasks(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    sqlx::query("UPDATE progress_dirty SET queued_at = NULL, requested_at = now() - interval '1 minute'")
        .execute(app.app.pool())
        .await
        .unwrap();
    let mut tx = app.app.db.begin().await.unwrap();
    cairn_core::learning::jobs::stale_progress(&mut tx).await.unwrap();
    cairn_core::learning::jobs::stale_roadmaps(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    app.run_jobs().await;
    assert_eq!(app.count(completed).await, 57);
    assert_eq!(app.count("SELECT count(*) FROM lesson_tasks_dirty").await, 0);
    assert_eq!(app.count("SELECT count(*) FROM activity_log WHERE action = 'lesson.completed'").await, 57);
    assert_eq!(app.count("SELECT count(*) FROM user_roadmap_progress WHERE percent = 100").await, 57);
    let report = cairn_core::admin::verify::verify(app.app.pool(), cairn_core::admin::verify::Mode::Strict);
    let report = report.await.unwrap();
    assert!(report.is_clean(), "{report:#?}");
}

/// A learner checks the last task but one while an editor removes the last: whoever comes first, the lesson is completed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_left_behind_by_an_edit_at_the_same_moment() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    let [one, two, extra] = fixture.tasks;
    for round in 0..12 {
        let first = app.student(&format!("first-{round}")).await;
        let second = app.student(&format!("second-{round}")).await;
        // The second learner has a fact already; the first is about to start the lesson.
        check(&second, fixture.id, extra).await.expect(200);
        let mut tasks = fixture.entries().await;
        tasks.retain(|task| task["id"] != json!(two));
        let version = fixture.admin.get(&fixture.path).await.expect(200).header("etag").to_owned();
        let barrier = Arc::new(Barrier::new(3));
        let mut calls = JoinSet::new();
        for learner in [first.clone(), second.clone()] {
            let (barrier, id) = (barrier.clone(), fixture.id);
            calls.spawn(async move {
                barrier.wait().await;
                check(&learner, id, one).await.expect(200);
            });
        }
        let (admin, path, waiting) = (fixture.admin.clone(), fixture.path.clone(), barrier.clone());
        calls.spawn(async move {
            waiting.wait().await;
            admin.patch(&path, json!({"tasks": tasks})).header("If-Match", &version).await.expect(200);
        });
        calls.join_all().await;
        app.run_jobs().await;
        for learner in [&first, &second] {
            assert_eq!(fixture.status(learner).await, "completed", "round {round}");
            assert_eq!(progress(learner, fixture.roadmap, "").await["percent"], 100, "round {round}");
        }
        let mut tasks = fixture.entries().await;
        tasks.push(json!({"id": two, "slug": "two", "title": "Two"}));
        fixture.set_tasks(tasks).await;
        app.run_jobs().await;
    }
}
