//! What every operation declares about itself.

use poem_openapi::Tags;

use crate::Code;

/// The areas of the API.
#[derive(Tags)]
pub enum Tag {
    /// Registration and sessions.
    Auth,
    /// The signed-in user.
    Me,
    /// Roadmaps of stages of lessons, with progress.
    Roadmaps,
    /// Modules and lessons.
    Lessons,
    /// Style cards, glossary and prompts.
    Library,
    /// Learners' projects.
    Projects,
    /// AI tools and their replies.
    Tools,
    /// The platform itself: what front ends need to know of it.
    Platform,
    /// Modules, lessons, roadmaps and stages, for admins.
    AdminContent,
    /// Students and the moderation of projects, for mentors.
    Mentor,
    /// Projects, for admins.
    AdminProjects,
    /// The libraries, for admins.
    AdminLibrary,
    /// The activity log, for admins.
    AdminActivity,
    /// Users and invites, for admins.
    AdminUsers,
    /// Queues, workers and jobs, for admins.
    Operations,
    /// Settings, for admins.
    Settings,
    /// Statistics of the platform, for admins.
    Statistics,
    /// Instructions, chats and statistics of the AI tools, for admins.
    ToolsAdmin,
}

/// The codes that operations can return beyond the derived ones, by operation id. Resources declare them beside their
/// handlers.
pub type Problems = &'static [(&'static str, &'static [Code])];

/// Whether the body of a request with this method (in lower case) is read.
pub(crate) fn has_body(method: &str) -> bool {
    matches!(method, "post" | "put" | "patch" | "delete")
}
