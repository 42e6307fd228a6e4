//! Projects.

use cairn_core::actor::Caller;
use cairn_core::community::projects;
use chrono::{DateTime, Utc};
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Enum, Object, OpenApi};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::answers::Created;
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::params::{Body, Cursor, IdempotencyKey, IdempotentRequest, Limit, Page, PageRequest};
use crate::{App, Problem};

/// Projects.
pub struct ProjectsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

/// The status of a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case", remote = "projects::ProjectStatus")]
pub enum ProjectStatus {
    /// Only its author sees it.
    Draft,
    /// Awaits moderation.
    Submitted,
    /// Everyone sees it.
    Published,
    /// A mentor rejected it.
    Rejected,
}

/// The order of a list of projects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub enum ProjectSort {
    /// The most recently published first.
    #[default]
    Newest,
    /// The most liked first. A project that is liked while you page through the list may be missed or listed twice.
    Popular,
}

/// The author of a project.
#[derive(Clone, Debug, Object)]
pub struct ProjectAuthor {
    /// Identifies the author.
    pub id: Uuid,
    /// The first name.
    pub first_name: String,
    /// The last name; null if there is none.
    pub last_name: Option<String>,
}

/// A project, as you see it.
#[derive(Clone, Debug, Object)]
pub struct Project {
    /// Identifies the project.
    pub id: Uuid,
    /// The author.
    pub author: ProjectAuthor,
    /// The title.
    pub title: String,
    /// A summary in a sentence or two.
    pub summary: String,
    /// The description, in Markdown.
    pub description: String,
    /// The URL of the running project; null if there is none.
    pub project_url: Option<String>,
    /// The URL of the source code; null if there is none.
    pub repository_url: Option<String>,
    /// The URL of a picture; null if there is none.
    pub cover_url: Option<String>,
    /// The status.
    pub status: ProjectStatus,
    /// The number of likes, which always includes your own.
    #[oai(validator(minimum(value = "0")))]
    pub likes_count: i64,
    /// Whether you like the project.
    pub is_liked: bool,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was first published; null if it never was.
    pub published_at: Option<DateTime<Utc>>,
}

impl From<projects::Project> for Project {
    fn from(project: projects::Project) -> Self {
        Self {
            id: project.id,
            author: ProjectAuthor {
                id: project.author_id,
                first_name: project.author_first_name,
                last_name: project.author_last_name,
            },
            title: project.title,
            summary: project.summary,
            description: project.description,
            project_url: project.project_url,
            repository_url: project.repository_url,
            cover_url: project.cover_url,
            status: project.status.into(),
            likes_count: project.likes_count,
            is_liked: project.is_liked,
            created_at: project.created_at,
            published_at: project.published_at,
        }
    }
}

/// A new project.
#[derive(Clone, Debug, Object)]
#[oai(remote = "projects::NewProject")]
pub struct NewProject {
    /// The title. Surrounding white space is removed.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub title: String,
    /// A summary in a sentence or two.
    #[oai(default, validator(max_length = 1000))]
    pub summary: String,
    /// The description, in Markdown.
    #[oai(default, validator(max_length = 20000))]
    pub description: String,
    /// The URL of the running project; null if there is none.
    #[oai(validator(max_length = 2000, pattern = r"^https?://\S+$"))]
    pub project_url: Option<String>,
    /// The URL of the source code; null if there is none.
    #[oai(validator(max_length = 2000, pattern = r"^https?://\S+$"))]
    pub repository_url: Option<String>,
    /// The URL of a picture; null if there is none.
    #[oai(validator(max_length = 2000, pattern = r"^https?://\S+$"))]
    pub cover_url: Option<String>,
}

impl NewProject {
    /// The project to store, or what is wrong with it beyond the schema.
    fn checked(&self) -> Result<projects::NewProject, Problem> {
        let title = self.title.trim();
        if title.is_empty() {
            return Err(Problem::invalid_field("/title", "blank", "A title is expected."));
        }
        Ok(projects::NewProject { title: title.to_owned(), ..self.clone().into() })
    }
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

    /// Create a project
    ///
    /// It is published at once, unless the platform moderates learners' projects: then its status is `submitted`, and
    /// only you see it until a mentor publishes it.
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
        let settings = self.app.settings(&mut tx).await?;
        let id = projects::create(&mut tx, &settings, &project).await?;
        let answer = find(&mut tx, &caller, id).await?;
        request.store(&mut tx, &answer).await?;
        tx.commit().await?;
        Ok(Created::new("/v1/projects", answer))
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
    ) -> Result<Json<Project>, Problem> {
        let mut connection = self.app.connection().await?;
        Ok(Json(find(&mut connection, &caller, project_id.0).await?))
    }
}

async fn find(connection: &mut PgConnection, caller: &Caller, id: Uuid) -> Result<Project, Problem> {
    Ok(projects::find(connection, caller, id).await?.into())
}
