//! The moderation of learners' projects, for mentors and admins.

use cairn_core::community::moderation::{self, Decision, Waiting};
use cairn_core::community::showcase;
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use uuid::Uuid;

use super::views::{ManagedProject, Project, ProjectReason};
use crate::answers::Versioned;
use crate::caller::Mentor;
use crate::operation::{Problems, Tag};
use crate::params::{Body, Cursor, IfMatch, Limit, Page, PageRequest};
use crate::time::OptionalTime;
use crate::view::view;
use crate::{App, Code, Problem};

/// The moderation of learners' projects, for mentors and admins.
pub struct ModerationApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[
    ("approveProject", &[Code::ProjectState, Code::OwnProject]),
    ("rejectProject", &[Code::ProjectState, Code::OwnProject]),
    ("unpublishProject", &[Code::ProjectState, Code::OwnProject]),
];

view! {
    /// How much waits for moderators.
    pub struct WaitingProjects from Waiting {
        /// The number of submitted projects.
        #[oai(validator(minimum(value = "0")))]
        count: i64,
        /// Since when the oldest one waits; null if there is none.
        oldest_submitted_at: OptionalTime,
    }
}

#[OpenApi]
impl ModerationApi {
    /// List submitted projects
    ///
    /// The moderation queue: the one that waits longest first.
    #[oai(path = "/mentor/projects", method = "get", operation_id = "listSubmittedProjects", tag = Tag::Mentor)]
    async fn list_submitted_projects(
        &self,
        caller: Mentor,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<ManagedProject>>, Problem> {
        let page = PageRequest::new(limit.0, cursor.0);
        let mut connection = self.app.connection().await?;
        let rows = showcase::list_submitted(&mut connection, &caller, page.after()?, page.rows()).await?;
        page.answer(rows, |last| last.submitted_at.map(|time| (time, last.id)))
    }

    /// Get the number of submitted projects
    #[oai(path = "/mentor/projects/waiting", method = "get", operation_id = "getWaitingProjects", tag = Tag::Mentor)]
    async fn get_waiting_projects(&self, _caller: Mentor) -> Result<Json<WaitingProjects>, Problem> {
        let mut connection = self.app.connection().await?;
        Ok(Json(moderation::waiting(&mut connection).await?.into()))
    }

    /// Get a project for moderation
    ///
    /// In any status but `draft`.
    #[oai(path = "/mentor/projects/:project_id", method = "get", operation_id = "getModeratedProject", tag = Tag::Mentor)]
    async fn get_moderated_project(
        &self,
        caller: Mentor,
        /// The project.
        project_id: Path<Uuid>,
    ) -> Result<Versioned<Project>, Problem> {
        let mut connection = self.app.connection().await?;
        Ok(Versioned(showcase::find_moderated(&mut connection, &caller, project_id.0).await?.into()))
    }

    /// Approve a submitted project
    ///
    /// Publishes the version that `If-Match` names, so what is shown is what you have read. Mentors do not decide about their
    /// own projects.
    #[oai(
        path = "/mentor/projects/:project_id/approve",
        method = "post",
        operation_id = "approveProject",
        tag = Tag::Mentor
    )]
    async fn approve_project(
        &self,
        caller: Mentor,
        /// The project.
        project_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<Versioned<Project>, Problem> {
        self.decide(&caller, project_id.0, version, Decision::Approve).await
    }

    /// Reject a submitted project
    ///
    /// Its author is shown the reason, and can change the project and submit it again.
    #[oai(
        path = "/mentor/projects/:project_id/reject",
        method = "post",
        operation_id = "rejectProject",
        tag = Tag::Mentor
    )]
    async fn reject_project(
        &self,
        caller: Mentor,
        /// The project.
        project_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
        body: Body<ProjectReason>,
    ) -> Result<Versioned<Project>, Problem> {
        let decision = Decision::Reject { reason: body.reason.clone() };
        self.decide(&caller, project_id.0, version, decision).await
    }

    /// Unpublish a project
    ///
    /// Takes a published project down: its status is `rejected`. Its author is shown the reason, and can change the project and
    /// submit it again. It keeps its likes.
    #[oai(
        path = "/mentor/projects/:project_id/unpublish",
        method = "post",
        operation_id = "unpublishProject",
        tag = Tag::Mentor
    )]
    async fn unpublish_project(
        &self,
        caller: Mentor,
        /// The project.
        project_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
        body: Body<ProjectReason>,
    ) -> Result<Versioned<Project>, Problem> {
        let decision = Decision::Unpublish { reason: body.reason.clone() };
        self.decide(&caller, project_id.0, version, decision).await
    }
}

impl ModerationApi {
    async fn decide(
        &self,
        caller: &Mentor,
        id: Uuid,
        version: IfMatch,
        decision: Decision,
    ) -> Result<Versioned<Project>, Problem> {
        let mut tx = self.app.begin_as(caller).await?;
        moderation::decide(&mut tx, id, version.0, decision).await?;
        let answer = showcase::find_moderated(&mut tx, caller, id).await?;
        tx.commit().await?;
        Ok(Versioned(answer.into()))
    }
}
