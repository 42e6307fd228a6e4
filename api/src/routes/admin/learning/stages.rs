//! Stages of roadmaps, for admins.

use cairn_core::clock::new_id;
use cairn_core::learning::content::stages::{self, Stage as Row};
use cairn_core::resource;
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Json;
use uuid::Uuid;

use crate::answers::{Created, NoContent, Versioned};
use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::params::{Body, Changes, Cursor, IdempotencyKey, IfMatch, Limit, Page, PageRequest};
use crate::routes::admin::{Order, Publication};
use crate::time::{OptionalTime, Time};
use crate::view::{fields, view};
use crate::{App, Code, Problem};

/// Stages of roadmaps, for admins.
pub struct AdminStagesApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[
    ("createStage", &[Code::ValueTaken, Code::CollectionFull]),
    ("updateStage", &[Code::ValueTaken]),
    ("restoreStage", &[Code::ValueTaken, Code::CollectionFull]),
    ("reorderStages", &[Code::OrderMismatch]),
];

const PATH: &str = "/v1/admin/stages";

view! {
    /// A stage of a roadmap as admins see it.
    pub struct AdminStage from Row {
        /// Identifies the stage.
        id: Uuid,
        /// Identifies the roadmap.
        roadmap_id: Uuid,
        /// The name in URLs, unique in the roadmap.
        slug: String,
        /// The title.
        title: String,
        /// A summary in a sentence or two.
        summary: String,
        /// The position in the roadmap.
        position: i32,
        /// Whether it is shown to learners.
        publication: Publication,
        /// The version, which is also its `ETag`.
        version: i64,
        /// When it was created.
        created_at: Time,
        /// When it was last changed.
        updated_at: Time,
        /// When it was deleted; null if it is not.
        deleted_at: OptionalTime,
    }
}

fields! {
    /// A stage to create.
    pub struct NewStage of Row {
        /// The name in URLs, unique in the roadmap: lower-case letters and digits, with single hyphens between them.
        #[oai(validator(min_length = 2, max_length = 80, pattern = "^[a-z0-9]+(-[a-z0-9]+)*$"))]
        slug: String,
        /// The title.
        #[oai(validator(min_length = 1, max_length = 200))]
        title: String,
        /// A summary in a sentence or two.
        #[oai(default, validator(max_length = 1000))]
        summary: String,
    }
}

