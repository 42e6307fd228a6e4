//! Projects as particular readers see them: lists, and single ones.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::projects::{ProjectCategory, ProjectStatus};
use crate::Result;
use crate::actor::Caller;
use crate::noun::Noun;
use crate::refusal::{NotFound, OrRefuse, Rejected};

/// A project as lists show it.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "as in Project")]
pub struct ProjectSummary {
    pub id: Uuid,
    pub author_id: Uuid,
    pub author_first_name: String,
    pub author_last_name: Option<String>,
    pub title: String,
    pub summary: String,
    pub category: ProjectCategory,
    pub cover_url: Option<String>,
    pub status: ProjectStatus,
    pub moderation_reason: Option<String>,
    pub likes_count: i64,
    /// The stored number of likes, which is the sort key of [`list_popular`] and may briefly lag behind `likes_count`.
    pub likes_counted: i32,
    pub trending_likes: i32,
    pub is_liked: bool,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub submitted_at: Option<DateTime<Utc>>,
    pub published_at: Option<DateTime<Utc>>,
    pub deleted_at: Option<DateTime<Utc>>,
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
    /// What it is.
    pub category: ProjectCategory,
    /// Where the project can be tried out.
    pub project_url: Option<String>,
    /// Where the source code is.
    pub repository_url: Option<String>,
    /// The address of a picture.
    pub cover_url: Option<String>,
    /// The current status.
    pub status: ProjectStatus,
    /// Why a mentor rejected or unpublished it; `None` unless it is rejected.
    pub moderation_reason: Option<String>,
    /// The number of likes, including every like that was acknowledged before the project was read.
    pub likes_count: i64,
    /// The number of likes of the last seven days, when they were last counted.
    pub trending_likes: i32,
    /// Whether the reader likes it.
    pub is_liked: bool,
    /// The version, which is raised by every edit.
    pub version: i64,
    /// When the project was created.
    pub created_at: DateTime<Utc>,
    /// When it was last edited.
    pub updated_at: DateTime<Utc>,
    /// When it was last submitted for moderation; `None` if it never was.
    pub submitted_at: Option<DateTime<Utc>>,
    /// When it was first published; `None` if it never was.
    pub published_at: Option<DateTime<Utc>>,
    /// When it was deleted; `None` if it is not.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// Selects a `$type` as the reader `$1` sees it, with the columns `$columns` besides those of every view; the rest of the
/// statement and its arguments follow. The stored count of a marked project may be stale, so its likes are counted in the same
/// snapshot.
macro_rules! select {
    ($type:ty, $columns:literal, [$($rest:literal)+], $reader:expr $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            $type,
            r#"SELECT p.id, p.user_id AS author_id, u.first_name AS author_first_name, u.last_name AS author_last_name,
                   p.title, p.summary, p.category AS "category: ProjectCategory", p.cover_url AS "cover_url: String",
                   p.status AS "status: ProjectStatus", p.moderation_reason,
                   CASE WHEN EXISTS (SELECT FROM likes_dirty d WHERE d.project_id = p.id)
                       THEN (SELECT count(*) FROM project_likes l WHERE l.project_id = p.id)
                       ELSE p.likes_count END AS "likes_count!",
                   p.trending_likes,
                   EXISTS (SELECT FROM project_likes l WHERE l.project_id = p.id AND l.user_id = $1) AS "is_liked!",
                   p.version, p.created_at, p.updated_at,
                   CASE WHEN p.status = 'submitted' THEN coalesce(p.submitted_at, p.created_at) ELSE p.submitted_at END
                       AS submitted_at,
                   p.published_at, p.deleted_at, "#
                + $columns
                + " FROM showcase_projects p JOIN users u ON u.id = p.user_id "
                $(+ $rest)+,
            $reader
            $(, $argument)*
        )
    };
}

macro_rules! select_summaries {
    ([$($rest:literal)+] $(, $argument:expr)* $(,)?) => {
        select!(ProjectSummary, "p.likes_count AS likes_counted", [$($rest)+] $(, $argument)*)
    };
}

macro_rules! select_project {
    ([$($rest:literal)+] $(, $argument:expr)* $(,)?) => {
        select!(
            Project,
            r#"p.description, p.project_url AS "project_url: String", p.repository_url AS "repository_url: String""#,
            [$($rest)+]
            $(, $argument)*
        )
    };
}

