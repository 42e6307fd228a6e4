//! Lessons, for admins.

use cairn_core::clock::new_id;
use cairn_core::learning::content::lessons::{self, Filter, Lesson as Row};
use cairn_core::resource;
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Json;
use uuid::Uuid;

use crate::answers::{Created, NoContent, Versioned};
use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::params::{Body, Changes, Cursor, IdempotencyKey, IfMatch, Limit, Page, PageRequest};
use crate::routes::admin::learning::lesson_objects::{AdminLesson, AdminLessonSummary, NewLesson};
use crate::routes::admin::{Order, Publication};
use crate::{App, Code, Problem};

/// Lessons, for admins.
pub struct AdminLessonsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[
    ("createLesson", &[Code::ValueTaken, Code::CollectionFull]),
    ("updateLesson", &[Code::ValueTaken, Code::CollectionFull]),
    ("restoreLesson", &[Code::ValueTaken, Code::CollectionFull]),
    ("reorderLessons", &[Code::OrderMismatch]),
];

const PATH: &str = "/v1/admin/lessons";

#[OpenApi]
impl AdminLessonsApi {
    /// List lessons for admins
    ///
    /// In the order of modules, drafts and archived ones included.
    #[oai(path = "/admin/lessons", method = "get", operation_id = "listAdminLessons", tag = Tag::AdminContent)]
    async fn list_admin_lessons(
        &self,
        _caller: Admin,
        /// Only lessons of this module.
        module_id: Query<Option<Uuid>>,
        /// Only lessons in this state.
        publication: Query<Option<Publication>>,
        /// The deleted lessons instead of the live ones.
        #[oai(default)]
        deleted: Query<bool>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<AdminLessonSummary>>, Problem> {
        let page = PageRequest::new(limit.0, cursor.0);
        let publication = publication.0.map(Into::into);
        let filter = Filter { module_id: module_id.0, publication, deleted: deleted.0 };
        let mut connection = self.app.connection().await?;
        let rows = lessons::list(&mut connection, filter, page.after()?, page.rows()).await?;
        page.answer(rows, |last| Some(((last.module_position, last.module_id), (last.position, last.id))))
    }

    /// Create a lesson
    ///
    /// With its materials and tasks. It is the last of its module, and a draft until it is published. A module can have
    /// 1000 lessons.
    #[oai(path = "/admin/lessons", method = "post", operation_id = "createLesson", tag = Tag::AdminContent)]
    async fn create_lesson(
        &self,
        caller: Admin,
        #[oai(name = "Idempotency-Key")] key: Header<Option<IdempotencyKey>>,
        body: Body<NewLesson>,
    ) -> Result<Created<AdminLesson>, Problem> {
        let row = |body: &NewLesson| {
            let mut row = Row::new(new_id());
            body.set(&mut row)?;
            Ok(row)
        };
        self.app.create_from(&caller, (PATH, "createLesson"), key.0, &body, row).await
    }

    /// Reorder all lessons of a module
    #[oai(
        path = "/admin/modules/:module_id/lessons/order",
        method = "put",
        operation_id = "reorderLessons",
        tag = Tag::AdminContent
    )]
    async fn reorder_lessons(
        &self,
        caller: Admin,
        /// The module.
        module_id: Path<Uuid>,
        body: Body<Order>,
    ) -> Result<NoContent, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        lessons::reorder(&mut tx, module_id.0, &body.ids).await?;
        tx.commit().await?;
        Ok(NoContent)
    }

    /// Get a lesson for admins
    #[oai(path = "/admin/lessons/:lesson_id", method = "get", operation_id = "getAdminLesson", tag = Tag::AdminContent)]
    async fn get_admin_lesson(
        &self,
        _caller: Admin,
        /// The lesson.
        lesson_id: Path<Uuid>,
    ) -> Result<Versioned<AdminLesson>, Problem> {
        let mut connection = self.app.connection().await?;
        Ok(Versioned(lessons::find(&mut connection, lesson_id.0).await?.into()))
    }

    /// Update a lesson
    ///
    /// A list of materials or tasks that is sent replaces the one before: an entry with an id is the one that has this id,
    /// with what learners have checked; an entry without an id is new; one that is left out is removed, and can be restored
    /// by its id. The order is that of the list. With another `module_id` the lesson moves to the end of that module.
    ///
    /// Learners keep what they completed. If fewer tasks are required, or the rule becomes `tasks`, the lesson is soon
    /// completed for those who have nothing left to check.
    #[oai(path = "/admin/lessons/:lesson_id", method = "patch", operation_id = "updateLesson", tag = Tag::AdminContent)]
    async fn update_lesson(
        &self,
        caller: Admin,
        /// The lesson.
        lesson_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
        body: Body<Changes<NewLesson>>,
    ) -> Result<Versioned<AdminLesson>, Problem> {
        self.app.edit(&caller, lesson_id.0, version, body.try_edit(NewLesson::set)).await
    }

    /// Publish a lesson
    ///
    /// Learners then see it, if its module is published.
    #[oai(
        path = "/admin/lessons/:lesson_id/publish",
        method = "post",
        operation_id = "publishLesson",
        tag = Tag::AdminContent
    )]
    async fn publish_lesson(
        &self,
        caller: Admin,
        /// The lesson.
        lesson_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<Versioned<AdminLesson>, Problem> {
        self.app.edit::<Row, _>(&caller, lesson_id.0, version, resource::publish()).await
    }

    /// Archive a lesson
    ///
    /// Learners no longer see it, and it counts for nothing. It can be published again.
    #[oai(
        path = "/admin/lessons/:lesson_id/archive",
        method = "post",
        operation_id = "archiveLesson",
        tag = Tag::AdminContent
    )]
    async fn archive_lesson(
        &self,
        caller: Admin,
        /// The lesson.
        lesson_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<Versioned<AdminLesson>, Problem> {
        self.app.edit::<Row, _>(&caller, lesson_id.0, version, resource::archive()).await
    }

    /// Delete a lesson
    ///
    /// It can be restored, with its places in stages and what learners did. Its slug can be used again meanwhile.
    #[oai(path = "/admin/lessons/:lesson_id", method = "delete", operation_id = "deleteLesson", tag = Tag::AdminContent)]
    async fn delete_lesson(
        &self,
        caller: Admin,
        /// The lesson.
        lesson_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<NoContent, Problem> {
        self.app.delete::<Row>(&caller, lesson_id.0, version).await
    }

    /// Restore a deleted lesson
    #[oai(
        path = "/admin/lessons/:lesson_id/restore",
        method = "post",
        operation_id = "restoreLesson",
        tag = Tag::AdminContent
    )]
    async fn restore_lesson(
        &self,
        caller: Admin,
        /// The lesson.
        lesson_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<Versioned<AdminLesson>, Problem> {
        self.app.edit::<Row, _>(&caller, lesson_id.0, version, resource::restore()).await
    }
}
