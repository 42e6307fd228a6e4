//! The numbers of the dashboard.

use cairn_core::stats::dashboard;
use poem_openapi::OpenApi;
use poem_openapi::payload::Json;

use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::time::OptionalTime;
use crate::view::view;
use crate::{App, Problem};

/// The numbers of the dashboard.
pub struct DashboardApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

view! {
    /// The numbers of the platform. A day is the last 24 hours, and a week the last 7 days.
    pub struct DashboardStats from dashboard::Dashboard {
        /// The number of learners.
        students: i64,
        /// The number of mentors.
        mentors: i64,
        /// The number of admins.
        admins: i64,
        /// The number of learners who did something in the last day.
        students_active_today: i64,
        /// The number of learners who did something in the last week.
        students_active_week: i64,
        /// The number of learners who registered in the last week.
        students_new_week: i64,
        /// The number of lessons that learners can see.
        lessons_published: i64,
        /// The number of lessons that learners have completed, each counted for each learner.
        lessons_completed: i64,
        /// The number of those that were completed in the last week.
        lessons_completed_week: i64,
        /// The number of roadmaps that learners have completed, each counted for each learner.
        roadmaps_completed: i64,
        /// The number of published projects.
        projects_published: i64,
        /// The number of projects that wait for a mentor.
        projects_waiting: i64,
        /// The number of likes.
        likes: i64,
        /// The number of questions to AI tools in the last day.
        questions_today: i64,
        /// The number of replies that are queued or being written.
        replies_open: i64,
        /// The number of questions of the last week whose reply failed.
        replies_failed_week: i64,
        /// All changes until then are contained in the numbers; null before they were first computed.
        as_of: OptionalTime,
        /// The time since then, in seconds; null before the numbers were first computed. More than ten seconds mean that no
        /// worker keeps up.
        age_seconds: Option<f64>,
    }
}

#[OpenApi]
impl DashboardApi {
    /// Get the numbers of the dashboard
    ///
    /// A few seconds old; `as_of` says how old.
    #[oai(
        path = "/admin/stats/dashboard",
        method = "get",
        operation_id = "getDashboard",
        tag = Tag::Statistics
    )]
    async fn get_dashboard(&self, _caller: Admin) -> Result<Json<DashboardStats>, Problem> {
        let mut connection = self.app.connection().await?;
        Ok(Json(dashboard::read(&mut connection).await?.into()))
    }
}
