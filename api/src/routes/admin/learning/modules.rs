//! Modules, for admins.

use cairn_core::clock::new_id;
use cairn_core::learning::content::modules::{self, Module as Row};
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

/// Modules, for admins.
pub struct AdminModulesApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[
    ("createModule", &[Code::ValueTaken, Code::CollectionFull]),
    ("updateModule", &[Code::ValueTaken]),
    ("restoreModule", &[Code::ValueTaken, Code::CollectionFull]),
    ("reorderModules", &[Code::OrderMismatch]),
];

const PATH: &str = "/v1/admin/modules";

view! {
    /// A module as admins see it.
    pub struct AdminModule from Row {
        /// Identifies the module.
        id: Uuid,
        /// The name in URLs.
        slug: String,
        /// The title.
        title: String,
        /// A summary in a sentence or two.
        summary: String,
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

fields! {
    /// A module to create.
    pub struct NewModule of Row {
        /// The name in URLs: lower-case letters and digits, with single hyphens between them.
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

impl From<&NewModule> for Row {
    fn from(new: &NewModule) -> Self {
        let mut row = Self::new(new_id());
        new.set(&mut row);
        row
    }
}

#[OpenApi]
impl AdminModulesApi {
    /// List modules for admins
    ///
    /// Drafts and archived ones included.
    #[oai(path = "/admin/modules", method = "get", operation_id = "listAdminModules", tag = Tag::AdminContent)]
    async fn list_admin_modules(
        &self,
        _caller: Admin,
        /// Only modules in this state.
        publication: Query<Option<Publication>>,
        /// The deleted modules instead of the live ones.
        #[oai(default)]
        deleted: Query<bool>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<AdminModule>>, Problem> {
        let page = PageRequest::new(limit.0, cursor.0);
        let publication = publication.0.map(Into::into);
        let mut connection = self.app.connection().await?;
        let rows = modules::list(&mut connection, publication, deleted.0, page.after()?, page.rows()).await?;
        page.answer(rows, |last| Some((last.position, last.id)))
    }

    /// Create a module
    ///
    /// It is the last of all, and a draft until it is published. There can be 1000.
    #[oai(path = "/admin/modules", method = "post", operation_id = "createModule", tag = Tag::AdminContent)]
    async fn create_module(
        &self,
        caller: Admin,
        #[oai(name = "Idempotency-Key")] key: Header<Option<IdempotencyKey>>,
        body: Body<NewModule>,
    ) -> Result<Created<AdminModule>, Problem> {
        self.app.create::<Row, _, _>(&caller, (PATH, "createModule"), key.0, &body).await
    }

    /// Reorder all modules
    #[oai(path = "/admin/modules/order", method = "put", operation_id = "reorderModules", tag = Tag::AdminContent)]
    async fn reorder_modules(&self, caller: Admin, body: Body<Order>) -> Result<NoContent, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        modules::reorder(&mut tx, &body.ids).await?;
        tx.commit().await?;
        Ok(NoContent)
    }

    /// Get a module for admins
    #[oai(path = "/admin/modules/:module_id", method = "get", operation_id = "getAdminModule", tag = Tag::AdminContent)]
    async fn get_admin_module(
        &self,
        _caller: Admin,
        /// The module.
        module_id: Path<Uuid>,
    ) -> Result<Versioned<AdminModule>, Problem> {
        let mut connection = self.app.connection().await?;
        Ok(Versioned(modules::find(&mut connection, module_id.0).await?.into()))
    }

    /// Update a module
    #[oai(path = "/admin/modules/:module_id", method = "patch", operation_id = "updateModule", tag = Tag::AdminContent)]
    async fn update_module(
        &self,
        caller: Admin,
        /// The module.
        module_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
        body: Body<Changes<NewModule>>,
    ) -> Result<Versioned<AdminModule>, Problem> {
        self.app.edit(&caller, module_id.0, version, body.edit(NewModule::set)).await
    }

    /// Publish a module
    ///
    /// Learners then see its published lessons.
    #[oai(
        path = "/admin/modules/:module_id/publish",
        method = "post",
        operation_id = "publishModule",
        tag = Tag::AdminContent
    )]
    async fn publish_module(
        &self,
        caller: Admin,
        /// The module.
        module_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<Versioned<AdminModule>, Problem> {
        self.app.edit::<Row, _>(&caller, module_id.0, version, resource::publish()).await
    }

    /// Archive a module
    ///
    /// Learners no longer see it, nor its lessons. It can be published again.
    #[oai(
        path = "/admin/modules/:module_id/archive",
        method = "post",
        operation_id = "archiveModule",
        tag = Tag::AdminContent
    )]
    async fn archive_module(
        &self,
        caller: Admin,
        /// The module.
        module_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<Versioned<AdminModule>, Problem> {
        self.app.edit::<Row, _>(&caller, module_id.0, version, resource::archive()).await
    }

    /// Delete a module
    ///
    /// It can be restored, with its lessons. Meanwhile learners do not see them, and its slug can be used again.
    #[oai(path = "/admin/modules/:module_id", method = "delete", operation_id = "deleteModule", tag = Tag::AdminContent)]
    async fn delete_module(
        &self,
        caller: Admin,
        /// The module.
        module_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<NoContent, Problem> {
        self.app.delete::<Row>(&caller, module_id.0, version).await
    }

    /// Restore a deleted module
    #[oai(
        path = "/admin/modules/:module_id/restore",
        method = "post",
        operation_id = "restoreModule",
        tag = Tag::AdminContent
    )]
    async fn restore_module(
        &self,
        caller: Admin,
        /// The module.
        module_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<Versioned<AdminModule>, Problem> {
        self.app.edit::<Row, _>(&caller, module_id.0, version, resource::restore()).await
    }
}
