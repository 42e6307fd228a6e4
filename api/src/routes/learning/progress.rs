//! The caller's own progress and activity.

use cairn_core::learning::{catalog, progress};
use poem_openapi::param::Query;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use uuid::Uuid;

use super::roadmaps::Roadmap;
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::params::{Cursor, Limit, Page, PageRequest};
use crate::time::Time;
use crate::{App, Problem};

/// The most roadmaps that an answer lists.
pub(super) const MAX_ROADMAPS: i64 = 200;

/// The caller's own progress and activity.
pub struct ProgressApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

/// Your progress in all roadmaps that you started.
#[derive(Clone, Debug, Object)]
pub struct MyProgress {
    /// Whole percent of the required lessons of all roadmaps that you started, each lesson counted once; null if there
    /// are no such lessons.
    #[oai(validator(minimum(value = "0"), maximum(value = "100")))]
    pub percent: Option<i16>,
    /// The roadmaps that you started, in order; at most 200.
    #[oai(validator(max_items = 200))]
    pub roadmaps: Vec<Roadmap>,
}

/// The object of an activity.
#[derive(Clone, Debug, Object)]
pub struct ActivityTarget {
    /// The type of the object: `lesson`, `task`, `stage`, `roadmap`, `project`, …
    #[oai(rename = "type")]
    pub kind: String,
    /// Identifies the object.
    pub id: Uuid,
    /// The title of the object at that time.
    pub title: String,
}

/// An action of yours.
#[derive(Clone, Debug, Object)]
pub struct Activity {
    /// Identifies the activity.
    pub id: Uuid,
    /// When it happened.
    pub occurred_at: Time,
    /// The action: `lesson.completed`, `task.checked`, `project.liked`, … New ones may be added.
    pub action: String,
    /// The object of the action; null if it has none.
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
        Self { id, occurred_at: occurred_at.into(), action, target }
    }
}

#[OpenApi]
impl ProgressApi {
    /// Get my progress in all started roadmaps
    ///
    /// It follows a completion within moments; `getRoadmapProgress` can wait for it.
    #[oai(path = "/me/progress", method = "get", operation_id = "getMyProgress", tag = Tag::Me)]
    async fn get_my_progress(&self, caller: Member) -> Result<Json<MyProgress>, Problem> {
        let mut snapshot = self.app.snapshot().await?;
        let percent = progress::overall_percent(&mut snapshot, &caller).await?;
        let roadmaps = catalog::started_roadmaps(&mut snapshot, &caller, MAX_ROADMAPS).await?;
        Ok(Json(MyProgress { percent, roadmaps: roadmaps.into_iter().map(Roadmap::from).collect() }))
    }

    /// List my activity
    ///
    /// Newest first. An action is listed moments after it was accepted.
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
