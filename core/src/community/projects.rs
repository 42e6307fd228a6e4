//! Projects, and what their owners do with them.
//!
//! ```text
//!           submit                    approve
//!  draft ──────────▶ submitted ─────────────────▶ published
//!    ▲                │  ▲  │ reject              │  │
//!    │    withdraw    │  │  ▼           unpublish │  │
//!    ├────────────────┘  │ rejected ◀─────────────┘  │
//!    │                   └────┘ submit               │
//!    └───────────────────── withdraw ────────────────┘
//! ```
//!
//! Where projects are not moderated, and for mentors and admins, submitting publishes at once. A moderated project that is
//! edited while it is published goes back to `submitted`, so nothing is shown that no mentor has seen. The right side is in
//! [`super::moderation`].

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Result;
use crate::activity::{Action, Verb};
use crate::actor::{Caller, Role};
use crate::bounds::{self, LimitReached, Owned};
use crate::clock::new_id;
use crate::db::UserTx;
use crate::noun::Noun;
use crate::refusal::{NotFound, OrRefuse, Rejected};
use crate::resource::{self, Edit, Refusal, Resource};
use crate::settings::{ProjectModeration, Settings};

/// The status of a project.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, strum::IntoStaticStr, sqlx::Type)]
#[sqlx(type_name = "project_status", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ProjectStatus {
    /// Visible to its author only.
    #[default]
    Draft,
    /// Waiting for a mentor's approval.
    Submitted,
    /// Visible to everyone, who can like it.
    Published,
    /// Rejected or unpublished by a mentor, who said why.
    Rejected,
}

impl ProjectStatus {
    /// The stored name.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// What a project is. The list is fixed, so that programs can rely on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, sqlx::Type)]
#[sqlx(type_name = "project_category", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each names itself")]
pub enum ProjectCategory {
    Website,
    WebApp,
    MobileApp,
    Bot,
    Game,
    Tool,
    Design,
    #[default]
    Other,
}

/// A project as it is stored. What it serializes to is recorded when it changes: not its long texts, because the activity
/// log outlives its author's account.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "columns of the table showcase_projects, which documents them")]
pub struct Project {
    pub id: Uuid,
    pub user_id: Uuid,
    pub title: String,
    #[serde(skip)]
    pub summary: String,
    #[serde(skip)]
    pub description: String,
    pub category: ProjectCategory,
    pub project_url: Option<String>,
    pub repository_url: Option<String>,
    pub cover_url: Option<String>,
    pub status: ProjectStatus,
    pub moderation_reason: Option<String>,
    pub submitted_at: Option<DateTime<Utc>>,
    pub published_at: Option<DateTime<Utc>>,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub deleted_at: Option<DateTime<Utc>>,
}

/// Selects projects from `$from`, which is the table or a statement that returns its rows.
macro_rules! select_projects {
    ($with:literal, $from:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Project,
            $with
                + r#" SELECT id AS "id!", user_id AS "user_id!", title AS "title!", summary AS "summary!",
                       description AS "description!", category AS "category!: ProjectCategory",
                       project_url AS "project_url: String", repository_url AS "repository_url: String",
                       cover_url AS "cover_url: String", status AS "status!: ProjectStatus", moderation_reason,
                       submitted_at, published_at, version AS "version!", created_at AS "created_at!",
                       updated_at AS "updated_at!", deleted_at
                   FROM "#
                + $from,
            $($argument),*
        )
    };
}

impl Resource for Project {
    const NOUN: Noun = Noun::Project;

    fn id(&self) -> Uuid {
        self.id
    }

