//! Projects: creating, finding and listing them.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Result;
use crate::activity::{Action, Verb};
use crate::actor::{Caller, Role};
use crate::clock::new_id;
use crate::db::UserTx;
use crate::noun::Noun;
use crate::refusal::{NotFound, OrRefuse, Rejected};
use crate::settings::{ProjectModeration, Settings};

/// The status of a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "project_status", rename_all = "snake_case")]
pub enum ProjectStatus {
    /// Visible to its author only.
    Draft,
    /// Waiting for a mentor's approval.
    Submitted,
    /// Visible to everyone, who can like it.
    Published,
    /// Rejected by a mentor.
    Rejected,
}

/// A project as a particular reader sees it.
#[derive(Clone, Debug)]
pub struct Project {
    /// Identifies the project.
    pub id: Uuid,
    /// Identifies the author.
    pub author_id: Uuid,
    /// The author's first name.
    pub author_first_name: String,
    /// The author's last name; `None` if they gave none.
    pub author_last_name: Option<String>,
    /// 1–200 characters.
    pub title: String,
    /// At most 1,000 characters.
    pub summary: String,
    /// At most 20,000 characters.
    pub description: String,
    /// Where the project can be tried out.
    pub project_url: Option<String>,
    /// Where the source code is.
    pub repository_url: Option<String>,
    /// The address of a picture.
    pub cover_url: Option<String>,
    /// The current status.
    pub status: ProjectStatus,
    /// The number of likes, including every like that was acknowledged before the project was read.
    pub likes_count: i64,
    /// The stored number of likes, which is the sort key of [`list_popular`] and may briefly lag behind `likes_count`.
    pub likes_counted: i32,
    /// Whether the reader likes it.
    pub is_liked: bool,
    /// When the project was created.
    pub created_at: DateTime<Utc>,
    /// When it was first published; `None` if it never was.
    pub published_at: Option<DateTime<Utc>>,
}

/// Selects projects as the reader `$1` sees them; the rest of the statement and its arguments follow. The stored count of a
/// marked project may be stale, so its likes are counted in the same snapshot.
macro_rules! select_projects {
    ($rest:literal, $reader:expr $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Project,
            r#"SELECT p.id, p.user_id AS author_id, u.first_name AS author_first_name, u.last_name AS author_last_name,
                   p.title, p.summary, p.description, p.project_url AS "project_url: String",
                   p.repository_url AS "repository_url: String", p.cover_url AS "cover_url: String",
                   p.status AS "status: ProjectStatus",
                   CASE WHEN EXISTS (SELECT FROM likes_dirty d WHERE d.project_id = p.id)
                       THEN (SELECT count(*) FROM project_likes l WHERE l.project_id = p.id)
                       ELSE p.likes_count END AS "likes_count!",
                   p.likes_count AS likes_counted,
                   EXISTS (SELECT FROM project_likes l WHERE l.project_id = p.id AND l.user_id = $1) AS "is_liked!",
                   p.created_at, p.published_at
               FROM showcase_projects p JOIN users u ON u.id = p.user_id
               WHERE p.deleted_at IS NULL "# + $rest,
            $reader
            $(, $argument)*
        )
    };
}

/// Finds a project that is published or belongs to the caller.
pub async fn find(connection: &mut PgConnection, caller: &Caller, id: Uuid) -> Result<Project, Rejected<NotFound>> {
    let project = select_projects!("AND p.id = $2 AND (p.status = 'published' OR p.user_id = $1)", caller.user_id, id);
    project.fetch_optional(connection).await?.or_not_found(Noun::Project)
}

/// At most `limit` published projects, newest first, starting after the `published_at` and id of `after`.
pub async fn list_newest(
    connection: &mut PgConnection,
    caller: &Caller,
    after: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<Project>> {
    let (time, id) = after.unzip();
    // Compared without OR, so that the index serves every page, including the first.
    let projects = select_projects!(
        "AND p.status = 'published'
         AND (p.published_at, p.id) < (coalesce($2, 'infinity'::timestamptz),
                                       coalesce($3, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))
         ORDER BY p.published_at DESC, p.id DESC LIMIT $4",
        caller.user_id,
        time,
        id,
        limit
    );
    Ok(projects.fetch_all(connection).await?)
}

/// At most `limit` published projects, most liked first, starting after the [`Project::likes_counted`] and id of `after`. A
/// project whose number of likes changes between two pages may be missing or appear twice.
pub async fn list_popular(
    connection: &mut PgConnection,
    caller: &Caller,
    after: Option<(i32, Uuid)>,
    limit: i64,
) -> Result<Vec<Project>> {
    let (likes, id) = after.unzip();
    let projects = select_projects!(
        "AND p.status = 'published'
         AND (p.likes_count, p.id) < (coalesce($2, 2147483647),
                                      coalesce($3, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))
         ORDER BY p.likes_count DESC, p.id DESC LIMIT $4",
        caller.user_id,
        likes,
        id,
        limit
    );
    Ok(projects.fetch_all(connection).await?)
}

/// The content of a new project. Lengths are those of [`Project`]. URLs begin with `http://` or `https://`, contain no
/// spaces and have at most 2,000 characters.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "as in Project")]
pub struct NewProject {
    pub title: String,
    pub summary: String,
    pub description: String,
    pub project_url: Option<String>,
    pub repository_url: Option<String>,
    pub cover_url: Option<String>,
}

/// Creates a project of the caller and returns its id. It is published immediately unless the caller is a student and
/// projects are moderated.
pub async fn create(tx: &mut UserTx, settings: &Settings, project: &NewProject) -> Result<Uuid> {
    let caller = tx.caller();
    let is_moderated = settings.project_moderation == ProjectModeration::On && caller.role == Role::Student;
    let status = if is_moderated { ProjectStatus::Submitted } else { ProjectStatus::Published };
    let id = new_id();
    sqlx::query!(
        "INSERT INTO showcase_projects (id, user_id, title, summary, description, project_url, repository_url,
             cover_url, status, published_at)
         VALUES ($1, $2, $3, $4, $5, $6::text, $7::text, $8::text, $9,
             CASE WHEN $9 = 'published'::project_status THEN now() END)",
        id,
        caller.user_id,
        project.title,
        project.summary,
        project.description,
        project.project_url,
        project.repository_url,
        project.cover_url,
        status as ProjectStatus
    )
    .execute(&mut ***tx)
    .await?;
    tx.record(Action::new(Noun::Project, Verb::Created).on(id, &project.title))?;
    if status == ProjectStatus::Published {
        tx.record(Action::new(Noun::Project, Verb::Published).on(id, &project.title))?;
    }
    Ok(id)
}
