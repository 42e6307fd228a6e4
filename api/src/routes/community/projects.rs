//! Projects.

use cairn_core::actor::Caller;
use cairn_core::community::projects;
use cairn_core::settings;
use chrono::{DateTime, Utc};
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{Enum, Object, OpenApi};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::answers::Created;
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::params::{Body, Cursor, IdempotencyKey, IdempotentRequest, Limit, Page, PageRequest};
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

/// Where a project is on its way to being shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub enum ProjectStatus {
    /// Only its author sees it.
    Draft,
    /// Waits for a mentor.
    Submitted,
    /// Everybody sees it.
    Published,
    /// A mentor sent it back.
    Rejected,
}

impl From<projects::ProjectStatus> for ProjectStatus {
    fn from(status: projects::ProjectStatus) -> Self {
        match status {
            projects::ProjectStatus::Draft => Self::Draft,
            projects::ProjectStatus::Submitted => Self::Submitted,
            projects::ProjectStatus::Published => Self::Published,
            projects::ProjectStatus::Rejected => Self::Rejected,
        }
    }
}

/// The order of a list of projects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub enum ProjectSort {
    /// Shown last first.
    #[default]
    Newest,
    /// Most liked first. A project that gets likes while you page may be missed or seen twice.
    Popular,
}

/// Who made a project.
#[derive(Clone, Debug, Object)]
pub struct ProjectAuthor {
    /// The author's id.
    pub id: Uuid,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: Option<String>,
}

/// A project, as you see it.
#[derive(Clone, Debug, Object)]
#[oai(example)]
pub struct Project {
    /// The project's id.
    pub id: Uuid,
    /// Who made it.
    pub author: ProjectAuthor,
    /// What it is called.
    pub title: String,
    /// What it is, in a sentence or two.
    pub summary: String,
    /// More about it, in Markdown.
    pub description: String,
    /// Where it runs.
    pub project_url: Option<String>,
    /// Where its source is.
    pub repository_url: Option<String>,
    /// A picture of it.
    pub cover_url: Option<String>,
    /// Where it is on its way to being shown.
    pub status: ProjectStatus,
    /// How many people like it. Your own like is always in it.
    #[oai(validator(minimum(value = "0")))]
    pub likes_count: i64,
    /// Whether you like it.
    pub is_liked: bool,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was first shown; null while it was not.
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

impl Example for Project {
    fn example() -> Self {
        Self {
            id: Uuid::from_u128(0x0198_c2f0_7a53_7cc1_9d2e_3f6b_8a1c_5d01),
            author: ProjectAuthor {
                id: Uuid::from_u128(0x0198_c2f0_7a53_7cc1_9d2e_3f6b_8a1c_5d02),
                first_name: "Demo".to_owned(),
                last_name: Some("Learner".to_owned()),
            },
            title: "Pottery classes".to_owned(),
            summary: "Dates of beginner classes, and a form to reserve a place.".to_owned(),
            description: "Built in a week. The list of dates is a text file.".to_owned(),
            project_url: Some("https://pottery.example".to_owned()),
            repository_url: Some("https://git.example/pottery".to_owned()),
            cover_url: None,
            status: ProjectStatus::Published,
            likes_count: 12,
            is_liked: true,
            created_at: DateTime::UNIX_EPOCH,
            published_at: Some(DateTime::UNIX_EPOCH),
        }
    }
}

/// A new project.
#[derive(Clone, Debug, Object)]
#[oai(example)]
pub struct NewProject {
    /// What it is called. Space around it is removed.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub title: String,
    /// What it is, in a sentence or two.
    #[oai(default, validator(max_length = 1000))]
    pub summary: String,
    /// More about it, in Markdown.
    #[oai(default, validator(max_length = 20000))]
    pub description: String,
    /// Where it runs.
    #[oai(validator(max_length = 2000, pattern = r"^https?://\S+$"))]
    pub project_url: Option<String>,
    /// Where its source is.
    #[oai(validator(max_length = 2000, pattern = r"^https?://\S+$"))]
    pub repository_url: Option<String>,
    /// A picture of it.
    #[oai(validator(max_length = 2000, pattern = r"^https?://\S+$"))]
    pub cover_url: Option<String>,
}

impl Example for NewProject {
    fn example() -> Self {
        let Project { title, summary, description, project_url, repository_url, cover_url, .. } = Project::example();
        Self { title, summary, description, project_url, repository_url, cover_url }
    }
}

impl NewProject {
    /// The project as it will be stored, or what is wrong with it beyond the schema.
    fn checked(&self) -> Result<projects::NewProject, Problem> {
        let title = self.title.trim();
        if title.is_empty() {
            return Err(Problem::invalid_field("/title", "blank", "A title is expected."));
        }
        let urls = [
            ("project_url", &self.project_url),
            ("repository_url", &self.repository_url),
            ("cover_url", &self.cover_url),
        ];
        for (name, url) in urls {
            if url.as_ref().is_some_and(|url| url.chars().any(char::is_control)) {
                return Err(Problem::invalid_field(format!("/{name}"), "invalid", "An http or https URL is expected."));
            }
        }
        Ok(projects::NewProject {
            title: title.to_owned(),
            summary: self.summary.clone(),
            description: self.description.clone(),
            project_url: self.project_url.clone(),
            repository_url: self.repository_url.clone(),
            cover_url: self.cover_url.clone(),
        })
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