    fn title(&self) -> &str {
        &self.title
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn deleted_at(&mut self) -> &mut Option<DateTime<Utc>> {
        &mut self.deleted_at
    }

    async fn lock(connection: &mut PgConnection, id: Uuid) -> Result<Option<Self>> {
        let project = select_projects!("", "showcase_projects WHERE id = $1 FOR NO KEY UPDATE", id);
        Ok(project.fetch_optional(connection).await?)
    }

    async fn save(&self, connection: &mut PgConnection) -> Result<Self, Rejected<Refusal>> {
        let saved = select_projects!(
            "WITH saved AS (
                 INSERT INTO showcase_projects (id, user_id, title, summary, description, category, project_url,
                     repository_url, cover_url, status, moderation_reason, submitted_at, published_at, deleted_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7::text, $8::text, $9::text, $10, $11, $12, $13, $14)
                 ON CONFLICT (id) DO UPDATE SET title = excluded.title, summary = excluded.summary,
                     description = excluded.description, category = excluded.category,
                     project_url = excluded.project_url, repository_url = excluded.repository_url,
                     cover_url = excluded.cover_url, status = excluded.status,
                     moderation_reason = excluded.moderation_reason, submitted_at = excluded.submitted_at,
                     published_at = excluded.published_at, deleted_at = excluded.deleted_at
                 RETURNING *
             )",
            "saved",
            self.id,
            self.user_id,
            self.title,
            self.summary,
            self.description,
            self.category as ProjectCategory,
            self.project_url,
            self.repository_url,
            self.cover_url,
            self.status as ProjectStatus,
            self.moderation_reason,
            self.submitted_at,
            self.published_at,
            self.deleted_at,
        );
        Ok(saved.fetch_one(connection).await?)
    }
}

impl Project {
    /// Refuses unless the project has one of these statuses.
    pub(super) fn check_status(&self, allowed: &[ProjectStatus]) -> Result<(), ProjectRefusal> {
        if allowed.contains(&self.status) { Ok(()) } else { Err(ProjectRefusal::Status(self.status)) }
    }

    /// Puts the project at the end of the moderation queue.
    fn submit(&mut self, now: DateTime<Utc>) {
        self.status = ProjectStatus::Submitted;
        self.submitted_at = Some(now);
        self.moderation_reason = None;
    }

    /// Shows the project to everyone. It keeps the time when it was first published.
    pub(super) fn publish(&mut self, now: DateTime<Utc>) {
        self.status = ProjectStatus::Published;
        self.published_at.get_or_insert(now);
        self.moderation_reason = None;
    }
}

/// Why nothing is done with a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProjectRefusal {
    /// There is no such project, or the caller may not see it.
    NotFound(NotFound),
    /// This is its status, which does not allow it.
    Status(ProjectStatus),
    /// It is the moderator's own project.
    OwnProject,
    /// The caller has as many projects as they may have.
    LimitReached(LimitReached),
    /// It cannot be changed, like any resource.
    Resource(Refusal),
}

impl From<LimitReached> for ProjectRefusal {
    fn from(reached: LimitReached) -> Self {
        Self::LimitReached(reached)
    }
}

impl From<NotFound> for ProjectRefusal {
    fn from(not_found: NotFound) -> Self {
        Self::NotFound(not_found)
    }
}

impl From<Refusal> for ProjectRefusal {
    fn from(refusal: Refusal) -> Self {
        Self::Resource(refusal)
    }
}

/// Whether a mentor must see the caller's projects before they are shown.
fn is_moderated(settings: &Settings, caller: &Caller) -> bool {
    settings.project_moderation == ProjectModeration::On && caller.role == Role::Student
}

/// Creates a project of the caller and returns its id. Unless it is a draft, it is submitted.
pub async fn create(
    tx: &mut UserTx,
    settings: &Settings,
    project: &Project,
    is_draft: bool,
) -> Result<Uuid, Rejected<ProjectRefusal>> {
    let mut project = Project { id: new_id(), user_id: tx.caller().user_id, ..project.clone() };
    let verb = match (is_draft, is_moderated(settings, tx.caller())) {
        (true, _) => None,
        (false, true) => {
            project.submit(tx.now());
            Some(Verb::Submitted)
        }
        (false, false) => {
            project.publish(tx.now());
            Some(Verb::Published)
        }
    };
    bounds::lock(tx).await?;
    resource::create(tx, &project).await.map_err(Rejected::widen)?;
    for owned in [Owned::Projects, Owned::ProjectsEver] {
        bounds::check(tx, owned).await.map_err(Rejected::widen)?;
    }
    if let Some(verb) = verb {
        tx.record(Action::new(Noun::Project, verb).on(project.id, &project.title))?;
    }
    Ok(project.id)
}

