//! Style cards, for learners.

use cairn_core::library::styles::{self, Filter};
use poem_openapi::param::{Path, Query};
use poem_openapi::{Enum, OpenApi};
use uuid::Uuid;

use crate::answers::{NoContent, Tagged};
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::params::{Cursor, Limit, Page, PageRequest};
use crate::view::view;
use crate::{App, Problem};

/// Style cards, for learners.
pub struct StylesApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

/// The category of a style.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case", remote = "styles::StyleCategory")]
#[expect(missing_docs, reason = "each names itself")]
pub enum StyleCategory {
    Minimal,
    Editorial,
    Brutalist,
    Playful,
    Corporate,
    Retro,
    Futuristic,
    Organic,
}

view! {
    /// A style card as lists show it.
    pub struct StyleSummary from styles::Style {
        /// Identifies the style card.
        id: Uuid,
        /// The name in URLs.
        slug: String,
        /// The title.
        title: String,
        /// The category.
        category: StyleCategory,
        /// The tags.
        tags: Vec<String>,
        /// The URL of a picture; null if there is none.
        preview_url: Option<String>,
        /// The number of uses, up to a few seconds ago.
        usage_count: i32,
    }
}

view! {
    /// A style card: a visual style, with the prompt that asks for it.
    pub struct Style from styles::Style {
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
    }
}

#[OpenApi]
impl StylesApi {
    /// List style cards
    ///
    /// Those that are published, without their prompts.
    #[oai(path = "/styles", method = "get", operation_id = "listStyles", tag = Tag::Library)]
    async fn list_styles(
        &self,
        _caller: Member,
        /// Only style cards of this category.
        category: Query<Option<StyleCategory>>,
        /// Only style cards with this tag. Repeat the parameter for several tags, all of which are required.
        #[oai(default, validator(max_items = 10))]
        tag: Query<Vec<String>>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Tagged<Page<StyleSummary>>, Problem> {
        let filter = Filter { category: category.0.map(Into::into), tags: tag.0 };
        let page = PageRequest::new(limit.0, cursor.0);
        let mut connection = self.app.connection().await?;
        let rows = styles::list(&mut connection, &filter, page.after()?, page.rows()).await?;
        Ok(page.answer(rows, |style| Some((style.position, style.id)))?.into())
    }

    /// Get a style card
    ///
    /// With the prompt to copy.
    #[oai(path = "/styles/:style_id", method = "get", operation_id = "getStyle", tag = Tag::Library)]
    async fn get_style(
        &self,
        _caller: Member,
        /// The style card.
        style_id: Path<Uuid>,
    ) -> Result<Tagged<Style>, Problem> {
        let mut connection = self.app.connection().await?;
        Ok(Tagged::new(&styles::find(&mut connection, style_id.0).await?.into()))
    }

    /// Record a use of a style card
    ///
    /// For when its prompt is copied or sent to a tool. `usage_count` follows within seconds.
    #[oai(path = "/styles/:style_id/uses", method = "post", operation_id = "recordStyleUse", tag = Tag::Library)]
    async fn record_style_use(
        &self,
        caller: Member,
        /// The style card.
        style_id: Path<Uuid>,
    ) -> Result<NoContent, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        styles::record_use(&mut tx, style_id.0).await?;
        tx.commit().await?;
        Ok(NoContent)
    }
}
