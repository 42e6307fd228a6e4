//! Categories of prompts, for admins.

use cairn_core::clock::new_id;
use cairn_core::library::prompt_categories::{self, PromptCategory as Row};
use cairn_core::resource;
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Json;
use uuid::Uuid;

use crate::answers::{Created, NoContent, Versioned};
use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::params::{Body, Changes, Cursor, IdempotencyKey, IfMatch, Limit, Page, PageRequest};
use crate::routes::admin::Order;
use crate::routes::library::prompt_categories::PromptKind;
use crate::time::{OptionalTime, Time};
use crate::view::{fields, view};
use crate::{App, Code, Problem};

/// Categories of prompts, for admins.
pub struct AdminPromptCategoriesApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[
    ("createPromptCategory", &[Code::ValueTaken]),
    ("updatePromptCategory", &[Code::ValueTaken]),
    ("deletePromptCategory", &[Code::ResourceInUse]),
    ("restorePromptCategory", &[Code::ValueTaken]),
    ("reorderPromptCategories", &[Code::OrderMismatch]),
];

const PATH: &str = "/v1/admin/prompt-categories";

view! {
    /// A category of prompts as admins see it.
    pub struct AdminPromptCategory from Row {
        /// Identifies the category.
        id: Uuid,
        /// The name in URLs.
        slug: String,
        /// The name.
        name: String,
        /// The kind, for programs.
        kind: PromptKind,
        /// The colour, as `#rrggbb`.
        color: String,
        /// The position in lists.
        position: i32,
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
    /// A category of prompts to create.
    pub struct NewPromptCategory of Row {
        /// The name in URLs: lower-case letters and digits, with single hyphens between them.
        #[oai(validator(min_length = 2, max_length = 80, pattern = "^[a-z0-9]+(-[a-z0-9]+)*$"))]
        slug: String,
        /// The name, which no other category has, whatever its case.
        #[oai(validator(min_length = 1, max_length = 100))]
        name: String,
        /// The kind, for programs.
        kind: PromptKind,
        /// The colour, as `#rrggbb` in lower case.
        #[oai(default = "default_color", validator(max_length = 7, pattern = "^#[0-9a-f]{6}$"))]
        color: String,
        /// The position in lists; categories with the same position are ordered by age.
        #[oai(default)]
        position: i32,
    }
}

fn default_color() -> String {
    "#64748b".to_owned()
}

impl From<&NewPromptCategory> for Row {
    fn from(new: &NewPromptCategory) -> Self {
        let mut row = Self { id: new_id(), ..Self::default() };
        new.set(&mut row);
        row
    }
}

#[OpenApi]
impl AdminPromptCategoriesApi {
    /// List prompt categories for admins
    #[oai(path = "/admin/prompt-categories", method = "get", operation_id = "listAdminPromptCategories", tag = Tag::AdminLibrary)]
    async fn list_admin_prompt_categories(
        &self,
        _caller: Admin,
        /// The deleted prompt categories instead of the live ones.
        #[oai(default)]
        deleted: Query<bool>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<AdminPromptCategory>>, Problem> {
        let page = PageRequest::new(limit.0, cursor.0);
        let mut connection = self.app.connection().await?;
        let rows = prompt_categories::list_all(&mut connection, deleted.0, page.after()?, page.rows()).await?;
        page.answer(rows, |category| Some((category.position, category.id)))
    }

    /// Create a prompt category
    #[oai(path = "/admin/prompt-categories", method = "post", operation_id = "createPromptCategory", tag = Tag::AdminLibrary)]
    async fn create_prompt_category(
        &self,
        caller: Admin,
        #[oai(name = "Idempotency-Key")] key: Header<Option<IdempotencyKey>>,
        body: Body<NewPromptCategory>,
    ) -> Result<Created<AdminPromptCategory>, Problem> {
        self.app.create::<Row, _, _>(&caller, (PATH, "createPromptCategory"), key.0, &body).await
    }

    /// Get a prompt category for admins
    #[oai(path = "/admin/prompt-categories/:prompt_category_id", method = "get", operation_id = "getAdminPromptCategory", tag = Tag::AdminLibrary)]
    async fn get_admin_prompt_category(
        &self,
        _caller: Admin,
        /// The prompt category.
        prompt_category_id: Path<Uuid>,
    ) -> Result<Versioned<AdminPromptCategory>, Problem> {
        let mut connection = self.app.connection().await?;
        Ok(Versioned(prompt_categories::find_any(&mut connection, prompt_category_id.0).await?.into()))
    }

    /// Update a prompt category
    #[oai(path = "/admin/prompt-categories/:prompt_category_id", method = "patch", operation_id = "updatePromptCategory", tag = Tag::AdminLibrary)]
    async fn update_prompt_category(
        &self,
        caller: Admin,
        /// The prompt category.
        prompt_category_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
        body: Body<Changes<NewPromptCategory>>,
    ) -> Result<Versioned<AdminPromptCategory>, Problem> {
        self.app.edit(&caller, prompt_category_id.0, version, body.edit(NewPromptCategory::set)).await
    }

    /// Delete a prompt category
    ///
    /// It can be restored. Its slug and name can be used again meanwhile. While prompts that are not deleted belong to it,
    /// drafts included, it is not deleted: the problem `resource_in_use` has their number as `dependents_count`.
    #[oai(path = "/admin/prompt-categories/:prompt_category_id", method = "delete", operation_id = "deletePromptCategory", tag = Tag::AdminLibrary)]
    async fn delete_prompt_category(
        &self,
        caller: Admin,
        /// The prompt category.
        prompt_category_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<NoContent, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        prompt_categories::delete(&mut tx, prompt_category_id.0, version.0).await?;
        tx.commit().await?;
        Ok(NoContent)
    }

    /// Restore a deleted prompt category
    #[oai(
        path = "/admin/prompt-categories/:prompt_category_id/restore",
        method = "post",
        operation_id = "restorePromptCategory",
        tag = Tag::AdminLibrary
    )]
    async fn restore_prompt_category(
        &self,
        caller: Admin,
        /// The prompt category.
        prompt_category_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<Versioned<AdminPromptCategory>, Problem> {
        self.app.edit::<Row, _>(&caller, prompt_category_id.0, version, resource::restore()).await
    }

    /// Reorder all prompt categories
    #[oai(path = "/admin/prompt-categories/order", method = "put", operation_id = "reorderPromptCategories", tag = Tag::AdminLibrary)]
    async fn reorder_prompt_categories(&self, caller: Admin, body: Body<Order>) -> Result<NoContent, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        prompt_categories::reorder(&mut tx, &body.ids).await?;
        tx.commit().await?;
        Ok(NoContent)
    }
}
