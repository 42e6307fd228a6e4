//! Modules.

use cairn_core::learning::catalog;
use poem_openapi::OpenApi;
use poem_openapi::param::Query;
use uuid::Uuid;

use crate::answers::Tagged;
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::params::{Cursor, Limit, Page, PageRequest};
use crate::view::view;
use crate::{App, Problem};

/// Modules.
pub struct ModulesApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

view! {
    /// A module: lessons on one subject.
    pub struct Module from catalog::Module {
        /// Identifies the module.
        id: Uuid,
        /// The name in URLs.
        slug: String,
        /// The title.
        title: String,
        /// A summary in a sentence or two.
        summary: String,
        /// The number of lessons.
        #[oai(validator(minimum(value = "0")))]
        lessons_total: i32,
        /// How many of them you have completed.
        #[oai(validator(minimum(value = "0")))]
        lessons_completed: i32,
    }
}

#[OpenApi]
impl ModulesApi {
    /// List modules
    ///
    /// Those that are published, in the order that admins gave them.
    #[oai(path = "/modules", method = "get", operation_id = "listModules", tag = Tag::Lessons)]
    async fn list_modules(
        &self,
        caller: Member,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Tagged<Page<Module>>, Problem> {
        let page = PageRequest::new(limit.0, cursor.0);
        let mut connection = self.app.connection().await?;
        let rows = catalog::modules(&mut connection, &caller, page.after()?, page.rows()).await?;
        Ok(page.answer(rows, |last| Some((last.position, last.id)))?.into())
    }
}
