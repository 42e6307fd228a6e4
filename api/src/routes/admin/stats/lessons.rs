//! How lessons do.

use cairn_core::Result as CoreResult;
use cairn_core::stats::lessons;
use poem_openapi::OpenApi;
use poem_openapi::param::Query;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::caller::Admin;
use crate::export::{Accepted, Cell, Export, ExportFormat, JsonOrExport, Row, Source};
use crate::operation::{Problems, Tag};
use crate::params::{Cursor, Limit, Page, PageRequest};
use crate::time::{self, OptionalTime};
use crate::view::view;
use crate::{App, Problem};

/// How lessons do.
pub struct LessonStatsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

/// How many lessons an export reads at once.
const ROWS: i64 = 500;

view! {
    /// The numbers of a lesson.
    pub struct LessonStats from lessons::LessonNumbers {
        /// Identifies the lesson.
        lesson_id: Uuid,
        /// The title.
        title: String,
        /// The number of learners who have started the lesson.
        starts: i32,
        /// The number of learners who have completed the lesson.
        completions: i32,
        /// The median time from the start of the lesson to its completion, in seconds, of those who did not do both at once;
        /// null if there are none.
        median_seconds: Option<i32>,
        /// When the numbers were computed, which happens at least every few minutes; null if they never were.
        as_of: OptionalTime,
    }
}

#[OpenApi]
impl LessonStatsApi {
    /// List the numbers of lessons
    ///
    /// Drafts and archived lessons included. With `format`, or if the `Accept` header asks for CSV or NDJSON, all lessons are
    /// exported, and `limit` and `cursor` are ignored.
    #[oai(
        path = "/admin/stats/lessons",
        method = "get",
        operation_id = "listLessonStats",
        tag = Tag::Statistics
    )]
    async fn list_lesson_stats(
        &self,
        caller: Admin,
        /// The form of an export.
        format: Query<Option<ExportFormat>>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
        accepted: Accepted,
    ) -> Result<JsonOrExport<Page<LessonStats>, LessonStats>, Problem> {
        if let Some(format) = accepted.format(format.0) {
            let export = Export::start(&self.app, &caller, format, "lessons", Lessons { after: None });
            return Ok(JsonOrExport::Export(export.await?));
        }
        let page = PageRequest::new(limit.0, cursor.0);
        let mut connection = self.app.connection().await?;
        let rows = lessons::list(&mut connection, page.after()?, page.rows()).await?;
        Ok(JsonOrExport::Json(page.answer(rows, |last| Some(last.lesson_id))?))
    }
}

/// All lessons.
struct Lessons {
    /// The last that was read.
    after: Option<Uuid>,
}

impl Source for Lessons {
    type Row = LessonStats;

    async fn next(&mut self, connection: &mut PgConnection) -> CoreResult<Vec<LessonStats>> {
        let rows = lessons::list(connection, self.after, ROWS).await?;
        self.after = rows.last().map(|last| last.lesson_id).or(self.after);
        Ok(rows.into_iter().map(Into::into).collect())
    }
}

impl Row for LessonStats {
    const COLUMNS: &'static [&'static str] =
        &["lesson_id", "title", "starts", "completions", "median_seconds", "as_of"];

    fn cells(&self) -> Vec<Cell> {
        vec![
            Cell::Plain(self.lesson_id.to_string()),
            Cell::Text(self.title.clone()),
            Cell::Plain(self.starts.to_string()),
            Cell::Plain(self.completions.to_string()),
            Cell::plain(self.median_seconds),
            Cell::plain(self.as_of.0.map(time::text)),
        ]
    }
}
