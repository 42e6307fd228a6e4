//! The glossary, for learners.

use cairn_core::library::glossary::{self, Filter};
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use uuid::Uuid;

use crate::answers::Tagged;
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::params::{Cursor, Limit, Page, PageRequest};
use crate::view::view;
use crate::{App, Problem};

/// The glossary, for learners.
pub struct GlossaryApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

view! {
    /// A term of the glossary as lists show it.
    pub struct TermSummary from glossary::TermSummary {
        /// Identifies the term.
        id: Uuid,
        /// The name in URLs.
        slug: String,
        /// The term.
        term: String,
        /// The category; null if there is none.
        category: Option<String>,
        /// The beginning of the definition, at most 300 characters.
        summary: String,
        /// The tags.
        tags: Vec<String>,
    }
}

view! {
    /// A term of the glossary.
    pub struct Term from glossary::Term {
        /// Identifies the term.
        id: Uuid,
        /// The name in URLs.
        slug: String,
        /// The term.
        term: String,
        /// The category; null if there is none.
        category: Option<String>,
        /// What it means, in Markdown.
        definition: String,
        /// The tags.
        tags: Vec<String>,
    }
}

#[OpenApi]
impl GlossaryApi {
    /// List terms of the glossary
    ///
    /// In alphabetical order, whatever their case.
    #[oai(path = "/glossary", method = "get", operation_id = "listTerms", tag = Tag::Library)]
    async fn list_terms(
        &self,
        _caller: Member,
        /// Only terms of this category.
        #[oai(validator(min_length = 2, max_length = 80))]
        category: Query<Option<String>>,
        /// Only terms that begin with this letter, in either case. The letter ё counts as е.
        #[oai(validator(min_length = 1, max_length = 1))]
        initial: Query<Option<String>>,
        /// Only terms with this tag. Repeat the parameter for several tags, all of which are required.
        #[oai(default, validator(max_items = 10))]
        tag: Query<Vec<String>>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Tagged<Page<TermSummary>>, Problem> {
        let filter = Filter { category: category.0, initial: initial.0, tags: tag.0 };
        let page = PageRequest::new(limit.0, cursor.0);
        let mut connection = self.app.connection().await?;
        let rows = glossary::list(&mut connection, &filter, page.after()?, page.rows()).await?;
        Ok(page.answer(rows, |term| Some((term.sort_key.clone(), term.id)))?.into())
    }

    /// Get a term of the glossary
    ///
    /// With the whole definition, of which the list has a part.
    #[oai(path = "/glossary/:term_id", method = "get", operation_id = "getTerm", tag = Tag::Library)]
    async fn get_term(
        &self,
        _caller: Member,
        /// The term.
        term_id: Path<Uuid>,
    ) -> Result<Tagged<Term>, Problem> {
        let mut connection = self.app.connection().await?;
        Ok(Tagged::new(&glossary::find(&mut connection, term_id.0).await?.into()))
    }
}
