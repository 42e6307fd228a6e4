//! Projects.

use cairn_core::actor::Caller;
use cairn_core::community::projects;
use cairn_core::settings;
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::schema::{NewProject, Project, ProjectSort};
use crate::answers::Created;
use crate::caller::Member;
use crate::params::{Body, Cursor, IdempotencyKey, IdempotentRequest, Limit, Page, PageRequest};
use crate::routes::{Problems, Tag};
use crate::{App, Code, Problem};

/// Projects.
pub struct ProjectsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[
    ("listProjects", &[]),
    ("createProject", &[Code::IdempotencyKeyReused]),
    ("getProject", &[Code::ProjectNotFound]),
];

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
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<Project>>, Problem> {
        let mut connection = self.app.connection().await?;
        let page = PageRequest::new(limit.0, cursor.0);
        match sort.0 {
            ProjectSort::Newest => {
                let rows = projects::list_newest(&mut connection, &caller, page.after()?, page.rows()).await?;
                page.answer(rows, |last| last.published_at.map(|time| (time, last.id)))
            }
            ProjectSort::Popular => {
                let rows = projects::list_popular(&mut connection, &caller, page.after()?, page.rows()).await?;
                page.answer(rows, |last| Some((last.likes_counted, last.id)))
            }
        }
    }

    /// Show a project
    ///
    /// It is published at once, unless the platform has learners' projects looked at first: then its status is
    /// `submitted`, and only you see it until a mentor publishes it.
    #[oai(path = "/projects", method = "post", operation_id = "createProject", tag = Tag::Projects)]
    async fn create_project(
        &self,
        caller: Member,
        #[oai(name = "Idempotency-Key")] key: Header<Option<IdempotencyKey>>,
        body: Body<NewProject>,
    ) -> Result<Created<Project>, Problem> {
        let project = body.checked()?;
        let request = IdempotentRequest::new(&caller, "createProject", key.0, &body);
        let mut tx = self.app.begin_as(&caller).await?;
        if let Some(answer) = request.replay::<Project>(&mut tx).await? {
            return Ok(Created::new("/v1/projects", answer));
        }
        let settings = settings::load(&mut tx).await?;
        let id = projects::create(&mut tx, &settings, &project).await?;
        let answer = find(&mut tx, &caller, id).await?;
        request.store(&mut tx, &answer).await?;
        tx.commit().await?;
        Ok(Created::new("/v1/projects", answer))
    }

    /// Get a project
    ///
    /// Published ones, and your own whatever their status.
    #[oai(path = "/projects/:project_id", method = "get", operation_id = "getProject", tag = Tag::Projects)]
    async fn get_project(
        &self,
        caller: Member,
        /// The project.
        project_id: Path<Uuid>,
    ) -> Result<Json<Project>, Problem> {
        let mut connection = self.app.connection().await?;
        Ok(Json(find(&mut connection, &caller, project_id.0).await?))
    }
}

async fn find(connection: &mut PgConnection, caller: &Caller, id: Uuid) -> Result<Project, Problem> {
    Ok(projects::find(connection, caller, id).await?.into())
}
