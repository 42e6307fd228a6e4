//! Prompts, for learners.

use cairn_core::library::prompt_steps;
use cairn_core::library::visible_prompts::{self, Filter};
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use uuid::Uuid;

use crate::answers::{NoContent, Tagged};
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::params::{Cursor, Limit, Page, PageRequest};
use crate::view::view;
use crate::{App, Problem};

/// Prompts, for learners.
pub struct PromptsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

view! {
    /// A prompt as lists show it.
    pub struct PromptSummary from visible_prompts::PromptSummary {
        /// Identifies the prompt.
        id: Uuid,
        /// Identifies the category.
        category_id: Uuid,
        /// The name in URLs.
        slug: String,
        /// The title.
        title: String,
        /// The beginning of the description, at most 300 characters.
        summary: String,
        /// The tags.
        tags: Vec<String>,
        /// The number of times it was copied, up to a few seconds ago.
        copy_count: i32,
        /// The number of steps that follow it.
        steps_count: i64,
        /// Whether it is one of your favorites.
        is_favorite: bool,
    }
}

view! {
    /// A prompt that follows another.
    pub struct PromptStep from prompt_steps::Step {
        /// Identifies the step.
        id: Uuid,
        /// The title.
        title: String,
        /// The text to copy.
        body: String,
    }
}

view! {
    /// A prompt: a text to copy into an AI tool, and the steps that follow it.
    pub struct Prompt from visible_prompts::VisiblePrompt {
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
        /// Whether it is one of your favorites.
        is_favorite: bool,
    } with {
        /// What follows the prompt, in order.
        steps: Vec<PromptStep>,
    }
}

#[OpenApi]
impl PromptsApi {
    /// List prompts
    ///
    /// Those that are published, without their texts.
    #[oai(path = "/prompts", method = "get", operation_id = "listPrompts", tag = Tag::Library)]
    async fn list_prompts(
        &self,
        caller: Member,
        /// Only prompts of this category.
        category_id: Query<Option<Uuid>>,
        /// Only prompts with this tag. Repeat the parameter for several tags, all of which are required.
        #[oai(default, validator(max_items = 10))]
        tag: Query<Vec<String>>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Tagged<Page<PromptSummary>>, Problem> {
        let filter = Filter { category_id: category_id.0, tags: tag.0 };
        let page = PageRequest::new(limit.0, cursor.0);
        let mut connection = self.app.connection().await?;
        let rows = visible_prompts::list(&mut connection, &caller, &filter, page.after()?, page.rows()).await?;
        Ok(page.answer(rows, |prompt| Some((prompt.position, prompt.id)))?.into())
    }

    /// Get a prompt with its steps
    ///
    /// With the texts to copy, and whether it is a favorite of the caller.
    #[oai(path = "/prompts/:prompt_id", method = "get", operation_id = "getPrompt", tag = Tag::Library)]
    async fn get_prompt(
        &self,
        caller: Member,
        /// The prompt.
        prompt_id: Path<Uuid>,
    ) -> Result<Tagged<Prompt>, Problem> {
        let mut connection = self.app.connection().await?;
        Ok(Tagged::new(&visible_prompts::find(&mut connection, &caller, prompt_id.0).await?.into()))
    }

    /// Record a copy of a prompt
    ///
    /// For when its text, or that of a step, is copied or sent to a tool. `copy_count` follows within seconds.
    #[oai(path = "/prompts/:prompt_id/copies", method = "post", operation_id = "recordPromptCopy", tag = Tag::Library)]
    async fn record_prompt_copy(
        &self,
        caller: Member,
        /// The prompt.
        prompt_id: Path<Uuid>,
    ) -> Result<NoContent, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        visible_prompts::record_copy(&mut tx, prompt_id.0).await?;
        tx.commit().await?;
        Ok(NoContent)
    }
}
