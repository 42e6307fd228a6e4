//! Projects: what everyone sees of them, and what their authors write.

use cairn_core::actor::Caller;
use cairn_core::community::projects::{self, Project as Row};
use cairn_core::community::showcase;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Enum, Object, OpenApi};
use sqlx::PgConnection;
use uuid::Uuid;

use super::views::{Project, ProjectCategory, ProjectSummary};
use crate::answers::{Created, NoContent, Versioned};
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::params::{Body, Changes, Cursor, IdempotencyKey, IdempotentRequest, IfMatch, Limit, Page, PageRequest};
use crate::view::fields;
use crate::{App, Code, Problem};

/// Projects.
pub struct ProjectsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[("createProject", &[Code::LimitReached])];

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

const PATH: &str = "/v1/projects";

/// A new project.
#[derive(Clone, Debug, Object)]
pub struct NewProject {
    /// Keep it as a draft that only you see, instead of submitting it.
    #[oai(default)]
    pub is_draft: bool,
    /// The title. Surrounding white space is removed.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub title: String,
    /// A summary in a sentence or two.
    #[oai(default, validator(max_length = 1000))]
    pub summary: String,
    /// The description, in Markdown.
    #[oai(default, validator(max_length = 20000))]
    pub description: String,
    /// What it is.
    #[oai(default)]
    pub category: ProjectCategory,
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

impl From<&NewProject> for Row {
    fn from(new: &NewProject) -> Self {
        Self {
            title: new.title.trim().to_owned(),
            summary: new.summary.clone(),
            description: new.description.clone(),
            category: new.category.into(),
            project_url: new.project_url.clone(),
            repository_url: new.repository_url.clone(),
            cover_url: new.cover_url.clone(),
            ..Self::default()
        }
    }
}

fields! {
    /// What the author of a project can change.
    pub struct ProjectContent of Row {
        /// The title. Surrounding white space is removed.
        #[oai(validator(min_length = 1, max_length = 200))]
        title: String,
        /// A summary in a sentence or two.
        #[oai(default, validator(max_length = 1000))]
        summary: String,
        /// The description, in Markdown.
        #[oai(default, validator(max_length = 20000))]
        description: String,
        /// What it is.
        category: ProjectCategory,
        /// The URL of the running project; null if there is none.
        #[oai(validator(max_length = 2000, pattern = r"^https?://\S+$"))]
        project_url: Option<String>,
        /// The URL of the source code; null if there is none.
        #[oai(validator(max_length = 2000, pattern = r"^https?://\S+$"))]
        repository_url: Option<String>,
        /// The URL of a picture; null if there is none.
        #[oai(validator(max_length = 2000, pattern = r"^https?://\S+$"))]
        cover_url: Option<String>,
    }
}

/// Refuses a title that is nothing but white space, which the schema cannot say.
fn check_title(title: Option<&str>) -> Result<(), Problem> {
    match title {
        Some(title) if title.trim().is_empty() => {
            Err(Problem::invalid_field("/title", "blank", "A title is expected."))
        }
        _ => Ok(()),
    }
}

#[OpenApi]
impl ProjectsApi {
    /// List published projects
    ///
    /// Without their descriptions. The order is that of `sort`.
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

    /// Create a project
    ///
    /// Unless `is_draft` is true, it is submitted: published at once, or, if the platform moderates learners' projects,
    /// with the status `submitted`, and only you see it until a mentor approves it.
    #[oai(path = "/projects", method = "post", operation_id = "createProject", tag = Tag::Projects)]
    async fn create_project(
        &self,
        caller: Member,
        #[oai(name = "Idempotency-Key")] key: Header<Option<IdempotencyKey>>,
        body: Body<NewProject>,
    ) -> Result<Created<Project>, Problem> {
        check_title(Some(&body.title))?;
        let request = IdempotentRequest::new(&caller, "createProject", key.0, &body);
        let mut tx = self.app.begin_as(&caller).await?;
        if let Some(answer) = request.replay::<Project>(&mut tx).await? {
            return Ok(Created::new(PATH, answer));
        }
        let settings = self.app.settings(&mut tx).await?;
        let id = projects::create(&mut tx, &settings, &Row::from(&*body), body.is_draft).await?;
        let answer = find(&mut tx, &caller, id).await?;
        request.store(&mut tx, &answer).await?;
        tx.commit().await?;
        Ok(Created::new(PATH, answer))
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

    /// Update my project
    ///
    /// In any status. If the platform moderates learners' projects, a published project that changes is submitted again: it
    /// is not shown until a mentor has approved it, and keeps its likes.
    #[oai(path = "/projects/:project_id", method = "patch", operation_id = "updateProject", tag = Tag::Projects)]
    async fn update_project(
        &self,
        caller: Member,
        /// The project.
        project_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
        body: Body<Changes<ProjectContent>>,
    ) -> Result<Versioned<Project>, Problem> {
        check_title(body.text("title"))?;
        let edit = body.edit(ProjectContent::set).then(|project: &mut Row| {
            project.title = project.title.trim().to_owned();
            Ok(())
        });
        let mut tx = self.app.begin_as(&caller).await?;
        let settings = self.app.settings(&mut tx).await?;
        projects::update(&mut tx, &settings, project_id.0, version.0, edit).await?;
        let answer = find(&mut tx, &caller, project_id.0).await?;
        tx.commit().await?;
        Ok(Versioned(answer))
    }

    /// Delete my project
    ///
    /// Nobody sees it any more; an admin can restore it.
    #[oai(path = "/projects/:project_id", method = "delete", operation_id = "deleteProject", tag = Tag::Projects)]
    async fn delete_project(
        &self,
        caller: Member,
        /// The project.
        project_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<NoContent, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        projects::delete(&mut tx, project_id.0, version.0).await?;
        tx.commit().await?;
        Ok(NoContent)
    }
}

pub(super) async fn find(connection: &mut PgConnection, caller: &Caller, id: Uuid) -> Result<Project, Problem> {
    Ok(showcase::find(connection, caller, id).await?.into())
}
