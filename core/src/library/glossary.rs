//! The glossary: terms and what they mean.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Result;
use crate::noun::Noun;
use crate::refusal::{NotFound, OnConstraint, OrRefuse, Rejected};
use crate::resource::{Publication, Publish, Refusal, Resource};

/// A term of the glossary. Lengths are in characters.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "columns of the table glossary_terms, which documents them")]
pub struct Term {
    pub id: Uuid,
    pub slug: String,
    pub term: String,
    pub category: Option<String>,
    pub definition: String,
    pub tags: Vec<String>,
    #[serde(skip)]
    pub sort_key: String,
    pub publication: Publication,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub deleted_at: Option<DateTime<Utc>>,
}

/// Selects terms from `$from`, which is the table or a statement that returns its rows.
macro_rules! select_terms {
    ($with:literal, $from:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Term,
            $with
                + r#" SELECT id AS "id!", slug AS "slug!: String", term AS "term!", category AS "category: String",
                       definition AS "definition!", tags AS "tags!", sort_key AS "sort_key!",
                       publication AS "publication!: Publication", version AS "version!", created_at AS "created_at!",
                       updated_at AS "updated_at!", deleted_at
                   FROM "#
                + $from,
            $($argument),*
        )
    };
}

impl Resource for Term {
    const NOUN: Noun = Noun::Term;

    fn id(&self) -> Uuid {
        self.id
    }

    fn title(&self) -> &str {
        &self.term
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn deleted_at(&mut self) -> &mut Option<DateTime<Utc>> {
        &mut self.deleted_at
    }

    async fn lock(connection: &mut PgConnection, id: Uuid) -> Result<Option<Self>> {
        let term = select_terms!("", "glossary_terms WHERE id = $1 FOR NO KEY UPDATE", id);
        Ok(term.fetch_optional(connection).await?)
    }

    async fn save(&self, connection: &mut PgConnection) -> Result<Self, Rejected<Refusal>> {
        let saved = select_terms!(
            "WITH saved AS (
                 INSERT INTO glossary_terms (id, slug, term, category, definition, tags, publication, deleted_at)
                 VALUES ($1, $2::text, $3, $4::text, $5, $6, $7, $8)
                 ON CONFLICT (id) DO UPDATE SET slug = excluded.slug, term = excluded.term,
                     category = excluded.category, definition = excluded.definition, tags = excluded.tags,
                     publication = excluded.publication, deleted_at = excluded.deleted_at
                 RETURNING *
             )",
            "saved",
            self.id,
            self.slug,
            self.term,
            self.category,
            self.definition,
            &self.tags,
            self.publication as Publication,
            self.deleted_at,
        );
        let saved = saved.fetch_one(connection).await;
        saved.on_constraint("glossary_terms_slug_key", Refusal::Taken { member: "slug" })
    }
}

impl Publish for Term {
    fn publication(&mut self) -> &mut Publication {
        &mut self.publication
    }
}

/// A published term as lists show it.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "as in Term")]
pub struct TermSummary {
    pub id: Uuid,
    pub slug: String,
    pub term: String,
    pub category: Option<String>,
    /// The beginning of the definition, at most 300 characters.
    pub summary: String,
    pub tags: Vec<String>,
    pub sort_key: String,
}

/// Sort key of lists: the stored one, which is alphabetical, and the id.
pub type Key = (String, Uuid);

/// Which terms to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only terms of this category; `None` for any and for those without one.
    pub category: Option<String>,
    /// Only terms that begin with this letter, in either case; `None` for any.
    pub initial: Option<String>,
    /// Only terms that have all of these tags.
    pub tags: Vec<String>,
}

/// Selects a page of published terms; `$of` is a further condition.
///
/// The terms of a letter lie between it and the greatest text that begins with it. Without a letter these are the bounds of
/// all texts, so that one plan serves both. A category has a statement of its own, and so an index. `CASE` keeps the planner,
/// which does not know the parameters, from expecting that almost no term has the tags, and from sorting all of them.
macro_rules! select_page {
    ($of:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            TermSummary,
            r#"SELECT id, slug AS "slug: String", term, category AS "category: String",
                   left(definition, 300) AS "summary!", tags, sort_key
               FROM glossary_terms
               WHERE deleted_at IS NULL AND publication = 'published'
                 AND CASE WHEN cardinality($2::text[]) = 0 THEN true ELSE tags @> $2 END
                 AND sort_key >= coalesce(folded($1), '') AND sort_key < coalesce(folded($1), '') || chr(1114111)
                 AND (sort_key, id) > (coalesce($3, ''), coalesce($4, '00000000-0000-0000-0000-000000000000'::uuid)) "#
                + $of
                + " ORDER BY sort_key, id LIMIT $5",
            $($argument),*
        )
    };
}

/// At most `limit` published terms in alphabetical order, starting after `after`.
pub async fn list(
    connection: &mut PgConnection,
    filter: &Filter,
    after: Option<Key>,
    limit: i64,
) -> Result<Vec<TermSummary>> {
    let (sort_key, id) = after.unzip();
    let Filter { category, initial, tags } = filter;
    let initial = initial.as_deref();
    let terms = match category {
        None => select_page!("", initial, tags, sort_key, id, limit).fetch_all(connection).await,
        Some(category) => {
            let page = select_page!("AND category = $6::text", initial, tags, sort_key, id, limit, category);
            page.fetch_all(connection).await
        }
    };
    Ok(terms?)
}

/// At most `limit` terms in alphabetical order, starting after `after`, including drafts and archived terms. Lists either
/// the deleted terms or those that are not.
pub async fn list_all(
    connection: &mut PgConnection,
    publication: Option<Publication>,
    deleted: bool,
    after: Option<Key>,
    limit: i64,
) -> Result<Vec<Term>> {
    let (sort_key, id) = after.unzip();
    let terms = select_terms!(
        "",
        "glossary_terms
         WHERE (deleted_at IS NOT NULL) = $1 AND ($2::publication IS NULL OR publication = $2)
           AND (sort_key, id) > (coalesce($3, ''), coalesce($4, '00000000-0000-0000-0000-000000000000'::uuid))
         ORDER BY sort_key, id LIMIT $5",
        deleted,
        publication as Option<Publication>,
        sort_key,
        id,
        limit
    );
    Ok(terms.fetch_all(connection).await?)
}

/// Finds a published term.
pub async fn find(connection: &mut PgConnection, id: Uuid) -> Result<Term, Rejected<NotFound>> {
    let term =
        select_terms!("", "glossary_terms WHERE id = $1 AND deleted_at IS NULL AND publication = 'published'", id);
    term.fetch_optional(connection).await?.or_not_found(Noun::Term)
}

/// Finds a term whatever its publication, deleted or not.
pub async fn find_any(connection: &mut PgConnection, id: Uuid) -> Result<Term, Rejected<NotFound>> {
    let term = select_terms!("", "glossary_terms WHERE id = $1", id);
    term.fetch_optional(connection).await?.or_not_found(Noun::Term)
}
