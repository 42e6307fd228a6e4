//! Prompts, for admins.

use cairn_core::clock::new_id;
use cairn_core::library::prompt_steps::Step;
use cairn_core::library::prompts::{self, Filter, Prompt as Row};
use cairn_core::resource;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use uuid::Uuid;

use crate::answers::{Created, NoContent, Versioned};
use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::params::{Body, Changes, Cursor, IdempotencyKey, IfMatch, Limit, Page, PageRequest};
use crate::routes::admin::{Order, Publication};
use crate::routes::library::prompts::PromptStep;
use crate::time::{OptionalTime, Time};
use crate::view::{fields, view};
use crate::{App, Code, Problem};

/// Prompts, for admins.
pub struct AdminPromptsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[
    ("createPrompt", &[Code::ValueTaken]),
    ("updatePrompt", &[Code::ValueTaken]),
    ("restorePrompt", &[Code::ValueTaken, Code::ParentDeleted]),
    ("reorderPrompts", &[Code::OrderMismatch]),
];

const PATH: &str = "/v1/admin/prompts";

view! {
    /// A prompt as lists show it to admins.
    pub struct AdminPromptSummary from prompts::PromptRow {
        /// Identifies the prompt.
        id: Uuid,
        /// Identifies the category.
        category_id: Uuid,
        /// The name in URLs.
        slug: String,
        /// The title.
        title: String,
        /// The tags.
        tags: Vec<String>,
        /// The number of times it was copied, up to a few seconds ago.
        copy_count: i32,
        /// The position in lists.
        position: i32,
        /// Whether it is shown to learners.
        publication: Publication,
        /// The version, which is also its `ETag`.
        version: i64,
        /// When it was created.
        created_at: Time,
        /// When it was last changed, its steps included.
        updated_at: Time,
        /// When it was deleted; null if it is not.
        deleted_at: OptionalTime,
    }
}

view! {
    /// A prompt as admins see it.
    pub struct AdminPrompt from Row {
        /// Identifies the prompt.
        id: Uuid,
        /// Identifies the category.
        category_id: Uuid,
        /// The name in URLs.
        slug: String,
        /// The title.
        title: String,
        /// When to use it, in Markdown.
        description: String,
        /// The text to copy.
        body: String,
        /// The tags.
        tags: Vec<String>,
        /// The number of times it was copied, up to a few seconds ago.
        copy_count: i32,
        /// The position in lists.
        position: i32,
        /// Whether it is shown to learners.
        publication: Publication,
        /// The version, which is also its `ETag`. It rises with every change of the prompt and of its steps.
        version: i64,
        /// When it was created.
        created_at: Time,
        /// When it was last changed, its steps included.
        updated_at: Time,
        /// When it was deleted; null if it is not.
        deleted_at: OptionalTime,
    } with {
        /// What follows the prompt, in order.
        steps: Vec<PromptStep>,
    }
}

/// A step to keep, change or create.
#[derive(Clone, Debug, Object)]
pub struct NewPromptStep {
    /// Identifies the step to keep. Null or left out for a new step.
    pub id: Option<Uuid>,
    /// The title.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub title: String,
    /// The text to copy.
    #[oai(validator(min_length = 1, max_length = 20_000))]
    pub body: String,
}

impl From<Step> for NewPromptStep {
    fn from(step: Step) -> Self {
        Self { id: Some(step.id), title: step.title, body: step.body }
    }
}

impl From<NewPromptStep> for Step {
    fn from(step: NewPromptStep) -> Self {
        let is_new = step.id.is_none();
        Self { id: step.id.unwrap_or_else(new_id), title: step.title, body: step.body, is_new }
    }
}

fields! {
    /// A prompt to create. It is a draft until it is published.
    pub struct NewPrompt of Row {
        /// Identifies the category, which is not deleted.
        category_id: Uuid,
        /// The name in URLs: lower-case letters and digits, with single hyphens between them.
        #[oai(validator(min_length = 2, max_length = 80, pattern = "^[a-z0-9]+(-[a-z0-9]+)*$"))]
        slug: String,
        /// The title.
        #[oai(validator(min_length = 1, max_length = 200))]
        title: String,
        /// When to use it, in Markdown.
        #[oai(default, validator(max_length = 5000))]
        description: String,
        /// The text to copy.
        #[oai(validator(min_length = 1, max_length = 50_000))]
        body: String,
        /// The tags.
        #[oai(default, validator(max_items = 20, min_length = 1, max_length = 50))]
        tags: Vec<String>,
        /// The position in lists; prompts with the same position are ordered by age.
        #[oai(default)]
        position: i32,
    } with {
        /// All steps, in order. A step with an id is kept, and changed if its texts differ; one without an id is created;
        /// one that is left out is deleted.
        #[oai(default, validator(max_items = 100))]
        steps: Vec<NewPromptStep>,
    }
}

impl From<&NewPrompt> for Row {
    fn from(new: &NewPrompt) -> Self {
        let mut row = Self { id: new_id(), ..Self::default() };
        new.set(&mut row);
        row
    }
}

