//! A whole course as one document, for admins.

use cairn_core::learning::course;
use cairn_core::learning::imports::{self, Import};
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Enum, Object, OpenApi};
use serde_json::Value;
use uuid::Uuid;

use crate::answers::Accepted;
use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::params::{Body, Cursor, IdempotencyKey, IdempotentRequest, Limit, Page, PageRequest};
use crate::problem::FieldError;
use crate::time::{OptionalTime, Time};
use crate::view::view;
use crate::{App, Problem};

/// A whole course as one document, for admins.
pub struct CourseApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

/// How many mistakes of a document are listed.
const MAX_LISTED: usize = 100;

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case", remote = "imports::ImportState")]
pub enum CourseImportState {
    /// It has not started yet.
    Queued,
    /// It is running.
    Running,
    /// The course is imported, or a dry run has found out what would change.
    Completed,
    /// Nothing was imported; see `error`.
    Failed,
}

view! {
    /// An import of a course. Counts are in objects: a lesson, a task and the place of a lesson in a stage are one each.
    pub struct CourseImport from Import {
        /// Identifies the import.
        id: Uuid,
        /// Whether nothing is changed, and the counts say what would be.
        is_dry_run: bool,
        /// How far it is.
        state: CourseImportState,
        /// The number of objects that are done, up to a moment ago.
        objects_done: i32,
        /// The number of objects in the document.
        objects_total: i32,
        /// The number of objects that did not exist before; null until it is completed.
        created_count: Option<i32>,
        /// The number of objects that differed from the document; null until it is completed.
        updated_count: Option<i32>,
        /// The number of objects that were like the document already; null until it is completed.
        unchanged_count: Option<i32>,
        /// The number of objects that their lesson, roadmap, stage or prompt in the document no longer contains; null until
        /// it is completed.
        deleted_count: Option<i32>,
        /// Why it has failed, such as a name that something outside of the document has; null unless it has.
        error: Option<String>,
        /// When it was requested.
        created_at: Time,
        /// When it was started; null if it is not.
        started_at: OptionalTime,
        /// When it was completed or failed; null before that.
        finished_at: OptionalTime,
    }
}

fn yes() -> bool {
    true
}

/// A course to import.
#[derive(Clone, Debug, Object)]
pub struct NewCourseImport {
    /// The course document, YAML or JSON as a text, as `cairn export` and `exportCourse` write it. The whole body has at
    /// most 256 KiB; a larger course is imported in several documents, or with `cairn import`.
    #[oai(validator(max_length = 262_144))]
    pub document: String,
    /// Whether to change nothing, and only find out what would change.
    #[oai(default = "yes")]
    pub dry_run: bool,
}

#[OpenApi]
impl CourseApi {
    /// Export the whole course
    ///
    /// One document with everything that is not deleted, drafts included: modules, roadmaps and libraries. Importing it
    /// changes nothing. `docs/course.schema.json` describes it.
    #[oai(path = "/admin/course", method = "get", operation_id = "exportCourse", tag = Tag::AdminContent)]
    async fn export_course(&self, _caller: Admin) -> Result<Json<Value>, Problem> {
        let course = course::export_snapshot(self.app.pool()).await?;
        Ok(Json(serde_json::to_value(course).map_err(cairn_core::Error::from)?))
    }

    /// Import a course
    ///
    /// The document is checked at once: what is wrong is listed in `errors`, with its line and column. The import itself is
    /// done in the background, all of it or nothing; follow it with `getCourseImport`. Unless `dry_run` is false, nothing is
    /// changed, and the import says what would be.
    ///
    /// Objects are matched by their slugs and keep their ids, and with them what learners did. Objects that are not in the
    /// document stay, except for the parts of those that are: tasks and materials of a lesson, stages of a roadmap, lessons
    /// of a stage, steps of a prompt.
    #[oai(
        path = "/admin/course/imports",
        method = "post",
        operation_id = "createCourseImport",
        tag = Tag::AdminContent
    )]
    async fn create_course_import(
        &self,
        caller: Admin,
        #[oai(name = "Idempotency-Key")] key: Header<Option<IdempotencyKey>>,
        body: Body<NewCourseImport>,
    ) -> Result<Accepted<CourseImport>, Problem> {
        let course = course::parse(&body.document).map_err(invalid_document)?;
        let request = IdempotentRequest::new(&caller, "createCourseImport", key.0, &body);
        let mut tx = self.app.begin_as(&caller).await?;
        if let Some(import) = request.replay(&mut tx).await? {
            return Ok(accepted(import));
        }
        let import = imports::request(&mut tx, &body.document, &course, body.dry_run).await?.into();
        request.store(&mut tx, &import).await?;
        tx.commit().await?;
        Ok(accepted(import))
    }

    /// List imports of courses
    ///
    /// Newest first.
    #[oai(
        path = "/admin/course/imports",
        method = "get",
        operation_id = "listCourseImports",
        tag = Tag::AdminContent
    )]
    async fn list_course_imports(
        &self,
        _caller: Admin,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<CourseImport>>, Problem> {
        let page = PageRequest::new(limit.0, cursor.0);
        let mut connection = self.app.connection().await?;
        let rows = imports::list(&mut connection, page.after()?, page.rows()).await?;
        page.answer(rows, |last| Some((last.created_at, last.id)))
    }

    /// Get an import of a course
    ///
    /// Its state, its progress, and what it changed.
    #[oai(
        path = "/admin/course/imports/:import_id",
        method = "get",
        operation_id = "getCourseImport",
        tag = Tag::AdminContent
    )]
    async fn get_course_import(
        &self,
        _caller: Admin,
        /// The import.
        import_id: Path<Uuid>,
    ) -> Result<Json<CourseImport>, Problem> {
        let mut connection = self.app.connection().await?;
        Ok(Json(imports::find(&mut connection, import_id.0).await?.into()))
    }
}

fn accepted(import: CourseImport) -> Accepted<CourseImport> {
    Accepted::at(format!("/v1/admin/course/imports/{}", import.id), import)
}

/// What is wrong with a document, in the order of the document.
fn invalid_document(problems: Vec<course::Problem>) -> Problem {
    let errors = problems.into_iter().take(MAX_LISTED).map(|problem| {
        let message = format!("Line {}, column {}: {}", problem.line, problem.column, problem.message);
        FieldError::at("/document", "invalid", message)
    });
    Problem::invalid_body().with_errors(errors.collect())
}
