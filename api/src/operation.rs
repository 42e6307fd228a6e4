//! What every operation says of itself.

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
    /// The libraries, for admins.
    AdminLibrary,
    /// The activity log, for admins.
    AdminActivity,
    /// Queues, workers and jobs, for admins.
    Operations,
    /// Settings, for admins.
    Settings,
    /// Statistics of the platform, for admins.
    Statistics,
    /// Instructions, chats and statistics of the AI tools, for admins.
    ToolsAdmin,
}

/// What a resource declares beside its handlers: operation id and the codes of its own problems.
pub type Problems = &'static [(&'static str, &'static [Code])];

/// Whether a request with this method (in lower case) has a body that is read.
pub(crate) fn has_body(method: &str) -> bool {
    matches!(method, "post" | "put" | "patch")
}
