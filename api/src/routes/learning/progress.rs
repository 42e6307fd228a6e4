//! The caller's own progress and activity.

use cairn_core::learning::{catalog, progress};
use chrono::{DateTime, Utc};
use poem_openapi::param::Query;
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};
use uuid::Uuid;

use super::roadmaps::Roadmap;
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::params::{Cursor, Limit, Page, PageRequest};
use crate::{App, Problem};

/// Most roadmaps that an answer lists.
const MAX_ROADMAPS: i64 = 200;

/// The caller's own progress and activity.
pub struct ProgressApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[("getMyProgress", &[]), ("listMyActivity", &[])];

/// Your progress everywhere.
#[derive(Clone, Debug, Object)]
#[oai(example)]
pub struct MyProgress {
    /// Whole percent of the required lessons of all roadmaps that you started, each lesson counted once; null if there
    /// is nothing to do.
    #[oai(validator(minimum(value = "0"), maximum(value = "100")))]
    pub percent: Option<i16>,
    /// The roadmaps that you started, in order; at most 200.
    #[oai(validator(max_items = 200))]
    pub roadmaps: Vec<Roadmap>,
}

impl Example for MyProgress {
    fn example() -> Self {
        Self { percent: Some(33), roadmaps: vec![Roadmap::example()] }
    }
}

/// What something was done to.
#[derive(Clone, Debug, Object)]
pub struct ActivityTarget {
    /// What it is: `lesson`, `task`, `stage`, `roadmap`, `project`, …
    #[oai(rename = "type")]
    pub kind: String,
    /// Its id.
    pub id: Uuid,
    /// Its title at that time.
    pub title: String,
}

/// Something that you did.
#[derive(Clone, Debug, Object)]
pub struct Activity {
    /// The activity's id.
    pub id: Uuid,
    /// When.
    pub occurred_at: DateTime<Utc>,
    /// What: `lesson.completed`, `task.checked`, `project.liked`, … Expect new ones.
    pub action: String,
    /// What it was done to; null if to nothing in particular.
    pub target: Option<ActivityTarget>,
}

impl From<progress::Activity> for Activity {
    fn from(activity: progress::Activity) -> Self {
        let progress::Activity { id, occurred_at, action, target_type, target_id, target_title } = activity;
        let target = target_type.zip(target_id).map(|(kind, id)| ActivityTarget {
            kind,
            id,
            title: target_title.unwrap_or_default(),
        });
        Self { id, occurred_at, action, target }
    }
}

#[OpenApi]
impl ProgressApi {
    /// Get my progress in all roadmaps that I started
    #[oai(path = "/me/progress", method = "get", operation_id = "getMyProgress", tag = Tag::Me)]
    async fn get_my_progress(&self, caller: Member) -> Result<Json<MyProgress>, Problem> {
        let mut snapshot = self.app.snapshot().await?;
        let percent = progress::overall_percent(&mut snapshot, &caller).await?;
        let roadmaps = catalog::started_roadmaps(&mut snapshot, &caller, MAX_ROADMAPS).await?;
        Ok(Json(MyProgress { percent, roadmaps: roadmaps.into_iter().map(Roadmap::from).collect() }))
    }

    /// List my activity
    ///
    /// An action is listed moments after it was accepted.
    #[oai(path = "/me/activity", method = "get", operation_id = "listMyActivity", tag = Tag::Me)]
    async fn list_my_activity(
        &self,
        caller: Member,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<Activity>>, Problem> {
        let page = PageRequest::new(limit.0, cursor.0);
        let mut connection = self.app.connection().await?;
        let rows = progress::activities(&mut connection, &caller, page.after()?, page.rows()).await?;
        page.answer(rows, |last| Some((last.occurred_at, last.id)))
    }
}
