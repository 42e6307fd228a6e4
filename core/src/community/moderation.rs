//! What mentors and admins decide about learners' projects.

use sqlx::PgConnection;
use uuid::Uuid;

use chrono::{DateTime, Utc};

use super::projects::{self, Project, ProjectRefusal, ProjectStatus};
use crate::Result;
use crate::activity::Verb;
use crate::actor::Role;
use crate::db::UserTx;
use crate::events::UserEvent;
use crate::refusal::Rejected;
use crate::resource::{self, Edit};

/// A decision about a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Publishes a submitted project.
    Approve,
    /// Rejects a submitted project.
    Reject {
        /// What its author is told: 1–2,000 characters.
        reason: String,
    },
    /// Takes a published project down.
    Unpublish {
        /// What its author is told: 1–2,000 characters.
        reason: String,
    },
}

impl Decision {
    fn verb(&self) -> Verb {
        match self {
            Self::Approve => Verb::Approved,
            Self::Reject { .. } => Verb::Rejected,
            Self::Unpublish { .. } => Verb::Unpublished,
        }
    }

    /// The status that a project must have.
    fn applies_to(&self) -> ProjectStatus {
        match self {
            Self::Approve | Self::Reject { .. } => ProjectStatus::Submitted,
            Self::Unpublish { .. } => ProjectStatus::Published,
        }
    }

    fn apply(self, project: &mut Project, now: DateTime<Utc>) {
        match self {
            Self::Approve => project.publish(now),
            Self::Reject { reason } | Self::Unpublish { reason } => {
                project.status = ProjectStatus::Rejected;
                project.moderation_reason = Some(reason);
            }
        }
    }
}

/// Decides about a project, of which the moderator has seen `version`. Every decision is made here, and nowhere else.
///
/// The project is locked before its status is read, so of two moderators who decide at once the second is refused. Only admins
/// decide about projects of their own.
pub async fn decide(
    tx: &mut UserTx,
    id: Uuid,
    version: i64,
    decision: Decision,
) -> Result<Project, Rejected<ProjectRefusal>> {
    let project = projects::lock_moderated(tx, id).await?;
    if project.user_id == tx.caller().user_id && tx.caller().role != Role::Admin {
        return Err(Rejected::Refused(ProjectRefusal::OwnProject));
    }
    project.check_status(&[decision.applies_to()]).map_err(Rejected::Refused)?;
    let now = tx.now();
    let edit = Edit::new(decision.verb(), move |project: &mut Project| {
        decision.apply(project, now);
        Ok(())
    });
    let project = resource::edit(tx, id, version, edit).await.map_err(Rejected::widen)?;
    let (title, status) = (project.title.clone(), project.status.name().to_owned());
    let reason = project.moderation_reason.clone();
    tx.emit(project.user_id, UserEvent::ProjectModerated { project_id: id, title, status, reason });
    Ok(project)
}

/// How much waits for moderators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The number of submitted projects.
    pub count: i64,
    /// Since when the oldest one waits; `None` if there is none.
    pub oldest_submitted_at: Option<DateTime<Utc>>,
}

/// Counts the submitted projects.
pub async fn waiting(connection: &mut PgConnection) -> Result<Waiting> {
    let waiting = sqlx::query_as!(
        Waiting,
        r#"SELECT count(*) AS "count!", min(coalesce(p.submitted_at, p.created_at)) AS oldest_submitted_at
           FROM showcase_projects p JOIN users u ON u.id = p.user_id
           WHERE p.deleted_at IS NULL AND p.status = 'submitted' AND u.deleted_at IS NULL"#
    );
    Ok(waiting.fetch_one(connection).await?)
}
