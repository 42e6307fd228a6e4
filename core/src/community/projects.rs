//! Projects: showing one, and reading those that are shown.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Result;
use crate::activity::{Action, Noun, Verb};
use crate::actor::{Caller, Role};
use crate::clock::new_id;
use crate::db::UserTx;
use crate::refusal::{NotFound, OrRefuse, Rejected};
use crate::settings::{ProjectModeration, Settings};

/// Where a project is on its way to being shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "project_status", rename_all = "snake_case")]
pub enum ProjectStatus {
    /// Only its owner sees it.
    Draft,
    /// Waits for a mentor.
    Submitted,
    /// Everybody sees it and can like it.
    Published,
    /// A mentor sent it back.
    Rejected,
}

/// A project as one reader sees it.
#[derive(Clone, Debug)]
pub struct Project {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub author_id: Uuid,
    /// First name of the author.
    pub author_first_name: String,
    /// Last name of the author.
    pub author_last_name: Option<String>,
    /// 1–200 characters.
    pub title: String,
    /// At most 1,000 characters.
    pub summary: String,
    /// At most 20,000 characters.
    pub description: String,
    /// Where it runs.
    pub project_url: Option<String>,
    /// Where its source is.
    pub repository_url: Option<String>,
    /// A picture of it.
    pub cover_url: Option<String>,
    /// Where it is on its way to being shown.
    pub status: ProjectStatus,
    /// Likes; every like that was answered before this was read is in it.
    pub likes_count: i64,
    /// Likes as last counted: the sort key of [`list_popular`], which may lag behind `likes_count` for a moment.
    pub likes_counted: i32,
    /// Whether the reader likes it.
    pub is_liked: bool,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was first shown.
    pub published_at: Option<DateTime<Utc>>,
}

/// Selects projects as the reader `$1` sees them; the rest of the statement and its arguments follow. While a project is
/// marked, its stored count may be stale: then the rows are counted, in the same snapshot as the marker.
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

/// A project that the caller may see: published, or their own.
pub async fn find(connection: &mut PgConnection, caller: &Caller, id: Uuid) -> Result<Project, Rejected<NotFound>> {
    let project = select_projects!("AND p.id = $2 AND (p.status = 'published' OR p.user_id = $1)", caller.user_id, id);
    project.fetch_optional(connection).await?.or_not_found(Noun::Project)
}

/// Published projects, newest first: at most `limit`, after the one with that `published_at` and id.
pub async fn list_newest(
    connection: &mut PgConnection,
    caller: &Caller,
    after: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<Project>> {
    let (time, id) = after.unzip();
    // The comparison is one with values, without an OR, so that any page begins at its place in the index.
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

/// Published projects, most liked first: at most `limit`, after the one with that [`Project::likes_counted`] and id. A
/// project whose number changes between two pages may be missed or seen twice.
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

/// What a new project consists of. Lengths as in [`Project`]; URLs begin with `http://` or `https://`, hold no space and
/// have at most 2,000 characters.
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

/// Creates a project of the caller: published at once, unless learners' projects are moderated. Returns its id.
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
