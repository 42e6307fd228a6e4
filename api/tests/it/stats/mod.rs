//! Statistics of the platform.

mod daily;
mod dashboard;
mod funnel;
mod lessons;

use cairn_core::admin::verify::{Kind, Mode, verify};
use cairn_core::stats::refresh;
use sqlx::AssertSqlSafe;

use crate::support::TestApp;

/// A module with lessons 1 to 9, and learners 1 to 9, of whom 9 is a mentor.
const PEOPLE: &str = "
    INSERT INTO course_modules (id, slug, title, publication) VALUES (md5('m')::uuid, 'module', 'M', 'published');
    INSERT INTO lessons (id, module_id, slug, title, duration_minutes, publication)
        SELECT md5('l' || n)::uuid, md5('m')::uuid, 'lesson-' || n, 'Lesson ' || n, 5, 'published' FROM generate_series(1, 9) n;
    INSERT INTO users (id, email, email_key, first_name, role, created_at)
        SELECT md5('u' || n)::uuid, n || '@learners.test', n || '@learners.test', 'L', (CASE n WHEN 9 THEN 'mentor' ELSE 'student' END)::user_role,
            '2026-03-28 22:40+00'::timestamptz + n * interval '1 hour'
        FROM generate_series(1, 9) n;
    INSERT INTO showcase_projects (id, user_id, title, status, published_at)
        SELECT md5('p' || n)::uuid, md5('u' || n)::uuid, 'P', 'published', '2026-03-01 10:00+00' FROM generate_series(1, 9) n";

/// An API with people whose statistics are up to date.
async fn with_people() -> TestApp {
    let app = TestApp::new().await;
    refreshed(&app).await;
    run(&app, PEOPLE).await;
    refreshed(&app).await;
    app
}

async fn run(app: &TestApp, statements: &str) {
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(app.app.pool()).await.unwrap();
}

/// Recomputes what has changed, as the scheduled job does.
async fn refreshed(app: &TestApp) {
    loop {
        let mut tx = app.app.db.begin().await.unwrap();
        let has_more = refresh::quarters(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        if !has_more {
            return;
        }
    }
}

async fn refreshed_lessons(app: &TestApp) {
    loop {
        let mut tx = app.app.db.begin().await.unwrap();
        let lesson = refresh::next_lesson(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        if lesson.is_none() {
            return;
        }
    }
}

/// The kinds of wrong statistics that a check finds.
async fn wrong(app: &TestApp) -> Vec<Kind> {
    let report = verify(app.app.pool(), Mode::WhileRunning).await.unwrap();
    let kinds = [Kind::StatsQuarter, Kind::ActiveLearners, Kind::LessonStats];
    kinds.into_iter().filter(|kind| report.of(*kind).is_some()).collect()
}
