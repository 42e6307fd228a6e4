//! Roadmaps, for admins.

use cairn_core::clock::new_id;
use cairn_core::learning::content::roadmaps::{self, Roadmap as Row};
use cairn_core::learning::content::stages;
use cairn_core::resource;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use uuid::Uuid;

use crate::answers::{Created, NoContent, Versioned};
use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::params::{Body, Changes, Cursor, IdempotencyKey, IfMatch, Limit, Page, PageRequest};
use crate::routes::admin::learning::stages::AdminStage;
use crate::routes::admin::{Order, Publication};
use crate::time::{OptionalTime, Time};
use crate::view::{fields, view};
use crate::{App, Code, Problem};

/// Roadmaps, for admins.
pub struct AdminRoadmapsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[
    ("createRoadmap", &[Code::ValueTaken, Code::CollectionFull]),
    ("updateRoadmap", &[Code::ValueTaken]),
    ("restoreRoadmap", &[Code::ValueTaken, Code::CollectionFull]),
    ("reorderRoadmaps", &[Code::OrderMismatch]),
];

const PATH: &str = "/v1/admin/roadmaps";

view! {
    /// A roadmap as admins see it.
    pub struct AdminRoadmap from Row {
        /// Identifies the roadmap.
        id: Uuid,
        /// The name in URLs.
        slug: String,
        /// The title.
        title: String,
        /// A summary in a sentence or two.
        summary: String,
        /// Whether a stage is locked until the earlier ones are completed.
        is_sequential: bool,
        /// The position in lists.
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

/// A roadmap as admins see it, with its stages.
#[derive(Clone, Debug, Object)]
pub struct AdminRoadmapDetails {
    /// The roadmap itself.
    #[oai(flatten)]
    pub roadmap: AdminRoadmap,
    /// The stages that are not deleted, in order; at most 200.
    pub stages: Vec<AdminStage>,
}

fields! {
    /// A roadmap to create.
    pub struct NewRoadmap of Row {
        /// The name in URLs: lower-case letters and digits, with single hyphens between them.
        #[oai(validator(min_length = 2, max_length = 80, pattern = "^[a-z0-9]+(-[a-z0-9]+)*$"))]
        slug: String,
        /// The title.
        #[oai(validator(min_length = 1, max_length = 200))]
        title: String,
        /// A summary in a sentence or two.
        #[oai(default, validator(max_length = 1000))]
        summary: String,
        /// Whether a stage is locked until the earlier ones are completed.
        #[oai(default)]
        is_sequential: bool,
    }
}

impl From<&NewRoadmap> for Row {
    fn from(new: &NewRoadmap) -> Self {
        let mut row = Self::new(new_id());
        new.set(&mut row);
        row
    }
}

#[OpenApi]
impl AdminRoadmapsApi {
    /// List roadmaps for admins
    ///
    /// Drafts and archived ones included.
    #[oai(path = "/admin/roadmaps", method = "get", operation_id = "listAdminRoadmaps", tag = Tag::AdminContent)]
    async fn list_admin_roadmaps(
        &self,
        _caller: Admin,
        /// Only roadmaps in this state.
        publication: Query<Option<Publication>>,
        /// The deleted roadmaps instead of the live ones.
        #[oai(default)]
        deleted: Query<bool>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<AdminRoadmap>>, Problem> {
        let page = PageRequest::new(limit.0, cursor.0);
        let publication = publication.0.map(Into::into);
        let mut connection = self.app.connection().await?;
        let rows = roadmaps::list(&mut connection, publication, deleted.0, page.after()?, page.rows()).await?;
        page.answer(rows, |last| Some((last.position, last.id)))
    }

    /// Create a roadmap
    ///
    /// It is the last of all, and a draft until it is published. There can be 1000.
    #[oai(path = "/admin/roadmaps", method = "post", operation_id = "createRoadmap", tag = Tag::AdminContent)]
    async fn create_roadmap(
        &self,
        caller: Admin,
        #[oai(name = "Idempotency-Key")] key: Header<Option<IdempotencyKey>>,
        body: Body<NewRoadmap>,
    ) -> Result<Created<AdminRoadmap>, Problem> {
        self.app.create::<Row, _, _>(&caller, (PATH, "createRoadmap"), key.0, &body).await
    }

    /// Reorder all roadmaps
    #[oai(path = "/admin/roadmaps/order", method = "put", operation_id = "reorderRoadmaps", tag = Tag::AdminContent)]
    async fn reorder_roadmaps(&self, caller: Admin, body: Body<Order>) -> Result<NoContent, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        roadmaps::reorder(&mut tx, &body.ids).await?;
        tx.commit().await?;
        Ok(NoContent)
    }

    /// Get a roadmap for admins
    ///
    /// With its stages; the lessons of a stage are at `/v1/admin/stages/{stage_id}/lessons`.
    #[oai(path = "/admin/roadmaps/:roadmap_id", method = "get", operation_id = "getAdminRoadmap", tag = Tag::AdminContent)]
    async fn get_admin_roadmap(
        &self,
        _caller: Admin,
        /// The roadmap.
        roadmap_id: Path<Uuid>,
    ) -> Result<Versioned<AdminRoadmapDetails>, Problem> {
        let mut snapshot = self.app.snapshot().await?;
        let roadmap = roadmaps::find(&mut snapshot, roadmap_id.0).await?.into();
        let stages = stages::list_live(&mut snapshot, roadmap_id.0).await?;
        Ok(Versioned(AdminRoadmapDetails { roadmap, stages: stages.into_iter().map(AdminStage::from).collect() }))
    }

    /// Update a roadmap
    #[oai(path = "/admin/roadmaps/:roadmap_id", method = "patch", operation_id = "updateRoadmap", tag = Tag::AdminContent)]
    async fn update_roadmap(
        &self,
        caller: Admin,
        /// The roadmap.
        roadmap_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
        body: Body<Changes<NewRoadmap>>,
    ) -> Result<Versioned<AdminRoadmap>, Problem> {
        self.app.edit(&caller, roadmap_id.0, version, body.edit(NewRoadmap::set)).await
    }

    /// Publish a roadmap
    ///
    /// Learners then see it with its published stages.
    #[oai(
        path = "/admin/roadmaps/:roadmap_id/publish",
        method = "post",
        operation_id = "publishRoadmap",
        tag = Tag::AdminContent
    )]
    async fn publish_roadmap(
        &self,
        caller: Admin,
        /// The roadmap.
        roadmap_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<Versioned<AdminRoadmap>, Problem> {
        self.app.edit::<Row, _>(&caller, roadmap_id.0, version, resource::publish()).await
    }

    /// Archive a roadmap
    ///
    /// Learners no longer see it. What they achieved is kept, and it can be published again.
    #[oai(
        path = "/admin/roadmaps/:roadmap_id/archive",
        method = "post",
        operation_id = "archiveRoadmap",
        tag = Tag::AdminContent
    )]
    async fn archive_roadmap(
        &self,
        caller: Admin,
        /// The roadmap.
        roadmap_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<Versioned<AdminRoadmap>, Problem> {
        self.app.edit::<Row, _>(&caller, roadmap_id.0, version, resource::archive()).await
    }

    /// Delete a roadmap
    ///
    /// It can be restored, with its stages and what learners achieved. Its slug can be used again meanwhile.
    #[oai(path = "/admin/roadmaps/:roadmap_id", method = "delete", operation_id = "deleteRoadmap", tag = Tag::AdminContent)]
    async fn delete_roadmap(
        &self,
        caller: Admin,
        /// The roadmap.
        roadmap_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<NoContent, Problem> {
        self.app.delete::<Row>(&caller, roadmap_id.0, version).await
    }

    /// Restore a deleted roadmap
    #[oai(
        path = "/admin/roadmaps/:roadmap_id/restore",
        method = "post",
        operation_id = "restoreRoadmap",
        tag = Tag::AdminContent
    )]
    async fn restore_roadmap(
        &self,
        caller: Admin,
        /// The roadmap.
        roadmap_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<Versioned<AdminRoadmap>, Problem> {
        self.app.edit::<Row, _>(&caller, roadmap_id.0, version, resource::restore()).await
    }
}
