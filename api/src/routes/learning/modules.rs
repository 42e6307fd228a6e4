//! Modules.

use cairn_core::learning::catalog;
use poem_openapi::param::Query;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use uuid::Uuid;

use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::params::{Cursor, Limit, Page, PageRequest};
use crate::{App, Problem};

/// Modules.
pub struct ModulesApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[("listModules", &[])];

/// A module: the home of lessons on one subject.
#[derive(Clone, Debug, Object)]
pub struct Module {
    /// The module's id.
    pub id: Uuid,
    /// Its name in addresses.
    pub slug: String,
    /// Its title.
    pub title: String,
    /// What it is about.
    pub summary: String,
    /// Its lessons.
    #[oai(validator(minimum(value = "0")))]
    pub lessons_total: i32,
    /// Those that you have completed.
    #[oai(validator(minimum(value = "0")))]
    pub lessons_completed: i32,
}

impl From<catalog::Module> for Module {
    fn from(module: catalog::Module) -> Self {
        Self {
            id: module.id,
            slug: module.slug,
            title: module.title,
            summary: module.summary,
            lessons_total: module.lessons_total,
            lessons_completed: module.lessons_completed,
        }
    }
}

#[OpenApi]
impl ModulesApi {
    /// List the modules
    #[oai(path = "/modules", method = "get", operation_id = "listModules", tag = Tag::Lessons)]
    async fn list_modules(
        &self,
        caller: Member,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<Module>>, Problem> {
        let page = PageRequest::new(limit.0, cursor.0);
        let mut connection = self.app.connection().await?;
        let rows = catalog::modules(&mut connection, &caller, page.after()?, page.rows()).await?;
        page.answer(rows, |last| Some((last.position, last.id)))
    }
}
