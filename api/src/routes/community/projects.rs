//! Projects that everyone sees.

use cairn_core::community::showcase;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Enum, OpenApi};
use uuid::Uuid;

use super::views::{Project, ProjectCategory, ProjectSummary};
use crate::answers::Versioned;
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::params::{Cursor, Limit, Page, PageRequest};
use crate::{App, Problem};

/// Projects that everyone sees.
pub struct ProjectsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

/// The order of a list of projects. A project that is liked while you page through a list ordered by likes may be missed or
/// listed twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub enum ProjectSort {
    /// The most recently published first. A project that is published again keeps its place.
    #[default]
    Newest,
    /// The most liked first.
    Popular,
    /// Those with the most likes of the last seven days first, then the most recently created.
    Trending,
}

#[OpenApi]
impl ProjectsApi {
    /// List published projects
    #[oai(path = "/projects", method = "get", operation_id = "listProjects", tag = Tag::Projects)]
    async fn list_projects(
        &self,
        caller: Member,
        /// The order.
        #[oai(default)]
        sort: Query<ProjectSort>,
        /// Only projects of this category.
        category: Query<Option<ProjectCategory>>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<ProjectSummary>>, Problem> {
        let mut connection = self.app.connection().await?;
        let category = category.0.map(Into::into);
        let page = PageRequest::new(limit.0, cursor.0);
        let rows = page.rows();
        match sort.0 {
            ProjectSort::Newest => {
                let rows = showcase::list_newest(&mut connection, &caller, category, page.after()?, rows).await?;
                page.answer(rows, |last| last.published_at.map(|time| (time, last.id)))
            }
            ProjectSort::Popular => {
                let rows = showcase::list_popular(&mut connection, &caller, category, page.after()?, rows).await?;
                page.answer(rows, |last| Some((last.likes_counted, last.id)))
            }
            ProjectSort::Trending => {
                let rows = showcase::list_trending(&mut connection, &caller, category, page.after()?, rows).await?;
                page.answer(rows, |last| Some((last.trending_likes, last.id)))
            }
        }
    }

    /// Get a project
    ///
    /// A published project, or one of your own in any status.
    #[oai(path = "/projects/:project_id", method = "get", operation_id = "getProject", tag = Tag::Projects)]
    async fn get_project(
        &self,
        caller: Member,
        /// The project.
        project_id: Path<Uuid>,
    ) -> Result<Versioned<Project>, Problem> {
        let mut connection = self.app.connection().await?;
        Ok(Versioned(showcase::find(&mut connection, &caller, project_id.0).await?.into()))
    }
}