/// Changes the caller's project, of which they have seen `version`. A published one that is moderated is submitted again.
pub async fn update(
    tx: &mut UserTx,
    settings: &Settings,
    id: Uuid,
    version: i64,
    edit: Edit<Project>,
) -> Result<(), Rejected<ProjectRefusal>> {
    let before = lock_own(tx, id).await?;
    let (must_wait, now) = (is_moderated(settings, tx.caller()) && before.status == ProjectStatus::Published, tx.now());
    let edit = edit.then(move |project| {
        if must_wait && *project != before {
            project.submit(now);
        }
        Ok(())
    });
    resource::edit(tx, id, version, edit).await.map_err(Rejected::widen)?;
    Ok(())
}

/// Submits the caller's draft or rejected project: it waits for a mentor, or is published at once.
pub async fn submit(
    tx: &mut UserTx,
    settings: &Settings,
    id: Uuid,
    version: i64,
) -> Result<(), Rejected<ProjectRefusal>> {
    let project = lock_own(tx, id).await?;
    project.check_status(&[ProjectStatus::Draft, ProjectStatus::Rejected]).map_err(Rejected::Refused)?;
    let (must_wait, now) = (is_moderated(settings, tx.caller()), tx.now());
    let verb = if must_wait { Verb::Submitted } else { Verb::Published };
    let edit = Edit::new(verb, move |project: &mut Project| {
        if must_wait {
            project.submit(now);
        } else {
            project.publish(now);
        }
        Ok(())
    });
    resource::edit(tx, id, version, edit).await.map_err(Rejected::widen)?;
    Ok(())
}

/// Makes the caller's submitted or published project a draft again. It keeps its likes.
pub async fn withdraw(tx: &mut UserTx, id: Uuid, version: i64) -> Result<(), Rejected<ProjectRefusal>> {
    let project = lock_own(tx, id).await?;
    project.check_status(&[ProjectStatus::Submitted, ProjectStatus::Published]).map_err(Rejected::Refused)?;
    let edit = Edit::new(Verb::Withdrawn, |project: &mut Project| {
        project.status = ProjectStatus::Draft;
        Ok(())
    });
    resource::edit(tx, id, version, edit).await.map_err(Rejected::widen)?;
    Ok(())
}

/// Deletes the caller's project. An admin can restore it.
pub async fn delete(tx: &mut UserTx, id: Uuid, version: i64) -> Result<(), Rejected<ProjectRefusal>> {
    lock_own(tx, id).await?;
    let edit = resource::delete::<Project>(tx.now());
    resource::edit(tx, id, version, edit).await.map_err(Rejected::widen)?;
    Ok(())
}

/// The caller's live project, locked until the end of the transaction.
async fn lock_own(tx: &mut UserTx, id: Uuid) -> Result<Project, Rejected<ProjectRefusal>> {
    let project = select_projects!(
        "",
        "showcase_projects WHERE id = $1 AND user_id = $2 AND deleted_at IS NULL FOR NO KEY UPDATE",
        id,
        tx.caller().user_id
    );
    project.fetch_optional(&mut ***tx).await?.or_not_found(Noun::Project)
}

/// A project that moderators see, locked until the end of the transaction.
pub(super) async fn lock_moderated(tx: &mut UserTx, id: Uuid) -> Result<Project, Rejected<ProjectRefusal>> {
    let project = select_projects!(
        "",
        "showcase_projects WHERE id = $1 AND status <> 'draft' AND deleted_at IS NULL
             AND EXISTS (SELECT FROM users u WHERE u.id = user_id AND u.deleted_at IS NULL)
         FOR NO KEY UPDATE",
        id
    );
    project.fetch_optional(&mut ***tx).await?.or_not_found(Noun::Project)
}