#[OpenApi]
impl AdminPromptsApi {
    /// List prompts for admins
    ///
    /// Drafts and archived ones included.
    #[oai(path = "/admin/prompts", method = "get", operation_id = "listAdminPrompts", tag = Tag::AdminLibrary)]
    async fn list_admin_prompts(
        &self,
        _caller: Admin,
        /// Only prompts of this category.
        category_id: Query<Option<Uuid>>,
        /// Only prompts in this state.
        publication: Query<Option<Publication>>,
        /// The deleted prompts instead of the live ones.
        #[oai(default)]
        deleted: Query<bool>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<AdminPromptSummary>>, Problem> {
        let page = PageRequest::new(limit.0, cursor.0);
        let publication = publication.0.map(Into::into);
        let filter = Filter { category_id: category_id.0, publication, deleted: deleted.0 };
        let mut connection = self.app.connection().await?;
        let rows = prompts::list_all(&mut connection, filter, page.after()?, page.rows()).await?;
        page.answer(rows, |prompt| Some((prompt.position, prompt.id)))
    }

    /// Create a prompt with its steps
    #[oai(path = "/admin/prompts", method = "post", operation_id = "createPrompt", tag = Tag::AdminLibrary)]
    async fn create_prompt(
        &self,
        caller: Admin,
        #[oai(name = "Idempotency-Key")] key: Header<Option<IdempotencyKey>>,
        body: Body<NewPrompt>,
    ) -> Result<Created<AdminPrompt>, Problem> {
        self.app.create::<Row, _, _>(&caller, (PATH, "createPrompt"), key.0, &body).await
    }

    /// Get a prompt for admins
    #[oai(path = "/admin/prompts/:prompt_id", method = "get", operation_id = "getAdminPrompt", tag = Tag::AdminLibrary)]
    async fn get_admin_prompt(
        &self,
        _caller: Admin,
        /// The prompt.
        prompt_id: Path<Uuid>,
    ) -> Result<Versioned<AdminPrompt>, Problem> {
        let mut connection = self.app.connection().await?;
        Ok(Versioned(prompts::find_any(&mut connection, prompt_id.0).await?.into()))
    }

    /// Update a prompt
    ///
    /// Another `category_id` moves it. `steps`, if sent, are all of its steps: those that are left out are deleted.
    #[oai(path = "/admin/prompts/:prompt_id", method = "patch", operation_id = "updatePrompt", tag = Tag::AdminLibrary)]
    async fn update_prompt(
        &self,
        caller: Admin,
        /// The prompt.
        prompt_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
        body: Body<Changes<NewPrompt>>,
    ) -> Result<Versioned<AdminPrompt>, Problem> {
        self.app.edit(&caller, prompt_id.0, version, body.edit(NewPrompt::set)).await
    }

    /// Publish a prompt
    #[oai(
        path = "/admin/prompts/:prompt_id/publish",
        method = "post",
        operation_id = "publishPrompt",
        tag = Tag::AdminLibrary
    )]
    async fn publish_prompt(
        &self,
        caller: Admin,
        /// The prompt.
        prompt_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<Versioned<AdminPrompt>, Problem> {
        self.app.edit::<Row, _>(&caller, prompt_id.0, version, resource::publish()).await
    }

    /// Archive a prompt
    ///
    /// Learners no longer see it. It can be published again.
    #[oai(
        path = "/admin/prompts/:prompt_id/archive",
        method = "post",
        operation_id = "archivePrompt",
        tag = Tag::AdminLibrary
    )]
    async fn archive_prompt(
        &self,
        caller: Admin,
        /// The prompt.
        prompt_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<Versioned<AdminPrompt>, Problem> {
        self.app.edit::<Row, _>(&caller, prompt_id.0, version, resource::archive()).await
    }

    /// Delete a prompt
    ///
    /// It can be restored. Its slug can be used again meanwhile.
    #[oai(path = "/admin/prompts/:prompt_id", method = "delete", operation_id = "deletePrompt", tag = Tag::AdminLibrary)]
    async fn delete_prompt(
        &self,
        caller: Admin,
        /// The prompt.
        prompt_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<NoContent, Problem> {
        self.app.delete::<Row>(&caller, prompt_id.0, version).await
    }

    /// Restore a deleted prompt
    ///
    /// Its category must not be deleted.
    #[oai(
        path = "/admin/prompts/:prompt_id/restore",
        method = "post",
        operation_id = "restorePrompt",
        tag = Tag::AdminLibrary
    )]
    async fn restore_prompt(
        &self,
        caller: Admin,
        /// The prompt.
        prompt_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<Versioned<AdminPrompt>, Problem> {
        self.app.edit::<Row, _>(&caller, prompt_id.0, version, resource::restore()).await
    }

    /// Reorder the prompts of a category
    #[oai(path = "/admin/prompt-categories/:prompt_category_id/prompts/order", method = "put", operation_id = "reorderPrompts", tag = Tag::AdminLibrary)]
    async fn reorder_prompts(
        &self,
        caller: Admin,
        /// The category.
        prompt_category_id: Path<Uuid>,
        body: Body<Order>,
    ) -> Result<NoContent, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        prompts::reorder(&mut tx, prompt_category_id.0, &body.ids).await?;
        tx.commit().await?;
        Ok(NoContent)
    }
}
