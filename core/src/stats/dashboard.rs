//! The numbers of the dashboard.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::Result;

/// The row of the view `admin_dashboard_stats`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "columns of the view, which documents them")]
pub struct Dashboard {
    pub students: i64,
    pub mentors: i64,
    pub admins: i64,
    pub students_active_today: i64,
    pub students_active_week: i64,
    pub students_new_week: i64,
    pub lessons_published: i64,
    pub lessons_completed: i64,
    pub lessons_completed_week: i64,
    pub roadmaps_completed: i64,
    pub projects_published: i64,
    pub projects_waiting: i64,
    pub likes: i64,
    pub questions_today: i64,
    pub replies_open: i64,
    pub replies_failed_week: i64,
    pub as_of: Option<DateTime<Utc>>,
    pub age_seconds: Option<f64>,
}

/// The numbers of the dashboard.
pub async fn read(connection: &mut PgConnection) -> Result<Dashboard> {
    let dashboard = sqlx::query_as!(
        Dashboard,
        r#"SELECT students AS "students!", mentors AS "mentors!", admins AS "admins!",
               students_active_today AS "students_active_today!", students_active_week AS "students_active_week!",
               students_new_week AS "students_new_week!", lessons_published AS "lessons_published!",
               lessons_completed AS "lessons_completed!", lessons_completed_week AS "lessons_completed_week!",
               roadmaps_completed AS "roadmaps_completed!", projects_published AS "projects_published!",
               projects_waiting AS "projects_waiting!", likes AS "likes!", questions_today AS "questions_today!",
               replies_open AS "replies_open!", replies_failed_week AS "replies_failed_week!", as_of,
               greatest(extract(epoch FROM clock_timestamp() - as_of), CASE WHEN as_of IS NOT NULL THEN 0 END)::float8
                   AS age_seconds
           FROM admin_dashboard_stats"#
    );
    Ok(dashboard.fetch_one(connection).await?)
}