#[OpenApi]
impl AdminStagesApi {
    /// List stages of a roadmap for admins
    ///
    /// Drafts and archived ones included.
    #[oai(
        path = "/admin/roadmaps/:roadmap_id/stages",
        method = "get",
        operation_id = "listAdminStages",
        tag = Tag::AdminContent
    )]
    async fn list_admin_stages(
        &self,
        _caller: Admin,
        /// The roadmap.
        roadmap_id: Path<Uuid>,
        /// Only stages in this state.
        publication: Query<Option<Publication>>,
        /// The deleted stages instead of the live ones.
        #[oai(default)]
        deleted: Query<bool>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<AdminStage>>, Problem> {
        let page = PageRequest::new(limit.0, cursor.0);
        let filter = (publication.0.map(Into::into), deleted.0);
        let mut connection = self.app.connection().await?;
        let rows = stages::list(&mut connection, roadmap_id.0, filter, page.after()?, page.rows()).await?;
        page.answer(rows, |last| Some((last.position, last.id)))
    }

    /// Create a stage in a roadmap
    ///
    /// It is the last of the roadmap, and a draft until it is published. A roadmap can have 200.
    #[oai(
        path = "/admin/roadmaps/:roadmap_id/stages",
        method = "post",
        operation_id = "createStage",
        tag = Tag::AdminContent
    )]
    async fn create_stage(
        &self,
        caller: Admin,
        /// The roadmap.
        roadmap_id: Path<Uuid>,
        #[oai(name = "Idempotency-Key")] key: Header<Option<IdempotencyKey>>,
        body: Body<NewStage>,
    ) -> Result<Created<AdminStage>, Problem> {
        let row = |body: &NewStage| {
            let mut row = Row::new(new_id(), roadmap_id.0);
            body.set(&mut row);
            Ok(row)
        };
        self.app.create_from(&caller, (PATH, "createStage"), key.0, &body, row).await
    }

    /// Reorder all stages of a roadmap
    #[oai(
        path = "/admin/roadmaps/:roadmap_id/stages/order",
        method = "put",
        operation_id = "reorderStages",
        tag = Tag::AdminContent
    )]
    async fn reorder_stages(
        &self,
        caller: Admin,
        /// The roadmap.
        roadmap_id: Path<Uuid>,
        body: Body<Order>,
    ) -> Result<NoContent, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        stages::reorder(&mut tx, roadmap_id.0, &body.ids).await?;
        tx.commit().await?;
        Ok(NoContent)
    }

    /// Get a stage for admins
    #[oai(path = "/admin/stages/:stage_id", method = "get", operation_id = "getAdminStage", tag = Tag::AdminContent)]
    async fn get_admin_stage(
        &self,
        _caller: Admin,
        /// The stage.
        stage_id: Path<Uuid>,
    ) -> Result<Versioned<AdminStage>, Problem> {
        let mut connection = self.app.connection().await?;
        Ok(Versioned(stages::find(&mut connection, stage_id.0).await?.into()))
    }

    /// Update a stage
    #[oai(path = "/admin/stages/:stage_id", method = "patch", operation_id = "updateStage", tag = Tag::AdminContent)]
    async fn update_stage(
        &self,
        caller: Admin,
        /// The stage.
        stage_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
        body: Body<Changes<NewStage>>,
    ) -> Result<Versioned<AdminStage>, Problem> {
        self.app.edit(&caller, stage_id.0, version, body.edit(NewStage::set)).await
    }

    /// Publish a stage
    ///
    /// Learners then see it with its published lessons, if the roadmap is published.
    #[oai(
        path = "/admin/stages/:stage_id/publish",
        method = "post",
        operation_id = "publishStage",
        tag = Tag::AdminContent
    )]
    async fn publish_stage(
        &self,
        caller: Admin,
        /// The stage.
        stage_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<Versioned<AdminStage>, Problem> {
        self.app.edit::<Row, _>(&caller, stage_id.0, version, resource::publish()).await
    }

    /// Archive a stage
    ///
    /// Learners no longer see it, and it blocks nobody. It can be published again.
    #[oai(
        path = "/admin/stages/:stage_id/archive",
        method = "post",
        operation_id = "archiveStage",
        tag = Tag::AdminContent
    )]
    async fn archive_stage(
        &self,
        caller: Admin,
        /// The stage.
        stage_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<Versioned<AdminStage>, Problem> {
        self.app.edit::<Row, _>(&caller, stage_id.0, version, resource::archive()).await
    }

    /// Delete a stage
    ///
    /// It can be restored, with its lessons and what learners achieved. Its slug can be used again meanwhile.
    #[oai(path = "/admin/stages/:stage_id", method = "delete", operation_id = "deleteStage", tag = Tag::AdminContent)]
    async fn delete_stage(
        &self,
        caller: Admin,
        /// The stage.
        stage_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<NoContent, Problem> {
        self.app.delete::<Row>(&caller, stage_id.0, version).await
    }

    /// Restore a deleted stage
    #[oai(
        path = "/admin/stages/:stage_id/restore",
        method = "post",
        operation_id = "restoreStage",
        tag = Tag::AdminContent
    )]
    async fn restore_stage(
        &self,
        caller: Admin,
        /// The stage.
        stage_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<Versioned<AdminStage>, Problem> {
        self.app.edit::<Row, _>(&caller, stage_id.0, version, resource::restore()).await
    }
}
