//! Modules.

use cairn_core::learning::catalog;
use poem_openapi::param::Query;
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};
use uuid::Uuid;

use super::example_id;
use crate::caller::Member;
use crate::params::{Cursor, Limit};
use crate::routes::{Problems, Tag};
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

/// A page of modules.
#[derive(Clone, Debug, Object)]
#[oai(example)]
pub struct ModulePage {
    /// The modules.
    pub items: Vec<Module>,
    /// Send it as `cursor` for the next page; null on the last.
    pub next_cursor: Option<String>,
}

impl Example for ModulePage {
    fn example() -> Self {
        let module = Module {
            id: example_id(1),
            slug: "html-basics".to_owned(),
            title: "HTML basics".to_owned(),
            summary: "The bones of a page.".to_owned(),
            lessons_total: 6,
            lessons_completed: 2,
        };
        Self { items: vec![module], next_cursor: None }
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
    ) -> Result<Json<ModulePage>, Problem> {
        let after = cursor.0.as_ref().map(Cursor::key).transpose()?;
        let mut connection = self.app.connection().await?;
        let mut rows = catalog::modules(&mut connection, &caller, after, limit.0.get() + 1).await?;
        let next_cursor = limit.0.trim(&mut rows).map(|last| Cursor::after(&(last.position, last.id))).transpose()?;
        Ok(Json(ModulePage { items: rows.into_iter().map(Module::from).collect(), next_cursor }))
    }
}
