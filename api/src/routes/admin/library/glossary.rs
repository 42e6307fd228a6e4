//! The glossary, for admins.

use cairn_core::clock::new_id;
use cairn_core::library::glossary::{self, Term as Row};
use cairn_core::resource;
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Json;
use uuid::Uuid;

use crate::answers::{Created, NoContent, Versioned};
use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::params::{Body, Changes, Cursor, IdempotencyKey, IfMatch, Limit, Page, PageRequest};
use crate::routes::admin::Publication;
use crate::time::{OptionalTime, Time};
use crate::view::{fields, view};
use crate::{App, Code, Problem};

/// The glossary, for admins.
pub struct AdminGlossaryApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems =
    &[("createTerm", &[Code::ValueTaken]), ("updateTerm", &[Code::ValueTaken]), ("restoreTerm", &[Code::ValueTaken])];

const PATH: &str = "/v1/admin/glossary";

view! {
    /// A term of the glossary as admins see it.
    pub struct AdminTerm from Row {
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
    /// A term to create. It is a draft until it is published.
    pub struct NewTerm of Row {
        /// The name in URLs: lower-case letters and digits, with single hyphens between them.
        #[oai(validator(min_length = 2, max_length = 80, pattern = "^[a-z0-9]+(-[a-z0-9]+)*$"))]
        slug: String,
        /// The term.
        #[oai(validator(min_length = 1, max_length = 200))]
        term: String,
        /// The category, by which learners filter: written as a slug, the same for all terms of the category. Null if
        /// there is none.
        #[oai(validator(min_length = 2, max_length = 80, pattern = "^[a-z0-9]+(-[a-z0-9]+)*$"))]
        category: Option<String>,
        /// What it means, in Markdown.
        #[oai(validator(min_length = 1, max_length = 5000))]
        definition: String,
        /// The tags.
        #[oai(default, validator(max_items = 20, min_length = 1, max_length = 50))]
        tags: Vec<String>,
    }
}

impl From<&NewTerm> for Row {
    fn from(new: &NewTerm) -> Self {
        let mut row = Self { id: new_id(), ..Self::default() };
        new.set(&mut row);
        row
    }
}

#[OpenApi]
impl AdminGlossaryApi {
    /// List terms of the glossary for admins
    ///
    /// In alphabetical order, drafts and archived ones included.
    #[oai(path = "/admin/glossary", method = "get", operation_id = "listAdminTerms", tag = Tag::AdminLibrary)]
    async fn list_admin_terms(
        &self,
        _caller: Admin,
        /// Only terms in this state.
        publication: Query<Option<Publication>>,
        /// The deleted terms instead of the live ones.
        #[oai(default)]
        deleted: Query<bool>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<AdminTerm>>, Problem> {
        let page = PageRequest::new(limit.0, cursor.0);
        let publication = publication.0.map(Into::into);
        let mut connection = self.app.connection().await?;
        let rows = glossary::list_all(&mut connection, publication, deleted.0, page.after()?, page.rows()).await?;
        page.answer_within(rows, |term| term.definition.len(), |term| Some((term.sort_key.clone(), term.id)))
    }

    /// Create a term
    #[oai(path = "/admin/glossary", method = "post", operation_id = "createTerm", tag = Tag::AdminLibrary)]
    async fn create_term(
        &self,
        caller: Admin,
        #[oai(name = "Idempotency-Key")] key: Header<Option<IdempotencyKey>>,
        body: Body<NewTerm>,
    ) -> Result<Created<AdminTerm>, Problem> {
        self.app.create::<Row, _, _>(&caller, (PATH, "createTerm"), key.0, &body).await
    }

    /// Get a term for admins
    #[oai(path = "/admin/glossary/:term_id", method = "get", operation_id = "getAdminTerm", tag = Tag::AdminLibrary)]
    async fn get_admin_term(
        &self,
        _caller: Admin,
        /// The term.
        term_id: Path<Uuid>,
    ) -> Result<Versioned<AdminTerm>, Problem> {
        let mut connection = self.app.connection().await?;
        Ok(Versioned(glossary::find_any(&mut connection, term_id.0).await?.into()))
    }

    /// Update a term
    #[oai(path = "/admin/glossary/:term_id", method = "patch", operation_id = "updateTerm", tag = Tag::AdminLibrary)]
    async fn update_term(
        &self,
        caller: Admin,
        /// The term.
        term_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
        body: Body<Changes<NewTerm>>,
    ) -> Result<Versioned<AdminTerm>, Problem> {
        self.app.edit(&caller, term_id.0, version, body.edit(NewTerm::set)).await
    }

    /// Publish a term
    #[oai(
        path = "/admin/glossary/:term_id/publish",
        method = "post",
        operation_id = "publishTerm",
        tag = Tag::AdminLibrary
    )]
    async fn publish_term(
        &self,
        caller: Admin,
        /// The term.
        term_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<Versioned<AdminTerm>, Problem> {
        self.app.edit::<Row, _>(&caller, term_id.0, version, resource::publish()).await
    }

    /// Archive a term
    ///
    /// Learners no longer see it. It can be published again.
    #[oai(
        path = "/admin/glossary/:term_id/archive",
        method = "post",
        operation_id = "archiveTerm",
        tag = Tag::AdminLibrary
    )]
    async fn archive_term(
        &self,
        caller: Admin,
        /// The term.
        term_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<Versioned<AdminTerm>, Problem> {
        self.app.edit::<Row, _>(&caller, term_id.0, version, resource::archive()).await
    }

    /// Delete a term
    ///
    /// It can be restored. Its slug can be used again meanwhile.
    #[oai(path = "/admin/glossary/:term_id", method = "delete", operation_id = "deleteTerm", tag = Tag::AdminLibrary)]
    async fn delete_term(
        &self,
        caller: Admin,
        /// The term.
        term_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<NoContent, Problem> {
        self.app.delete::<Row>(&caller, term_id.0, version).await
    }

    /// Restore a deleted term
    #[oai(
        path = "/admin/glossary/:term_id/restore",
        method = "post",
        operation_id = "restoreTerm",
        tag = Tag::AdminLibrary
    )]
    async fn restore_term(
        &self,
        caller: Admin,
        /// The term.
        term_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<Versioned<AdminTerm>, Problem> {
        self.app.edit::<Row, _>(&caller, term_id.0, version, resource::restore()).await
    }
}
