//! What the authors of projects do with them.

use cairn_core::actor::Caller;
use cairn_core::community::projects::{self, Project as Row};
use cairn_core::community::showcase;
use cairn_core::settings;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use sqlx::PgConnection;
use uuid::Uuid;

use super::views::{ManagedProject, Project, ProjectCategory, ProjectStatus};
use crate::answers::{Created, NoContent, Versioned};
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::params::{Body, Changes, Cursor, IdempotencyKey, IdempotentRequest, IfMatch, Limit, Page, PageRequest};
use crate::view::fields;
use crate::{App, Code, Problem};

/// What the authors of projects do with them.
pub struct OwnProjectsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[("submitProject", &[Code::ProjectState]), ("withdrawProject", &[Code::ProjectState])];

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
        let settings = settings::load(&mut tx).await?;
        let id = projects::create(&mut tx, &settings, &Row::from(&*body), body.is_draft).await?;
        let answer = find(&mut tx, &caller, id).await?;
        request.store(&mut tx, &answer).await?;
        tx.commit().await?;
        Ok(Created::new(PATH, answer))
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
        let settings = settings::load(&mut tx).await?;
        projects::update(&mut tx, &settings, project_id.0, version.0, edit).await?;
        let answer = find(&mut tx, &caller, project_id.0).await?;
        tx.commit().await?;
        Ok(Versioned(answer))
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
        let settings = settings::load(&mut tx).await?;
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

async fn find(connection: &mut PgConnection, caller: &Caller, id: Uuid) -> Result<Project, Problem> {
    Ok(showcase::find(connection, caller, id).await?.into())
}
