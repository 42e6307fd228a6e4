//! Projects.

use cairn_core::actor::Caller;
use cairn_core::community::projects;
use cairn_core::settings;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, OpenApi};
use sqlx::PgConnection;
use uuid::Uuid;

use super::schema::{NewProject, Project, ProjectPage, ProjectSort};
use crate::caller::Member;
use crate::params::{Body, Cursor, IdempotencyKey, Limit, Once};
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

/// The answer to a create.
#[derive(ApiResponse)]
pub enum CreateProjectResponse {
    /// The project as created.
    #[oai(status = 201)]
    Created(Json<Project>),
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
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<ProjectPage>, Problem> {
        let mut connection = self.app.connection().await?;
        let page = match sort.0 {
            ProjectSort::Newest => newest(&mut connection, &caller, limit.0, cursor.0.as_ref()).await?,
            ProjectSort::Popular => popular(&mut connection, &caller, limit.0, cursor.0.as_ref()).await?,
        };
        Ok(Json(page))
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
    ) -> Result<CreateProjectResponse, Problem> {
        let project = body.checked()?;
        let once = Once::new(&caller, "createProject", key.0, &body);
        let mut tx = self.app.begin_as(&caller).await?;
        if let Some(answer) = once.answered::<Project>(&mut tx).await? {
            return Ok(CreateProjectResponse::Created(Json(answer)));
        }
        let settings = settings::load(&mut tx).await?;
        let id = projects::create(&mut tx, &settings, &project).await?;
        let answer = find(&mut tx, &caller, id).await?;
        once.store(&mut tx, &answer).await?;
        tx.commit().await?;
        Ok(CreateProjectResponse::Created(Json(answer)))
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

async fn newest(
    connection: &mut PgConnection,
    caller: &Caller,
    limit: Limit,
    cursor: Option<&Cursor>,
) -> Result<ProjectPage, Problem> {
    let after = cursor.map(Cursor::time_key).transpose()?;
    let rows = projects::list_newest(connection, caller, after, limit.get() + 1).await?;
    page(rows, limit, |last| last.published_at.map(|time| Cursor::after(&(time, last.id))).transpose())
}

async fn popular(
    connection: &mut PgConnection,
    caller: &Caller,
    limit: Limit,
    cursor: Option<&Cursor>,
) -> Result<ProjectPage, Problem> {
    let after = cursor.map(Cursor::key::<(i32, Uuid)>).transpose()?;
    let rows = projects::list_popular(connection, caller, after, limit.get() + 1).await?;
    page(rows, limit, |last| Cursor::after(&(last.likes_counted, last.id)).map(Some))
}

/// Makes a page of rows that are one more than asked for, if there are more.
fn page(
    mut rows: Vec<projects::Project>,
    limit: Limit,
    cursor: impl Fn(&projects::Project) -> Result<Option<String>, Problem>,
) -> Result<ProjectPage, Problem> {
    let next_cursor = match limit.trim(&mut rows) {
        Some(last) => cursor(last)?,
        None => None,
    };
    Ok(ProjectPage { items: rows.into_iter().map(Project::from).collect(), next_cursor })
}
