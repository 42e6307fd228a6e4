//! How an object came to be what it is.

use cairn_core::audit::{self, Change};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::types::Any;
use poem_openapi::{Object, OpenApi};
use serde_json::Value;
use uuid::Uuid;

use super::TargetType;
use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::params::{Cursor, Limit, Page, PageRequest};
use crate::time::Time;
use crate::{App, Problem, time};

/// How an object came to be what it is.
pub struct HistoryApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

/// A change of an object.
#[derive(Clone, Debug, Object)]
pub struct RecordedChange {
    /// Identifies the activity that recorded the change.
    pub id: Uuid,
    /// When it happened.
    pub occurred_at: Time,
    /// Identifies the user who made it; null for the platform, the command line, or somebody whose account was deleted.
    pub actor_id: Option<Uuid>,
    /// The user's email address; null without a user.
    pub actor_email: Option<String>,
    /// What was done: `lesson.updated`, `style.published`, …
    pub action: String,
    /// The title of the object at that time; null if it has none.
    pub title: Option<String>,
    /// The members that differ, as they were before; null if that was not recorded.
    pub before: Option<Any<Value>>,
    /// The members that differ, as they were afterwards; null if that was not recorded.
    pub after: Option<Any<Value>>,
}

impl From<Change> for RecordedChange {
    fn from(change: Change) -> Self {
        let Change { id, occurred_at, actor_id, email, action, title, before, after } = change;
        let [before, after] = [before, after].map(|members| {
            members.map(|mut members| {
                time::rewrite(&mut members);
                Any(members)
            })
        });
        Self { id, occurred_at: occurred_at.into(), actor_id, actor_email: email, action, title, before, after }
    }
}

#[OpenApi]
impl HistoryApi {
    /// List the changes of an object
    ///
    /// Newest first: who changed what, and how it was before and after. What learners do with the object is not listed. An
    /// object that was never changed, or does not exist, has no changes.
    #[oai(
        path = "/admin/history/:target_type/:target_id",
        method = "get",
        operation_id = "listHistory",
        tag = Tag::AdminActivity
    )]
    async fn list_history(
        &self,
        _caller: Admin,
        /// The type of the object, as in the activity log.
        target_type: Path<TargetType>,
        /// The object.
        target_id: Path<Uuid>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<RecordedChange>>, Problem> {
        let page = PageRequest::new(limit.0, cursor.0);
        let mut connection = self.app.connection().await?;
        let rows = audit::history(&mut connection, &target_type.0.0, target_id.0, page.after()?, page.rows()).await?;
        let length = |members: &Value| members.to_string().len();
        let size = |change: &Change| [&change.before, &change.after].into_iter().flatten().map(length).sum();
        page.answer_within(rows, size, |last| Some((last.occurred_at, last.id)))
    }
}
