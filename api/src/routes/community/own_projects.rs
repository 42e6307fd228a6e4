//! What else the authors of projects do with them: list, submit and withdraw their own.

use cairn_core::community::{projects, showcase};
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use uuid::Uuid;

use super::projects::find;
use super::views::{ManagedProject, Project, ProjectStatus};
use crate::answers::Versioned;
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::params::{Cursor, IfMatch, Limit, Page, PageRequest};
use crate::{App, Code, Problem};

/// What else the authors of projects do with them.
pub struct OwnProjectsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[("submitProject", &[Code::ProjectState]), ("withdrawProject", &[Code::ProjectState])];

#[OpenApi]
impl OwnProjectsApi {
    /// List my projects
    ///
    /// In every status, the most recently created first.
    #[oai(path = "/me/projects", method = "get", operation_id = "listMyProjects", tag = Tag::Me)]
    async fn list_my_projects(
        &self,
        caller: Member,
        /// Only projects in this status.
        status: Query<Option<ProjectStatus>>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<ManagedProject>>, Problem> {
        let page = PageRequest::new(limit.0, cursor.0);
        let status = status.0.map(Into::into);
        let mut connection = self.app.connection().await?;
        let rows = showcase::list_own(&mut connection, &caller, status, page.after()?, page.rows()).await?;
        page.answer(rows, |last| Some((last.created_at, last.id)))
    }

    /// Submit my project
    ///
    /// A draft, or a rejected project. It is published at once, or, if the platform moderates learners' projects, waits for a
    /// mentor.
    #[oai(path = "/projects/:project_id/submit", method = "post", operation_id = "submitProject", tag = Tag::Projects)]
    async fn submit_project(
        &self,
        caller: Member,
        /// The project.
        project_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<Versioned<Project>, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        let settings = self.app.settings(&mut tx).await?;
        projects::submit(&mut tx, &settings, project_id.0, version.0).await?;
        let answer = find(&mut tx, &caller, project_id.0).await?;
        tx.commit().await?;
        Ok(Versioned(answer))
    }

    /// Withdraw my project
    ///
    /// A submitted or published project becomes a draft, which only you see. It keeps its likes.
    #[oai(
        path = "/projects/:project_id/withdraw",
        method = "post",
        operation_id = "withdrawProject",
        tag = Tag::Projects
    )]
    async fn withdraw_project(
        &self,
        caller: Member,
        /// The project.
        project_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<Versioned<Project>, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        projects::withdraw(&mut tx, project_id.0, version.0).await?;
        let answer = find(&mut tx, &caller, project_id.0).await?;
        tx.commit().await?;
        Ok(Versioned(answer))
    }
}
