//! Everything that happened, newest first.

use cairn_core::audit::{self, Entry, EntryDetails};
use chrono::{DateTime, Utc};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::types::Any;
use poem_openapi::{Object, OpenApi};
use serde_json::Value;
use uuid::Uuid;

use super::{ActionName, TargetType, filter};
use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::params::{Cursor, Limit, Page, PageRequest};
use crate::routes::learning::progress::ActivityTarget;
use crate::time::Time;
use crate::{App, Problem};

/// Everything that happened, newest first.
pub struct AdminActivityApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

/// Who did something.
#[derive(Clone, Debug, Object)]
pub struct ActivityActor {
    /// Identifies the user.
    pub id: Uuid,
    /// The email address; null if the account is gone.
    pub email: Option<String>,
    /// The first name; null if the account is gone.
    pub first_name: Option<String>,
    /// The last name; null if the user gave none.
    pub last_name: Option<String>,
}

/// Something that somebody did.
#[derive(Clone, Debug, Object)]
pub struct AdminActivity {
    /// Identifies the activity.
    pub id: Uuid,
    /// When it happened.
    pub occurred_at: Time,
    /// Who did it; null for the platform, the command line, or somebody whose account was deleted.
    pub actor: Option<ActivityActor>,
    /// The action: `lesson.completed`, `style.updated`, … New ones may be added.
    pub action: String,
    /// The object of the action; null if it has none.
    pub target: Option<ActivityTarget>,
}

impl From<Entry> for AdminActivity {
    fn from(entry: Entry) -> Self {
        let Entry { id, occurred_at, actor_id, email, first_name, last_name, action, .. } = entry;
        let target = entry.target_type.zip(entry.target_id).map(|(kind, id)| ActivityTarget {
            kind,
            id,
            title: entry.target_title.unwrap_or_default(),
        });
        let actor = actor_id.map(|id| ActivityActor { id, email, first_name, last_name });
        Self { id, occurred_at: occurred_at.into(), actor, action, target }
    }
}

impl From<EntryDetails> for AdminActivity {
    fn from(details: EntryDetails) -> Self {
        details.entry.into()
    }
}

/// Something that somebody did, with everything that was recorded.
#[derive(Clone, Debug, Object)]
pub struct AdminActivityDetails {
    /// The activity as lists show it.
    #[oai(flatten)]
    pub activity: AdminActivity,
    /// Further details. A change has `before` and `after`, with the members that differ.
    pub details: Any<Value>,
    /// The IP address of the client; null if it is not known.
    pub ip: Option<String>,
    /// The `User-Agent` header; null if there was none.
    pub user_agent: Option<String>,
}

impl From<EntryDetails> for AdminActivityDetails {
    fn from(row: EntryDetails) -> Self {
        let EntryDetails { entry, details, ip, user_agent } = row;
        Self { activity: entry.into(), details: Any(details), ip, user_agent }
    }
}

#[OpenApi]
impl AdminActivityApi {
    /// List activities
    ///
    /// Newest first. The filters can be combined.
    #[oai(path = "/admin/activity", method = "get", operation_id = "listActivity", tag = Tag::AdminActivity)]
    #[expect(clippy::too_many_arguments, reason = "one for each parameter of the query")]
    async fn list_activity(
        &self,
        _caller: Admin,
        /// Only activities of this user.
        user_id: Query<Option<Uuid>>,
        /// Only this action.
        action: Query<Option<ActionName>>,
        /// Only activities whose object is of this type.
        target_type: Query<Option<TargetType>>,
        /// Only activities with this object.
        target_id: Query<Option<Uuid>>,
        /// Only activities since this time.
        from: Query<Option<DateTime<Utc>>>,
        /// Only activities before this time.
        to: Query<Option<DateTime<Utc>>>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<AdminActivity>>, Problem> {
        let filter = filter((user_id.0, action.0), (target_type.0, target_id.0), (from.0, to.0))?;
        let page = PageRequest::new(limit.0, cursor.0);
        let mut connection = self.app.connection().await?;
        let rows = audit::list(&mut connection, &filter, page.after()?, page.rows()).await?;
        page.answer(rows, |last| Some((last.entry.occurred_at, last.entry.id)))
    }

    /// Get an activity
    ///
    /// With everything that was recorded.
    #[oai(
        path = "/admin/activity/:activity_id",
        method = "get",
        operation_id = "getActivity",
        tag = Tag::AdminActivity
    )]
    async fn get_activity(
        &self,
        _caller: Admin,
        /// The activity.
        activity_id: Path<Uuid>,
    ) -> Result<Json<AdminActivityDetails>, Problem> {
        let mut connection = self.app.connection().await?;
        Ok(Json(audit::find(&mut connection, activity_id.0).await?.into()))
    }

    /// List recent activities of learners
    ///
    /// Of those whose accounts are not deleted, newest first.
    #[oai(
        path = "/admin/activity/students",
        method = "get",
        operation_id = "listRecentStudentActivity",
        tag = Tag::AdminActivity
    )]
    async fn list_recent_student_activity(
        &self,
        _caller: Admin,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<AdminActivity>>, Problem> {
        let page = PageRequest::new(limit.0, cursor.0);
        let mut connection = self.app.connection().await?;
        let rows = audit::recent_of_students(&mut connection, page.after()?, page.rows()).await?;
        page.answer(rows, |last| Some((last.occurred_at, last.id)))
    }
}
