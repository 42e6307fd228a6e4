//! Projects as the API shows them.

use crate::time::{OptionalTime, Time};
use cairn_core::community::{projects, showcase};
use poem_openapi::{Enum, Object};
use uuid::Uuid;

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
    /// A mentor rejected it or took it down.
    Rejected,
}

/// What a project is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case", remote = "projects::ProjectCategory")]
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

/// A project as lists show it.
#[derive(Clone, Debug, Object)]
pub struct ProjectSummary {
    /// Identifies the project.
    pub id: Uuid,
    /// The author.
    pub author: ProjectAuthor,
    /// The title.
    pub title: String,
    /// A summary in a sentence or two.
    pub summary: String,
    /// What it is.
    pub category: ProjectCategory,
    /// The URL of a picture; null if there is none.
    pub cover_url: Option<String>,
    /// The status.
    pub status: ProjectStatus,
    /// The number of likes, which always includes your own.
    #[oai(validator(minimum(value = "0")))]
    pub likes_count: i64,
    /// The number of likes of the last seven days, up to ten minutes ago.
    #[oai(validator(minimum(value = "0")))]
    pub trending_likes: i32,
    /// Whether you like the project.
    pub is_liked: bool,
    /// When it was created.
    pub created_at: Time,
    /// When it was first published; null if it never was.
    pub published_at: OptionalTime,
}

impl From<showcase::ProjectSummary> for ProjectSummary {
    fn from(project: showcase::ProjectSummary) -> Self {
        Self {
            id: project.id,
            author: ProjectAuthor {
                id: project.author_id,
                first_name: project.author_first_name,
                last_name: project.author_last_name,
            },
            title: project.title,
            summary: project.summary,
            category: project.category.into(),
            cover_url: project.cover_url,
            status: project.status.into(),
            likes_count: project.likes_count,
            trending_likes: project.trending_likes,
            is_liked: project.is_liked,
            created_at: project.created_at.into(),
            published_at: project.published_at.into(),
        }
    }
}

/// A project as its author and moderators list it.
#[derive(Clone, Debug, Object)]
pub struct ManagedProject {
    /// What everyone sees.
    #[oai(flatten)]
    pub summary: ProjectSummary,
    /// When it was last submitted for moderation; null if it never was.
    pub submitted_at: OptionalTime,
    /// Why a mentor rejected it or took it down; null unless it is rejected.
    pub moderation_reason: Option<String>,
    /// The version, which is also its `ETag`.
    pub version: i64,
    /// When it was last edited.
    pub updated_at: Time,
}

impl From<showcase::ProjectSummary> for ManagedProject {
    fn from(project: showcase::ProjectSummary) -> Self {
        Self {
            submitted_at: project.submitted_at.into(),
            moderation_reason: project.moderation_reason.clone(),
            version: project.version,
            updated_at: project.updated_at.into(),
            summary: project.into(),
        }
    }
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
    /// What it is.
    pub category: ProjectCategory,
    /// The URL of the running project; null if there is none.
    pub project_url: Option<String>,
    /// The URL of the source code; null if there is none.
    pub repository_url: Option<String>,
    /// The URL of a picture; null if there is none.
    pub cover_url: Option<String>,
    /// The status.
    pub status: ProjectStatus,
    /// Why a mentor rejected it or took it down; null unless it is rejected.
    pub moderation_reason: Option<String>,
    /// The number of likes, which always includes your own.
    #[oai(validator(minimum(value = "0")))]
    pub likes_count: i64,
    /// The number of likes of the last seven days, up to ten minutes ago.
    #[oai(validator(minimum(value = "0")))]
    pub trending_likes: i32,
    /// Whether you like the project.
    pub is_liked: bool,
    /// The version, which is also its `ETag`. Every edit raises it; likes do not.
    pub version: i64,
    /// When it was created.
    pub created_at: Time,
    /// When it was last edited.
    pub updated_at: Time,
    /// When it was last submitted for moderation; null if it never was.
    pub submitted_at: OptionalTime,
    /// When it was first published; null if it never was.
    pub published_at: OptionalTime,
}

impl From<showcase::Project> for Project {
    fn from(project: showcase::Project) -> Self {
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
            category: project.category.into(),
            project_url: project.project_url,
            repository_url: project.repository_url,
            cover_url: project.cover_url,
            status: project.status.into(),
            moderation_reason: project.moderation_reason,
            likes_count: project.likes_count,
            trending_likes: project.trending_likes,
            is_liked: project.is_liked,
            version: project.version,
            created_at: project.created_at.into(),
            updated_at: project.updated_at.into(),
            submitted_at: project.submitted_at.into(),
            published_at: project.published_at.into(),
        }
    }
}

/// Why something is done to a project.
#[derive(Clone, Debug, Object)]
pub struct ProjectReason {
    /// The reason, in a sentence or more.
    #[oai(validator(min_length = 1, max_length = 2000, pattern = r"\S"))]
    pub reason: String,
}