/// Finds a project that is published or belongs to the caller.
pub async fn find(connection: &mut PgConnection, caller: &Caller, id: Uuid) -> Result<Project, Rejected<NotFound>> {
    let project = select_project!(
        ["WHERE p.id = $2 AND p.deleted_at IS NULL AND u.deleted_at IS NULL
            AND (p.status = 'published' OR p.user_id = $1)"],
        caller.user_id,
        id
    );
    project.fetch_optional(connection).await?.or_not_found(Noun::Project)
}

/// Finds a project for a moderator: in any status but `draft`, which is its author's business.
pub async fn find_moderated(
    connection: &mut PgConnection,
    moderator: &Caller,
    id: Uuid,
) -> Result<Project, Rejected<NotFound>> {
    let project = select_project!(
        ["WHERE p.id = $2 AND p.deleted_at IS NULL AND u.deleted_at IS NULL AND p.status <> 'draft'"],
        moderator.user_id,
        id
    );
    project.fetch_optional(connection).await?.or_not_found(Noun::Project)
}

/// Finds a project for an admin: in any status, deleted or not.
pub async fn find_any(connection: &mut PgConnection, admin: &Caller, id: Uuid) -> Result<Project, Rejected<NotFound>> {
    let project = select_project!(["WHERE p.id = $2"], admin.user_id, id);
    project.fetch_optional(connection).await?.or_not_found(Noun::Project)
}

/// At most `$limit` published projects in the order of `$column`, the largest first, starting after the key `$after`. The
/// row comparison has no OR, and the category is no optional condition, so that an index serves every page.
macro_rules! list_published {
    ($column:literal, $largest:literal, $connection:expr, $caller:expr, $category:expr, $after:expr, $limit:expr) => {{
        let (key, id) = $after.unzip();
        let projects = match $category {
            None => {
                let projects = select_summaries!(
                    [
                        "WHERE p.deleted_at IS NULL AND p.status = 'published' AND u.deleted_at IS NULL AND (p."
                        $column
                        ", p.id) < (coalesce($2, "
                        $largest
                        "), coalesce($3, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)) ORDER BY p."
                        $column
                        " DESC, p.id DESC LIMIT $4"
                    ],
                    $caller.user_id,
                    key,
                    id,
                    $limit
                );
                projects.fetch_all($connection).await?
            }
            Some(category) => {
                let projects = select_summaries!(
                    [
                        "WHERE p.deleted_at IS NULL AND p.status = 'published' AND u.deleted_at IS NULL
                           AND p.category = $5 AND (p."
                        $column
                        ", p.id) < (coalesce($2, "
                        $largest
                        "), coalesce($3, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)) ORDER BY p."
                        $column
                        " DESC, p.id DESC LIMIT $4"
                    ],
                    $caller.user_id,
                    key,
                    id,
                    $limit,
                    category as ProjectCategory
                );
                projects.fetch_all($connection).await?
            }
        };
        Ok(projects)
    }};
}

/// At most `limit` published projects of a category or of all, newest first, starting after the `published_at` and id of
/// `after`.
pub async fn list_newest(
    connection: &mut PgConnection,
    caller: &Caller,
    category: Option<ProjectCategory>,
    after: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<ProjectSummary>> {
    list_published!("published_at", "'infinity'::timestamptz", connection, caller, category, after, limit)
}

/// At most `limit` published projects, most liked first, starting after the [`ProjectSummary::likes_counted`] and id of
/// `after`. A project whose number of likes changes between two pages may be missing or appear twice.
pub async fn list_popular(
    connection: &mut PgConnection,
    caller: &Caller,
    category: Option<ProjectCategory>,
    after: Option<(i32, Uuid)>,
    limit: i64,
) -> Result<Vec<ProjectSummary>> {
    list_published!("likes_count", "2147483647", connection, caller, category, after, limit)
}

/// At most `limit` published projects, those with the most likes of the last seven days first, starting after the
/// `trending_likes` and id of `after`. A project whose number changes between two pages may be missing or appear twice.
pub async fn list_trending(
    connection: &mut PgConnection,
    caller: &Caller,
    category: Option<ProjectCategory>,
    after: Option<(i32, Uuid)>,
    limit: i64,
) -> Result<Vec<ProjectSummary>> {
    list_published!("trending_likes", "2147483647", connection, caller, category, after, limit)
}

/// At most `limit` of the caller's own projects, newest first, starting after the `created_at` and id of `after`.
pub async fn list_own(
    connection: &mut PgConnection,
    caller: &Caller,
    status: Option<ProjectStatus>,
    after: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<ProjectSummary>> {
    let (time, id) = after.unzip();
    let projects = select_summaries!(
        ["WHERE p.deleted_at IS NULL AND p.user_id = $1 AND ($2::project_status IS NULL OR p.status = $2)
           AND (p.created_at, p.id) < (coalesce($3, 'infinity'::timestamptz),
                                       coalesce($4, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))
         ORDER BY p.created_at DESC, p.id DESC LIMIT $5"],
        caller.user_id,
        status as Option<ProjectStatus>,
        time,
        id,
        limit
    );
    Ok(projects.fetch_all(connection).await?)
}

/// At most `limit` submitted projects, in the order in which they were submitted, starting after the `submitted_at` and id of
/// `after`.
pub async fn list_submitted(
    connection: &mut PgConnection,
    moderator: &Caller,
    after: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<ProjectSummary>> {
    let (time, id) = after.unzip();
    let projects = select_summaries!(
        ["WHERE p.deleted_at IS NULL AND p.status = 'submitted' AND u.deleted_at IS NULL
           AND (coalesce(p.submitted_at, p.created_at), p.id)
               > (coalesce($2, '-infinity'::timestamptz), coalesce($3, '00000000-0000-0000-0000-000000000000'::uuid))
         ORDER BY coalesce(p.submitted_at, p.created_at), p.id LIMIT $4"],
        moderator.user_id,
        time,
        id,
        limit
    );
    Ok(projects.fetch_all(connection).await?)
}

/// Which projects to list for admins.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// The deleted projects instead of the live ones.
    pub deleted: bool,
    /// Only projects in this status.
    pub status: Option<ProjectStatus>,
    /// Only projects of this author.
    pub author_id: Option<Uuid>,
}

/// At most `limit` projects in any status, newest first, starting after the `created_at` and id of `after`.
pub async fn list_all(
    connection: &mut PgConnection,
    admin: &Caller,
    filter: Filter,
    after: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<ProjectSummary>> {
    let (time, id) = after.unzip();
    // An index serves each of these.
    let projects = match filter {
        Filter { author_id: Some(author_id), .. } => {
            let projects = select_summaries!(
                ["WHERE p.user_id = $6 AND (p.deleted_at IS NOT NULL) = $2
                   AND ($7::project_status IS NULL OR p.status = $7)
                   AND (p.created_at, p.id) < (coalesce($3, 'infinity'::timestamptz),
                                               coalesce($4, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))
                 ORDER BY p.created_at DESC, p.id DESC LIMIT $5"],
                admin.user_id,
                filter.deleted,
                time,
                id,
                limit,
                author_id,
                filter.status as Option<ProjectStatus>
            );
            projects.fetch_all(connection).await?
        }
        Filter { status: Some(status), .. } => {
            let projects = select_summaries!(
                ["WHERE (p.deleted_at IS NOT NULL) = $2 AND p.status = $6
                   AND (p.created_at, p.id) < (coalesce($3, 'infinity'::timestamptz),
                                               coalesce($4, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))
                 ORDER BY p.created_at DESC, p.id DESC LIMIT $5"],
                admin.user_id,
                filter.deleted,
                time,
                id,
                limit,
                status as ProjectStatus
            );
            projects.fetch_all(connection).await?
        }
        Filter { status: None, author_id: None, .. } => {
            let projects = select_summaries!(
                ["WHERE (p.deleted_at IS NOT NULL) = $2
                   AND (p.created_at, p.id) < (coalesce($3, 'infinity'::timestamptz),
                                               coalesce($4, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))
                 ORDER BY p.created_at DESC, p.id DESC LIMIT $5"],
                admin.user_id,
                filter.deleted,
                time,
                id,
                limit
            );
            projects.fetch_all(connection).await?
        }
    };
    Ok(projects)
}
