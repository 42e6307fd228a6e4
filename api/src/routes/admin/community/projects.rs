//! Projects, for admins.

use cairn_core::community::projects::Project as Row;
use cairn_core::community::showcase::{self, Filter};
use cairn_core::resource;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use uuid::Uuid;

use crate::answers::{NoContent, Versioned};
use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::params::{Body, Cursor, IfMatch, Limit, Page, PageRequest};
use crate::routes::community::views::{ManagedProject, Project, ProjectReason, ProjectStatus};
use crate::time::OptionalTime;
use crate::{App, Problem};

/// Projects, for admins.
pub struct AdminProjectsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

/// A project as admins list it.
#[derive(Clone, Debug, Object)]
pub struct AdminProjectSummary {
    /// What its author sees.
    #[oai(flatten)]
    pub project: ManagedProject,
    /// When it was deleted; null if it is not.
    pub deleted_at: OptionalTime,
}

impl From<showcase::ProjectSummary> for AdminProjectSummary {
    fn from(project: showcase::ProjectSummary) -> Self {
        Self { deleted_at: project.deleted_at.into(), project: project.into() }
    }
}

/// A project as admins see it.
#[derive(Clone, Debug, Object)]
pub struct AdminProject {
    /// What its author sees.
    #[oai(flatten)]
    pub project: Project,
    /// When it was deleted; null if it is not.
    pub deleted_at: OptionalTime,
}

impl From<showcase::Project> for AdminProject {
    fn from(project: showcase::Project) -> Self {
        Self { deleted_at: project.deleted_at.into(), project: project.into() }
    }
}

#[OpenApi]
impl AdminProjectsApi {
    /// List projects for admins
    ///
    /// In every status, drafts included, the most recently created first.
    #[oai(path = "/admin/projects", method = "get", operation_id = "listAdminProjects", tag = Tag::AdminProjects)]
    async fn list_admin_projects(
        &self,
        caller: Admin,
        /// Only projects in this status.
        status: Query<Option<ProjectStatus>>,
        /// Only projects of this author.
        author: Query<Option<Uuid>>,
        /// The deleted projects instead of the live ones.
        #[oai(default)]
        deleted: Query<bool>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<AdminProjectSummary>>, Problem> {
        let filter = Filter { deleted: deleted.0, status: status.0.map(Into::into), author_id: author.0 };
        let page = PageRequest::new(limit.0, cursor.0);
        let mut connection = self.app.connection().await?;
        let rows = showcase::list_all(&mut connection, &caller, filter, page.after()?, page.rows()).await?;
        page.answer(rows, |last| Some((last.created_at, last.id)))
    }

    /// Get a project for admins
    #[oai(
        path = "/admin/projects/:project_id",
        method = "get",
        operation_id = "getAdminProject",
        tag = Tag::AdminProjects
    )]
    async fn get_admin_project(
        &self,
        caller: Admin,
        /// The project.
        project_id: Path<Uuid>,
    ) -> Result<Versioned<AdminProject>, Problem> {
        let mut connection = self.app.connection().await?;
        Ok(Versioned(showcase::find_any(&mut connection, &caller, project_id.0).await?.into()))
    }

    /// Delete a learner's project
    ///
    /// Nobody but admins sees it any more. It can be restored, with its likes.
    #[oai(
        path = "/admin/projects/:project_id",
        method = "delete",
        operation_id = "deleteAdminProject",
        tag = Tag::AdminProjects
    )]
    async fn delete_admin_project(
        &self,
        caller: Admin,
        /// The project.
        project_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
        /// Why it is deleted, for the record.
        #[oai(validator(min_length = 1, max_length = 500, pattern = r"\S"))]
        reason: Query<String>,
    ) -> Result<NoContent, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        let edit = resource::delete::<Row>(tx.now()).because(reason.0);
        resource::edit(&mut tx, project_id.0, version.0, edit).await?;
        tx.commit().await?;
        Ok(NoContent)
    }

    /// Restore a deleted project
    ///
    /// In the status that it had.
    #[oai(
        path = "/admin/projects/:project_id/restore",
        method = "post",
        operation_id = "restoreAdminProject",
        tag = Tag::AdminProjects
    )]
    async fn restore_admin_project(
        &self,
        caller: Admin,
        /// The project.
        project_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
        body: Body<ProjectReason>,
    ) -> Result<Versioned<AdminProject>, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        let edit = resource::restore::<Row>().because(body.reason.clone());
        resource::edit(&mut tx, project_id.0, version.0, edit).await?;
        let answer = showcase::find_any(&mut tx, &caller, project_id.0).await?;
        tx.commit().await?;
        Ok(Versioned(answer.into()))
    }
}
