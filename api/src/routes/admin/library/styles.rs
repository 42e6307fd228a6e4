//! Style cards, for admins.

use cairn_core::clock::new_id;
use cairn_core::library::styles::{self, Style as Row};
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
use crate::routes::library::styles::StyleCategory;
use crate::time::{OptionalTime, Time};
use crate::view::{fields, view};
use crate::{App, Code, Problem};

/// Style cards, for admins.
pub struct AdminStylesApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[
    ("createStyle", &[Code::ValueTaken]),
    ("updateStyle", &[Code::ValueTaken]),
    ("restoreStyle", &[Code::ValueTaken]),
    ("reorderStyles", &[Code::OrderMismatch]),
];

const PATH: &str = "/v1/admin/styles";

view! {
    /// A style card as admins see it.
    pub struct AdminStyle from Row {
        /// Identifies the style card.
        id: Uuid,
        /// The name in URLs.
        slug: String,
        /// The title.
        title: String,
        /// The category.
        category: StyleCategory,
        /// What is typical of the style, in Markdown.
        description: String,
        /// The prompt that asks an AI tool for this style.
        prompt: String,
        /// The tags.
        tags: Vec<String>,
        /// The URL of a picture; null if there is none.
        preview_url: Option<String>,
        /// The number of uses, up to a few seconds ago.
        usage_count: i32,
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
    /// A style card to create. It is a draft until it is published.
    pub struct NewStyle of Row {
        /// The name in URLs: lower-case letters and digits, with single hyphens between them.
        #[oai(validator(min_length = 2, max_length = 80, pattern = "^[a-z0-9]+(-[a-z0-9]+)*$"))]
        slug: String,
        /// The title.
        #[oai(validator(min_length = 1, max_length = 200))]
        title: String,
        /// The category.
        category: StyleCategory,
        /// What is typical of the style, in Markdown.
        #[oai(default, validator(max_length = 5000))]
        description: String,
        /// The prompt that asks an AI tool for this style.
        #[oai(default, validator(max_length = 20_000))]
        prompt: String,
        /// The tags.
        #[oai(default, validator(max_items = 20, min_length = 1, max_length = 50))]
        tags: Vec<String>,
        /// The URL of a picture; null if there is none.
        #[oai(validator(max_length = 2000, pattern = "^https?://\\S+$"))]
        preview_url: Option<String>,
        /// The position in lists; cards with the same position are ordered by age.
        #[oai(default)]
        position: i32,
    }
}

impl From<&NewStyle> for Row {
    fn from(new: &NewStyle) -> Self {
        let mut row = Self { id: new_id(), ..Self::default() };
        new.set(&mut row);
        row
    }
}

#[OpenApi]
impl AdminStylesApi {
    /// List style cards for admins
    ///
    /// Drafts and archived ones included.
    #[oai(path = "/admin/styles", method = "get", operation_id = "listAdminStyles", tag = Tag::AdminLibrary)]
    async fn list_admin_styles(
        &self,
        _caller: Admin,
        /// Only style cards in this state.
        publication: Query<Option<Publication>>,
        /// The deleted style cards instead of the live ones.
        #[oai(default)]
        deleted: Query<bool>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<AdminStyle>>, Problem> {
        let page = PageRequest::new(limit.0, cursor.0);
        let publication = publication.0.map(Into::into);
        let mut connection = self.app.connection().await?;
        let rows = styles::list_all(&mut connection, publication, deleted.0, page.after()?, page.rows()).await?;
        let size = |style: &Row| style.prompt.len() + style.description.len();
        page.answer_within(rows, size, |style| Some((style.position, style.id)))
    }

    /// Create a style card
    #[oai(path = "/admin/styles", method = "post", operation_id = "createStyle", tag = Tag::AdminLibrary)]
    async fn create_style(
        &self,
        caller: Admin,
        #[oai(name = "Idempotency-Key")] key: Header<Option<IdempotencyKey>>,
        body: Body<NewStyle>,
    ) -> Result<Created<AdminStyle>, Problem> {
        self.app.create::<Row, _, _>(&caller, (PATH, "createStyle"), key.0, &body).await
    }

    /// Get a style card for admins
    #[oai(path = "/admin/styles/:style_id", method = "get", operation_id = "getAdminStyle", tag = Tag::AdminLibrary)]
    async fn get_admin_style(
        &self,
        _caller: Admin,
        /// The style card.
        style_id: Path<Uuid>,
    ) -> Result<Versioned<AdminStyle>, Problem> {
        let mut connection = self.app.connection().await?;
        Ok(Versioned(styles::find_any(&mut connection, style_id.0).await?.into()))
    }

    /// Update a style card
    #[oai(path = "/admin/styles/:style_id", method = "patch", operation_id = "updateStyle", tag = Tag::AdminLibrary)]
    async fn update_style(
        &self,
        caller: Admin,
        /// The style card.
        style_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
        body: Body<Changes<NewStyle>>,
    ) -> Result<Versioned<AdminStyle>, Problem> {
        self.app.edit(&caller, style_id.0, version, body.edit(NewStyle::set)).await
    }

    /// Publish a style card
    #[oai(
        path = "/admin/styles/:style_id/publish",
        method = "post",
        operation_id = "publishStyle",
        tag = Tag::AdminLibrary
    )]
    async fn publish_style(
        &self,
        caller: Admin,
        /// The style card.
        style_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<Versioned<AdminStyle>, Problem> {
        self.app.edit::<Row, _>(&caller, style_id.0, version, resource::publish()).await
    }

    /// Archive a style card
    ///
    /// Learners no longer see it. It can be published again.
    #[oai(
        path = "/admin/styles/:style_id/archive",
        method = "post",
        operation_id = "archiveStyle",
        tag = Tag::AdminLibrary
    )]
    async fn archive_style(
        &self,
        caller: Admin,
        /// The style card.
        style_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<Versioned<AdminStyle>, Problem> {
        self.app.edit::<Row, _>(&caller, style_id.0, version, resource::archive()).await
    }

    /// Delete a style card
    ///
    /// It can be restored. Its slug can be used again meanwhile.
    #[oai(path = "/admin/styles/:style_id", method = "delete", operation_id = "deleteStyle", tag = Tag::AdminLibrary)]
    async fn delete_style(
        &self,
        caller: Admin,
        /// The style card.
        style_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<NoContent, Problem> {
        self.app.delete::<Row>(&caller, style_id.0, version).await
    }

    /// Restore a deleted style card
    #[oai(
        path = "/admin/styles/:style_id/restore",
        method = "post",
        operation_id = "restoreStyle",
        tag = Tag::AdminLibrary
    )]
    async fn restore_style(
        &self,
        caller: Admin,
        /// The style card.
        style_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<Versioned<AdminStyle>, Problem> {
        self.app.edit::<Row, _>(&caller, style_id.0, version, resource::restore()).await
    }

    /// Reorder all style cards
    #[oai(path = "/admin/styles/order", method = "put", operation_id = "reorderStyles", tag = Tag::AdminLibrary)]
    async fn reorder_styles(&self, caller: Admin, body: Body<Order>) -> Result<NoContent, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        styles::reorder(&mut tx, &body.ids).await?;
        tx.commit().await?;
        Ok(NoContent)
    }
}
