//! The activity log as a file.

use cairn_core::Result as CoreResult;
use cairn_core::activity::{Action, Verb};
use cairn_core::audit::{self, Filter, Key};
use cairn_core::noun::Noun;
use chrono::{DateTime, Utc};
use poem_openapi::OpenApi;
use poem_openapi::param::Query;
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::activity::AdminActivityDetails;
use super::{ActionName, TargetType, filter};
use crate::caller::Admin;
use crate::export::{Accepted, Cell, Export, ExportFormat, Row, Source};
use crate::operation::{Problems, Tag};
use crate::security::SecurityEvent;
use crate::{App, Problem, time};

/// The activity log as a file.
pub struct ActivityExportApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

/// How many rows are read at once.
const ROWS: i64 = 500;

#[OpenApi]
impl ActivityExportApi {
    /// Export activities
    ///
    /// As CSV or NDJSON, newest first, with everything that was recorded. Streamed, so that it can be of any size. Without
    /// `format`, the `Accept` header decides, and CSV is the default.
    #[oai(
        path = "/admin/activity/export",
        method = "get",
        operation_id = "exportActivity",
        tag = Tag::AdminActivity
    )]
    #[expect(clippy::too_many_arguments, reason = "one for each parameter of the query")]
    async fn export_activity(
        &self,
        caller: Admin,
        /// The form of the file.
        format: Query<Option<ExportFormat>>,
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
        accepted: Accepted,
    ) -> Result<Export<AdminActivityDetails>, Problem> {
        let filter = filter((user_id.0, action.0), (target_type.0, target_id.0), (from.0, to.0))?;
        let format = accepted.format(format.0).unwrap_or(ExportFormat::Csv);
        let selected = json!({
            "user_id": filter.actor_id, "action": filter.action, "target_type": filter.target_type,
            "target_id": filter.target_id, "from": filter.from, "to": filter.to,
        });
        let exported = Action::new(Noun::Activity, Verb::Exported).with(selected);
        self.app.record_access(&caller, SecurityEvent::ActivityExported, exported).await?;
        Export::start(&self.app, &caller, format, "activity", Activities { filter, before: None }).await
    }
}

/// The activities that a filter selects.
struct Activities {
    filter: Filter,
    /// The last that was read.
    before: Option<Key>,
}

impl Source for Activities {
    type Row = AdminActivityDetails;

    async fn next(&mut self, connection: &mut PgConnection) -> CoreResult<Vec<AdminActivityDetails>> {
        let rows = audit::list(connection, &self.filter, self.before, ROWS).await?;
        self.before = rows.last().map(|last| (last.entry.occurred_at, last.entry.id)).or(self.before);
        Ok(rows.into_iter().map(Into::into).collect())
    }
}

impl Row for AdminActivityDetails {
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "occurred_at",
        "actor_id",
        "actor_email",
        "action",
        "target_type",
        "target_id",
        "target_title",
        "ip",
        "user_agent",
        "details",
    ];

    fn cells(&self) -> Vec<Cell> {
        let (actor, target) = (self.activity.actor.as_ref(), self.activity.target.as_ref());
        vec![
            Cell::Plain(self.activity.id.to_string()),
            Cell::Plain(time::text(self.activity.occurred_at.0)),
            Cell::plain(actor.map(|actor| actor.id)),
            Cell::text(actor.and_then(|actor| actor.email.clone())),
            Cell::Plain(self.activity.action.clone()),
            Cell::plain(target.map(|target| &target.kind)),
            Cell::plain(target.map(|target| target.id)),
            Cell::text(target.map(|target| target.title.clone())),
            Cell::plain(self.ip.as_ref()),
            Cell::text(self.user_agent.clone()),
            Cell::Text(self.details.0.to_string()),
        ]
    }
}
