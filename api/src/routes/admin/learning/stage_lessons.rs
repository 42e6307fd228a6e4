//! The lessons of a stage, for admins.

use cairn_core::db::UserTx;
use cairn_core::learning::content::stage_lessons::{self, PlacedLesson, Placement, StageLessons};
use cairn_core::learning::content::stages::Stage;
use cairn_core::resource::{self, Edit};
use poem_openapi::param::Path;
use poem_openapi::{Object, OpenApi};
use uuid::Uuid;

use crate::answers::Versioned;
use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::params::{Body, IfMatch};
use crate::routes::admin::Publication;
use crate::view::view;
use crate::{App, Code, Problem};

/// The lessons of a stage, for admins.
pub struct AdminStageLessonsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[("putStageLesson", &[Code::CollectionFull])];

view! {
    /// A lesson in a stage as admins see it.
    pub struct AdminStageLesson from PlacedLesson {
        /// Identifies the lesson.
        lesson_id: Uuid,
        /// Whether the lesson is required to complete the stage.
        is_required: bool,
        /// The name of the lesson in URLs.
        slug: String,
        /// The title of the lesson.
        title: String,
        /// Whether the lesson is shown to learners.
        publication: Publication,
    }
}

/// The lessons of a stage as admins see them.
#[derive(Clone, Debug, Object)]
pub struct AdminStageLessons {
    /// Identifies the stage.
    pub stage_id: Uuid,
    /// The version of the stage, which is also the `ETag`.
    pub version: i64,
    /// The lessons that are not deleted, in order; at most 1000.
    pub lessons: Vec<AdminStageLesson>,
}

impl From<(Stage, Vec<PlacedLesson>)> for AdminStageLessons {
    fn from((stage, lessons): (Stage, Vec<PlacedLesson>)) -> Self {
        let lessons = lessons.into_iter().map(AdminStageLesson::from).collect();
        Self { stage_id: stage.id, version: stage.version, lessons }
    }
}

/// A lesson to put into a stage.
#[derive(Clone, Debug, Object)]
pub struct NewStageLesson {
    /// The lesson.
    pub lesson_id: Uuid,
    /// Whether the lesson is required to complete the stage.
    #[oai(default = "yes")]
    pub is_required: bool,
}

/// All lessons of a stage.
#[derive(Clone, Debug, Object)]
pub struct NewStageLessons {
    /// The lessons in order, each once.
    #[oai(validator(max_items = 1000))]
    pub lessons: Vec<NewStageLesson>,
}

/// How a lesson belongs to a stage.
#[derive(Clone, Debug, Object)]
pub struct StageLessonSettings {
    /// Whether the lesson is required to complete the stage.
    #[oai(default = "yes")]
    pub is_required: bool,
}

fn yes() -> bool {
    true
}

#[OpenApi]
impl AdminStageLessonsApi {
    /// List lessons of a stage for admins
    ///
    /// The whole list, drafts and archived lessons included.
    #[oai(
        path = "/admin/stages/:stage_id/lessons",
        method = "get",
        operation_id = "listAdminStageLessons",
        tag = Tag::AdminContent
    )]
    async fn list_admin_stage_lessons(
        &self,
        _caller: Admin,
        /// The stage.
        stage_id: Path<Uuid>,
    ) -> Result<Versioned<AdminStageLessons>, Problem> {
        let mut snapshot = self.app.snapshot().await?;
        Ok(Versioned(stage_lessons::find(&mut snapshot, stage_id.0).await?.into()))
    }

    /// Update all lessons of a stage
    ///
    /// The list replaces the one before, all at once. The version of the stage is raised.
    #[oai(
        path = "/admin/stages/:stage_id/lessons",
        method = "put",
        operation_id = "updateStageLessons",
        tag = Tag::AdminContent
    )]
    async fn update_stage_lessons(
        &self,
        caller: Admin,
        /// The stage.
        stage_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
        body: Body<NewStageLessons>,
    ) -> Result<Versioned<AdminStageLessons>, Problem> {
        let lessons = body.lessons.iter();
        let lessons = lessons.map(|l| Placement { lesson_id: l.lesson_id, is_required: l.is_required });
        let tx = self.app.begin_as(&caller).await?;
        edit(tx, stage_id.0, version, stage_lessons::replace(lessons.collect())).await
    }

    /// Update a lesson of a stage
    ///
    /// A lesson that is not in the stage yet is put at its end.
    #[oai(
        path = "/admin/stages/:stage_id/lessons/:lesson_id",
        method = "put",
        operation_id = "putStageLesson",
        tag = Tag::AdminContent
    )]
    async fn put_stage_lesson(
        &self,
        caller: Admin,
        /// The stage.
        stage_id: Path<Uuid>,
        /// The lesson.
        lesson_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
        body: Body<StageLessonSettings>,
    ) -> Result<Versioned<AdminStageLessons>, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        stage_lessons::check_lesson(&mut tx, lesson_id.0).await?;
        edit(tx, stage_id.0, version, stage_lessons::put(lesson_id.0, body.is_required)).await
    }

    /// Delete a lesson from a stage
    ///
    /// The lesson itself stays. If it is not in the stage, nothing changes.
    #[oai(
        path = "/admin/stages/:stage_id/lessons/:lesson_id",
        method = "delete",
        operation_id = "deleteStageLesson",
        tag = Tag::AdminContent
    )]
    async fn delete_stage_lesson(
        &self,
        caller: Admin,
        /// The stage.
        stage_id: Path<Uuid>,
        /// The lesson.
        lesson_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<Versioned<AdminStageLessons>, Problem> {
        let tx = self.app.begin_as(&caller).await?;
        edit(tx, stage_id.0, version, stage_lessons::remove(lesson_id.0)).await
    }
}

async fn edit(
    mut tx: UserTx,
    stage_id: Uuid,
    version: IfMatch,
    edit: Edit<StageLessons>,
) -> Result<Versioned<AdminStageLessons>, Problem> {
    resource::edit(&mut tx, stage_id, version.0, edit).await?;
    let answer = stage_lessons::find(&mut tx, stage_id).await?.into();
    tx.commit().await?;
    Ok(Versioned(answer))
}
