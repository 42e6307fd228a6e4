//! Categories of prompts, for learners.

use cairn_core::library::prompt_categories;
use poem_openapi::param::Query;
use poem_openapi::{Enum, OpenApi};
use uuid::Uuid;

use crate::answers::Tagged;
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::params::{Cursor, Limit, Page, PageRequest};
use crate::view::view;
use crate::{App, Problem};

/// Categories of prompts, for learners.
pub struct PromptCategoriesApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

/// The kind of a category. The list is fixed, so that programs can rely on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case", remote = "prompt_categories::PromptKind")]
#[expect(missing_docs, reason = "each names itself")]
pub enum PromptKind {
    Planning,
    Research,
    Design,
    Frontend,
    Backend,
    Content,
    Debugging,
    Deployment,
}

view! {
    /// A category of prompts.
    pub struct PromptCategory from prompt_categories::CategoryWithCount {
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
        /// The number of prompts that are listed in it.
        prompts_count: i64,
    }
}

#[OpenApi]
impl PromptCategoriesApi {
    /// List prompt categories
    ///
    /// In the order that admins gave them.
    #[oai(path = "/prompt-categories", method = "get", operation_id = "listPromptCategories", tag = Tag::Library)]
    async fn list_prompt_categories(
        &self,
        _caller: Member,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Tagged<Page<PromptCategory>>, Problem> {
        let page = PageRequest::new(limit.0, cursor.0);
        let mut connection = self.app.connection().await?;
        let rows = prompt_categories::list(&mut connection, page.after()?, page.rows()).await?;
        Ok(page.answer(rows, |category| Some((category.position, category.id)))?.into())
    }
}
